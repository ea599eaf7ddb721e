"""Kafka's own command line tools, which are not among the jars of a node: fetched by Maven once."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from evometrics.deploy.kafka.broker import QUICK_JVM
from evometrics.deploy.kafka.jars import FETCH_SECONDS, cache_folder, exclusive, kafka_libs, kafka_version
from evometrics.deploy.kafka.java import find_java


def tools_jar() -> Path:
    """Return the jar of the tools, fetched at the first call on a machine."""
    name = f"kafka-tools-{kafka_version()}"
    jar = cache_folder() / f"{name}.jar"
    jar.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(jar.with_suffix(".lock")):
        if not jar.exists():
            fetch(jar)
    return jar


def fetch(jar: Path) -> None:
    """Have Maven fetch the jar, which appears whole or not at all."""
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip("Kafka's tools are fetched by Maven, and there is no mvn in PATH")
    artifact = f"org.apache.kafka:kafka-tools:{kafka_version()}"
    with tempfile.TemporaryDirectory(dir=jar.parent, prefix=f"{jar.stem}-") as scratch:
        done = subprocess.run(
            [maven, "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={scratch}"],
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
            cwd=scratch,
        )
        assert done.returncode == 0, f"Kafka's tools could not be fetched:\n{done.stdout[-2000:]}"
        (Path(scratch) / jar.name).rename(jar)


def put_kafka_acls(folder: Path) -> None:
    """Put Kafka's `kafka-acls.sh` in a folder: its class, started as Kafka's own script does."""
    script = folder / "kafka-acls.sh"
    java = [str(find_java()), *QUICK_JVM, "-cp", f"{kafka_libs(print)}/*:{tools_jar()}"]
    script.write_text(f'#!/bin/sh\nexec {" ".join(java)} org.apache.kafka.tools.AclCommand "$@"\n')
    script.chmod(0o755)
