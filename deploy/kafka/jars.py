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
        f"${{{element.tag.partition('}')[2]}}}": element.text for element in pom.iterfind("{*}properties/*")
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
    return (Path(base) if base else home(environ) / ".cache") / "evometrics"


def home(environ: Mapping[str, str]) -> Path:
    """Return the user's home; of one who has none a folder that is not there."""
    try:
        return Path(environ.get("HOME") or Path.home())
    except RuntimeError:
        return Path("/nonexistent")


def kafka_libs(
    progress: Progress, environ: Mapping[str, str] = os.environ, otherwise: Path | None = None
) -> Path:
    """Return the folder that holds Kafka's jars; fetches them at the first call on a machine.

    They are kept in the cache folder, or in `otherwise` where nothing can be written in that. The folder
    appears complete or not at all, and of several processes one fetches while the others wait.
    Raises `MissingPartError` if KAFKA_HOME holds no Kafka, neither folder can be written, Maven is missing or
    the download fails.
    """
    if environ.get("KAFKA_HOME"):
        libs = Path(environ["KAFKA_HOME"]) / "libs"
        if not any(libs.glob("kafka_2*.jar")):
            raise MissingPartError(
                f"KAFKA_HOME={environ['KAFKA_HOME']}: it has no libs/kafka_2*.jar. Point it at an unpacked "
                "Kafka, or unset it to have the jars fetched."
            )
        return libs
    name = f"kafka-{kafka_version()}"
    cache = cache_folder(environ)
    if (cache / name).is_dir():
        return cache / name
    if otherwise is not None and not writable(cache):
        cache = otherwise
    libs = cache / name
    if not writable(cache):
        raise MissingPartError(
            f"Kafka's jars can't be kept in {cache}: set XDG_CACHE_HOME to a writable folder."
        )
    with exclusive(cache / f"{name}.lock"):
        if not libs.is_dir():
            fetch(libs, progress, environ)
    return libs


def writable(folder: Path) -> bool:
    """Return whether files can be made in a folder, which is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def fetch(libs: Path, progress: Progress, environ: Mapping[str, str]) -> None:
    """Fetch Kafka and its dependencies into `libs`."""
    progress(f"fetching Kafka {kafka_version()} into {libs} (once, about 45 MB)")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=libs.parent, prefix=f"{libs.name}-") as scratch:
        folder = Path(scratch)
        command, variables = fetch_command(folder, environ)
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=FETCH_SECONDS,
                env=variables,
            )
            said, failed = done.stdout, done.returncode != 0
        except subprocess.TimeoutExpired:
            said, failed = f"not finished after {FETCH_SECONDS} s", True
        jars = folder / "jars"
        jars.mkdir(exist_ok=True)
        for found in folder.glob("jgo/envs/**/*.jar"):
            shutil.copy(found, jars)
        if failed or not any(jars.glob("kafka_2*.jar")):
            raise MissingPartError(why_not_fetched(said, with_maven="mvn" in Path(command[0]).name))
        jars.rename(libs)
    progress(f"fetched {len(list(libs.glob('*.jar')))} jars in {time.monotonic() - began:.0f} s")


def why_not_fetched(said: str, with_maven: bool) -> str:
    """Return what to tell a user whose download failed: what was said last, and the ways out that fit."""
    tail = "\n".join(said.strip().splitlines()[-5:])
    if with_maven:
        # Maven does not say that a certificate is the reason where it has none of its plugins yet.
        check = (
            "Check the network and Maven's settings.xml; where a proxy signs with its own authority, set "
            "MAVEN_OPTS=-Djavax.net.ssl.trustStore=FILE to a Java keystore that has it"
        )
    elif "CERTIFICATE_VERIFY_FAILED" in said:
        check = (
            "The certificate that was shown is not trusted: if a proxy signs with its own authority, set "
            "SSL_CERT_FILE or REQUESTS_CA_BUNDLE to a PEM file that has it"
        )
    else:
        check = "Check the network and HTTPS_PROXY"
    return (
        f"Kafka's jars could not be fetched from Maven Central:\n{tail}\n"
        f"{check}; or set KAFKA_HOME to an unpacked Kafka, or use a running Kafka with --brokers host:port."
    )


def fetch_command(folder: Path, environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return the command that fetches the jars, and its variables.

    Raises `MissingPartError` without Maven and jgo.
    """
    maven = shutil.which("mvn", path=environ.get("PATH", ""))
    if maven:
        # Maven may write beside the pom, and the package's folder may be read-only.
        pom = shutil.copy(POM, folder)
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        if not writable(home(environ) / ".m2"):
            goal.append(f"-Dmaven.repo.local={folder / 'repository'}")
        command = [maven, "-q", "-B", "-f", str(pom), *goal, f"-DoutputDirectory={folder / 'jars'}"]
        return command, dict(environ)
    if importlib.util.find_spec("jgo"):
        # In ~/.m2 it would take for whole what an interrupted download left there; and it ends where it can't
        # make a folder for JVMs, though it needs none.
        own = {"M2_REPO": str(folder / "repository"), "XDG_CACHE_HOME": str(folder / "cache")}
        variables = {**environ, **own}
        if environ.get("SSL_CERT_FILE"):
            # the name that OpenSSL, pip and uv know: jgo, with requests, knows this one only
            variables.setdefault("REQUESTS_CA_BUNDLE", environ["SSL_CERT_FILE"])
        command = [sys.executable, "-P", "-c", JGO_PROGRAM, str(folder / "jgo"), *artifacts()]
        return command, variables
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
