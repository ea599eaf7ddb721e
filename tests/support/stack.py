"""The whole stack as people run it: `evometrics up` in a process of its own, and what tests ask of it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from evometrics.deploy.cli.main import main, nothing
from evometrics.deploy.commands import replay
from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.pipeline.drain import drain, pipeline_groups
from evometrics.deploy.stack.password import read_password
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.sinks.settings import SinkSettings
from evometrics.streams.settings import StreamSettings
from tests.support.tables import PASSWORDS


@dataclass(frozen=True)
class Running:
    """A stack started by the command line; `log` is what it says to its operator."""

    brokers: str
    clickhouse_url: str
    metrics_urls: dict[str, str]
    data: Path
    log: Path
    pages_url: str

    def drained(self, timeout_seconds: float = 180) -> None:
        groups = pipeline_groups(StreamSettings().group, SinkSettings().group)
        asyncio.run(drain(KafkaSettings(brokers=self.brokers), groups, timeout_seconds))

    def pids(self) -> dict[str, int]:
        """Return the process id of each part."""
        parts = json.loads((self.data / "stack.json").read_text())["parts"]
        return {name: mark["pid"] for name, mark in parts.items()}

    def metrics(self) -> dict[str, float]:
        """Return every sample of all parts' /metrics, by its text before the value."""
        found: dict[str, float] = {}
        for url in self.metrics_urls.values():
            with urllib.request.urlopen(url, timeout=10) as response:
                for line in response.read().decode().splitlines():
                    if line and not line.startswith("#"):
                        name, _, value = line.rpartition(" ")
                        found[name] = found.get(name, 0.0) + float(value)
        return found


def evometrics(*arguments: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "evometrics.deploy.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env=os.environ | environment
    )


def evometrics_here(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """As `evometrics`, in this process: most commands take less than a start of Python."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch.object(replay, "set_pace", nothing),  # this process keeps its own
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    if code == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt  # meant for the tests
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def running_stack(
    data: Path, partitions: int, *flags: str, build: str = "evometrics.deploy.cli", **environment: str
) -> Iterator[Running]:
    """Run `evometrics up` on a data folder; fail where it does not start or does not end as it should.

    `build` is the module that is the command line; `flags` are added to it.
    """
    command = [sys.executable, "-m", build, "up", "--json", "--data", str(data)]
    command += ["--partitions", str(partitions), *flags]
    data.parent.mkdir(parents=True, exist_ok=True)
    log = data.with_suffix(".log")
    with log.open("w") as said:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, env=os.environ | environment
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"the stack did not start:\n{log.read_text()}"
            found = json.loads(line)
            if found["password_file"]:
                PASSWORDS[found["clickhouse_url"]] = read_password(Path(found["password_file"]))
            yield Running(
                found["brokers"],
                found["clickhouse_url"],
                found["metrics_urls"],
                data,
                log,
                found["pages_url"],
            )
        finally:
            process.terminate()
            process.wait(timeout=60)
    assert process.returncode == 0, log.read_text()
