"""Where the broker's Java parts come from: a JVM, and Kafka's jars from Maven Central, fetched once.

`KAFKA_HOME` (an unpacked Kafka) takes the place of the fetched jars.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

KAFKA_FILES = Path(__file__).parent / "kafka"
MINIMUM_JAVA = 17
FETCH_SECONDS = 600

Progress = Callable[[str], None]


class MissingPartError(RuntimeError):
    """Something the embedded broker needs is not on this machine; the message says how to get it."""


def find_java(environ: Mapping[str, str] = os.environ) -> Path:
    """The `java` to run: the first of JAVA_HOME and PATH that is new enough.

    Raises `MissingPartError` naming what was found and the ways out.
    """
    places = []
    if environ.get("JAVA_HOME"):
        places.append(Path(environ["JAVA_HOME"]) / "bin" / "java")
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    if on_path:
        places.append(Path(on_path))
    found = []
    for place in places:
        version = java_version(place)
        if version >= MINIMUM_JAVA:
            return place
        found.append(f"{place} is Java {version}" if version else f"{place} does not run")
    raise MissingPartError(
        f"Kafka needs Java {MINIMUM_JAVA} or newer, and "
        + ("; ".join(found) if found else "there is none in JAVA_HOME or PATH")
        + ". Install one (Debian, Ubuntu: apt-get install openjdk-17-jre-headless; macOS: brew install "
        "openjdk), set JAVA_HOME, or use a running Kafka with --broker host:port."
    )


def java_version(java: Path) -> int:
    """The major version `java -version` tells, 0 where it does not run."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(match.group(1)) if match else 0


def kafka_version(pom: Path = KAFKA_FILES / "pom.xml") -> str:
    """The Kafka version that `pom.xml` pins."""
    version = ET.parse(pom).findtext(".//{*}kafka.version")
    assert version, f"{pom} names no kafka.version"
    return version


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_CACHE_HOME/evometrics`, or `~/.cache/evometrics`."""
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "evometrics"


def kafka_libs(progress: Progress, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder that holds Kafka's jars; fetches them at the first call on a machine.

    The folder appears whole or not at all, and of several processes one fetches while the others wait.
    Raises `MissingPartError` where KAFKA_HOME holds no Kafka, Maven is missing or the download fails.
    """
    if environ.get("KAFKA_HOME"):
        libs = Path(environ["KAFKA_HOME"]) / "libs"
        if not any(libs.glob("kafka_2*.jar")):
            raise MissingPartError(
                f"KAFKA_HOME={environ['KAFKA_HOME']}: no libs/kafka_2*.jar in it. "
                "Point it at an unpacked Kafka, or unset it to have the jars fetched."
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
    """Have Maven copy Kafka and what it needs into `libs`."""
    maven = shutil.which("mvn", path=environ.get("PATH", ""))
    if maven is None:
        raise MissingPartError(
            "Kafka's jars are fetched by Maven once, and there is no mvn in PATH. "
            "Install it (Debian, Ubuntu: apt-get install maven; macOS: brew install maven), "
            "set KAFKA_HOME to an unpacked Kafka, or use a running Kafka with --broker host:port."
        )
    progress(f"fetching Kafka {kafka_version()} into {libs} (once, about 45 MB)")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=libs.parent, prefix=f"{libs.name}-") as scratch:
        # Maven may write beside the pom, and the package's folder may be read-only.
        pom = shutil.copy(KAFKA_FILES / "pom.xml", scratch)
        jars = Path(scratch) / "jars"
        command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
        command += [f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=FETCH_SECONDS, env=dict(environ)
            )
            said, failed = done.stdout + done.stderr, done.returncode != 0
        except subprocess.TimeoutExpired:
            said, failed = f"no answer in {FETCH_SECONDS} s", True
        if failed or not any(jars.glob("kafka_2*.jar")):
            tail = "\n".join(said.strip().splitlines()[-5:])
            raise MissingPartError(
                f"Maven could not fetch Kafka's jars:\n{tail}\n"
                "Check the network and Maven's settings.xml, set KAFKA_HOME to an unpacked Kafka, "
                "or use a running Kafka with --broker host:port."
            )
        jars.rename(libs)
    progress(f"fetched {len(list(libs.glob('*.jar')))} jars in {time.monotonic() - began:.0f} s")


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold `path` locked against other processes; the system lets go of it if this one dies."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
