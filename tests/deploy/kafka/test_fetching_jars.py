"""Kafka's jars where a proxy signs with its own authority, and where no home can be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from evometrics.deploy.kafka.broker import plan_nodes, prepare_node
from evometrics.deploy.kafka.jars import kafka_libs, kafka_version
from evometrics.deploy.kafka.java import MissingPartError
from tests.deploy.kafka.test_java_and_jars import java_of, program
from tests.support.inspecting_proxy import inspecting_proxy

CERTIFICATE_SETTINGS = "set SSL_CERT_FILE or REQUESTS_CA_BUNDLE to a PEM file"


@pytest.fixture(scope="module")
def asked() -> list[str]:
    return []


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, asked: list[str]) -> Iterator[tuple[str, Path]]:
    with inspecting_proxy(tmp_path_factory.mktemp("proxy"), asked) as running:
        yield running


def told(environ: dict[str, str]) -> str:
    with pytest.raises(MissingPartError) as caught:
        kafka_libs(lambda line: None, environ)
    return str(caught.value)


def test_behind_a_proxy_with_its_own_authority_the_settings_of_certificates_are_named(
    tmp_path: Path, proxy: tuple[str, Path], asked: list[str]
) -> None:
    asked.clear()
    said = told({"PATH": str(tmp_path), "HOME": str(tmp_path), "HTTPS_PROXY": proxy[0]})
    assert CERTIFICATE_SETTINGS in said
    assert "Maven's settings.xml" not in said  # nobody has Maven here
    assert asked == []


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_either_setting_gets_through_the_proxy(
    tmp_path: Path, proxy: tuple[str, Path], asked: list[str], name: str
) -> None:
    asked.clear()
    url, authority = proxy
    said = told({"PATH": str(tmp_path), "HOME": str(tmp_path), "HTTPS_PROXY": url, name: str(authority)})
    assert any(f"kafka_2.13-{kafka_version()}" in line for line in asked)
    assert CERTIFICATE_SETTINGS not in said  # what failed is that this proxy has nothing


def test_mavens_own_setting_is_named_where_maven_fetches(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "mvn", "echo '[ERROR] No plugin found for prefix'; exit 1")
    said = told({"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)})
    assert "MAVEN_OPTS=-Djavax.net.ssl.trustStore=FILE" in said
    assert "REQUESTS_CA_BUNDLE" not in said


def jgo_that_uses_its_repository(folder: Path) -> dict[str, str]:
    """Put a stand-in for jgo in a folder, which keeps what it fetches where the real one does."""
    (folder / "jgo.py").write_text(
        """
import os, pathlib
def build(artifact, cache_dir):
    _, name, version = artifact.split(":")
    kept = pathlib.Path(os.environ.get("M2_REPO") or pathlib.Path.home() / ".m2")
    kept.mkdir(parents=True, exist_ok=True)
    pathlib.Path(os.environ["XDG_CACHE_HOME"]).mkdir(exist_ok=True)
    jars = cache_dir / "envs" / name / "jars"
    jars.mkdir(parents=True)
    (jars / f"{name}-{version}.jar").touch()
"""
    )
    return {"PATH": str(folder), "PYTHONPATH": str(folder)}


def test_where_no_home_can_be_written_the_jars_are_kept_beside_the_brokers_data(tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # in which nobody makes a folder, root included
    variables = {**jgo_that_uses_its_repository(tmp_path), "HOME": str(tmp_path / "file")}
    beside = tmp_path / "data" / "jars"
    libs = kafka_libs(lambda line: None, variables, otherwise=beside)
    assert libs == beside / f"kafka-{kafka_version()}"
    assert kafka_libs(lambda line: None, {**variables, "PATH": ""}, otherwise=beside) == libs


async def test_a_broker_runs_from_the_jars_beside_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    java = java_of(tmp_path / "java", "25.0.2")
    variables = {**jgo_that_uses_its_repository(tmp_path), "HOME": str(tmp_path / "file")}
    for name, value in {**variables, "JAVA_HOME": str(java.parents[1])}.items():
        monkeypatch.setenv(name, value)
    for name in ("KAFKA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    nodes = plan_nodes(tmp_path / "data" / "kafka")
    spec = await prepare_node(nodes[0], nodes, tmp_path / "logs", lambda line: None)
    jars = tmp_path / "data" / "kafka" / "jars" / f"kafka-{kafka_version()}"
    assert f"{jars}{os.sep}*" in spec.argv


def test_an_interrupted_download_leaves_nothing_that_a_later_one_would_take(tmp_path: Path) -> None:
    variables = {**jgo_that_uses_its_repository(tmp_path), "HOME": str(tmp_path / "home")}
    kafka_libs(lambda line: None, variables)
    assert [path.name for path in (tmp_path / "home").iterdir()] == [".cache"]


def test_without_any_folder_to_keep_them_in_the_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "set XDG_CACHE_HOME to a writable folder" in told({"HOME": str(tmp_path / "file"), "PATH": ""})
