"""Kafka's jars, fetched from Maven Central once: by Maven, or without it by the Python package jgo.

`KAFKA_HOME` (an unpacked Kafka) is used instead of the fetched jars.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from evometrics.deploy.kafka.java import MissingPartError

KAFKA_FILES = Path(__file__).parent
POM = KAFKA_FILES / "pom.xml"
FETCH_SECONDS = 600
# Each artifact separately: log4j's parent would replace our Kafka client by its own older one.
JGO_PROGRAM = """
import pathlib, sys, jgo
for artifact in sys.argv[2:]:
    jgo.build(artifact, cache_dir=pathlib.Path(sys.argv[1]))
"""

Progress = Callable[[str], None]


def kafka_version() -> str:
    """Return the Kafka version that `pom.xml` pins."""
    version = ET.parse(POM).findtext(".//{*}kafka.version")
    assert version, f"{POM} has no kafka.version"
    return version


def artifacts() -> list[str]:
    """Return the artifacts in `pom.xml`, as `group:artifact:version`."""
    pom = ET.parse(POM)
    versions = {
        f"${{{element.tag.partition('}')[2]}}}": element.text for element in pom.find("{*}properties") or ()
    }
    found = []
    for dependency in pom.iterfind(".//{*}dependency"):
        group, name, version = (
            dependency.findtext(f"{{*}}{part}") for part in ("groupId", "artifactId", "version")
        )
        found.append(f"{group}:{name}:{versions.get(version or '', version)}")
    return found


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_CACHE_HOME/evometrics`, or `~/.cache/evometrics`."""
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "evometrics"


def kafka_libs(progress: Progress, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that holds Kafka's jars; fetches them at the first call on a machine.

    The folder appears complete or not at all, and of several processes one fetches while the others wait.
    Raises `MissingPartError` if KAFKA_HOME holds no Kafka, Maven is missing or the download fails.
    """
    if environ.get("KAFKA_HOME"):
        libs = Path(environ["KAFKA_HOME"]) / "libs"
        if not any(libs.glob("kafka_2*.jar")):
            raise MissingPartError(
                f"KAFKA_HOME={environ['KAFKA_HOME']}: it has no libs/kafka_2*.jar. Point it at an unpacked "
                "Kafka, or unset it to have the jars fetched."
            )
        return libs
    cache = cache_folder(environ)
    libs = cache / f"kafka-{kafka_version()}"
    if libs.is_dir():
        return libs
    cache.mkdir(parents=True, exist_ok=True)
    with exclusive(cache / f"{libs.name}.lock"):
        if not libs.is_dir():
            fetch(libs, progress, environ)
    return libs


def fetch(libs: Path, progress: Progress, environ: Mapping[str, str]) -> None:
    """Fetch Kafka and its dependencies into `libs`."""
    progress(f"fetching Kafka {kafka_version()} into {libs} (once, about 45 MB)")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=libs.parent, prefix=f"{libs.name}-") as scratch:
        folder = Path(scratch)
        try:
            done = subprocess.run(
                fetch_command(folder, environ),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=FETCH_SECONDS,
                env=dict(environ),
            )
            said, failed = done.stdout, done.returncode != 0
        except subprocess.TimeoutExpired:
            said, failed = f"not finished after {FETCH_SECONDS} s", True
        jars = folder / "jars"
        jars.mkdir(exist_ok=True)
        for found in folder.glob("jgo/envs/**/*.jar"):
            shutil.copy(found, jars)
        if failed or not any(jars.glob("kafka_2*.jar")):
            tail = "\n".join(said.strip().splitlines()[-5:])
            raise MissingPartError(
                f"Kafka's jars could not be fetched from Maven Central:\n{tail}\n"
                "Check the network and Maven's settings.xml, set KAFKA_HOME to an unpacked Kafka, "
                "or use a running Kafka with --brokers host:port."
            )
        jars.rename(libs)
    progress(f"fetched {len(list(libs.glob('*.jar')))} jars in {time.monotonic() - began:.0f} s")


def fetch_command(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Return the command that fetches the jars; raises `MissingPartError` without Maven and jgo."""
    maven = shutil.which("mvn", path=environ.get("PATH", ""))
    if maven:
        # Maven may write beside the pom, and the package's folder may be read-only.
        pom = shutil.copy(POM, folder)
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        return [maven, "-q", "-B", "-f", str(pom), *goal, f"-DoutputDirectory={folder / 'jars'}"]
    if importlib.util.find_spec("jgo"):
        return [sys.executable, "-P", "-c", JGO_PROGRAM, str(folder / "jgo"), *artifacts()]
    raise MissingPartError(
        "Kafka's jars must be fetched once, and there is no mvn in PATH to do so. Install it (any system: "
        "pip install jgo; Debian, Ubuntu: apt-get install maven; macOS: brew install maven), set KAFKA_HOME "
        "to an unpacked Kafka, or use a running Kafka with --brokers host:port."
    )


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold `path` locked against other processes; the system releases it if this one dies."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
