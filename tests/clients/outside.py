"""Programs in other languages, with the drivers they need, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
#: Seconds for one program, and for what installs its driver.
LIMIT, INSTALL_LIMIT = 120, 900


class Missing(Exception):
    """What a client needs is not on this machine, or could not be installed."""


@dataclass(frozen=True)
class Client:
    """A client of ClickHouse.

    Attributes:
        prepare: installs its driver into a folder; raises `Missing`.
        command: runs its program there. The program finds the server's address in SERVER and the names of
            the product's tables and views in TABLES, with commas. It prints a line for each step: `ok` or
            `failed`, the step, what it says of it, separated by tabs.
        driver: what is installed, with its version.
    """

    driver: str
    prepare: Callable[[Path], None]
    command: Callable[[Path], Sequence[str | Path]]

    def run(self, folder: Path, server: str, tables: Sequence[str]) -> tuple[list[list[str]], str]:
        """Return the steps' lines, and everything that it wrote besides."""
        folder.mkdir(parents=True, exist_ok=True)
        self.prepare(folder)
        done = execute(self.command(folder), folder, {"SERVER": server, "TABLES": ",".join(tables)})
        lines = done.stdout.splitlines()
        steps = [line.split("\t") for line in lines if line.startswith(("ok\t", "failed\t"))]
        if done.returncode:
            steps.append(["failed", "program", done.stderr.strip()[-200:]])
        return steps, done.stdout + done.stderr


def execute(
    command: Sequence[str | Path], folder: Path, more: Mapping[str, str] | None = None, limit: float = LIMIT
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; raises `Missing` if it is not installed."""
    if shutil.which(command[0]) is None:
        raise Missing(f"{command[0]} is not installed")
    environment = {**os.environ, **(more or {})}
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as late:
        out = (late.stdout or b"").decode()
        return subprocess.CompletedProcess(command, 1, out, f"ended after {limit} s")


def installed(command: Sequence[str | Path], folder: Path) -> None:
    done = execute(command, folder, limit=INSTALL_LIMIT)
    if done.returncode:
        raise Missing(f"{' '.join(map(str, command[:3]))}: {(done.stdout + done.stderr)[-500:]}")


def maven(artifact: str, version: str, program: str) -> Client:
    """A Java program with an artifact of com.clickhouse and what it depends on."""

    def prepare(folder: Path) -> None:
        if (folder / "lib").exists():
            return
        project = (
            '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
            "<groupId>clients</groupId><artifactId>clients</artifactId><version>1</version><dependencies>"
            f"<dependency><groupId>com.clickhouse</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version></dependency></dependencies></project>"
        )
        (folder / "pom.xml").write_text(project)
        copy = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'lib'}"]
        installed(copy, folder)

    return Client(
        f"{artifact} {version}", prepare, lambda _: ["java", "-cp", "lib/*", PROGRAMS / f"{program}.java"]
    )


def go(version: str, compression: str) -> Client:
    """A Go program with clickhouse-go over HTTP, in one of its compressions."""

    def prepare(folder: Path) -> None:
        shutil.copy(PROGRAMS / "clickhouse_go.go", folder / "main.go")
        if not (folder / "go.sum").exists():
            (folder / "go.mod").write_text("module clients\n\ngo 1.24\n")
            installed(["go", "get", f"github.com/ClickHouse/clickhouse-go/v2@v{version}"], folder)
        installed(["go", "build", "-o", "client", "main.go"], folder)

    return Client(f"clickhouse-go {version}", prepare, lambda folder: [folder / "client", compression])


def node(version: str) -> Client:
    """A program for Node with @clickhouse/client."""

    def prepare(folder: Path) -> None:
        shutil.copy(PROGRAMS / "node_client.mjs", folder / "client.mjs")
        if not (folder / "node_modules").exists():
            installed(["npm", "install", "--silent", f"@clickhouse/client@{version}"], folder)

    return Client(f"@clickhouse/client {version}", prepare, lambda _: ["node", "client.mjs"])


def python(program: str, *packages: str) -> Client:
    """A Python program, in an environment of its own over this one's packages."""

    def interpreter(folder: Path) -> Path:
        return folder / "venv" / "bin" / "python"

    def prepare(folder: Path) -> None:
        if not interpreter(folder).exists():
            installed([sys.executable, "-m", "venv", folder / "venv"], folder)
            installed([interpreter(folder), "-m", "pip", "install", "-q", *packages], folder)

    return Client(
        ", ".join(packages), prepare, lambda folder: [interpreter(folder), PROGRAMS / f"{program}.py"]
    )
