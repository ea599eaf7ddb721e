"""`stack.json`: how other commands find the stack that runs on a data folder."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from evometrics.schemas.errors import EvometricsError

START_TOLERANCE_SECONDS = 1.0
STACK_FILE, LOCK_FILE = "stack.json", "stack.lock"


class StackRunningError(EvometricsError, RuntimeError):
    """A stack already runs on the data folder."""


@dataclass(frozen=True, slots=True)
class StackAddresses:
    """Addresses of the parts of a running stack.

    Attributes:
        brokers: `host:port` of the broker, several separated by commas.
        clickhouse_url: ClickHouse's HTTP interface.
        metrics_urls: URL of the Prometheus metrics of each stream worker and sink, by the part's name.
        data: the stack's folder.
        clickhouse_user: who writes to its own ClickHouse; empty if that is another's.
        clickhouse_reader: who reads there; empty if nobody else does.
        password_file: the file with the writer's password, if the stack has made it.
        reader_password: whether the reader needs the password in the settings.
        pages_url: the web pages; empty if none are served.
    """

    brokers: str
    clickhouse_url: str
    metrics_urls: Mapping[str, str]
    data: Path
    clickhouse_user: str = ""
    clickhouse_reader: str = ""
    password_file: Path | None = None
    reader_password: bool = False
    pages_url: str = ""

    @property
    def reader_login(self) -> str:
        """How to log in to read, in words; empty if nobody else does."""
        if not self.clickhouse_reader or not self.reader_password:
            return self.clickhouse_reader and f"user {self.clickhouse_reader}"
        variable = "EVOMETRICS_CLICKHOUSE_SERVER_READER_PASSWORD"
        return f"user {self.clickhouse_reader}, with the password in {variable}"


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """Identifies a process beyond doubt: an id alone may have been reused."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> ProcessMark:
        """Return the mark of a running process; raises `psutil.NoSuchProcess`."""
        return cls(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process, None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < START_TOLERANCE_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def lock_data(data: Path) -> int:
    """Take the data folder for this process, until the descriptor is closed or the process ends.

    Raises `StackRunningError` if a live stack has it.
    """
    data.mkdir(parents=True, exist_ok=True)
    lock = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        owner = load(data).get("owner", {}).get("pid", "unknown")
        raise StackRunningError(
            f"a stack is already running on {data} (process {owner}). Use it, stop it with Ctrl-C or `kill "
            f"{owner}`, or give another folder with --data."
        ) from None
    return lock


def write_stack(addresses: StackAddresses, parts: Mapping[str, int], ready: bool) -> None:
    """Write the addresses of this process's stack and the process ids of its parts, atomically."""
    marks = {}
    for name, pid in parts.items():
        try:
            marks[name] = asdict(ProcessMark.of(pid))
        except psutil.NoSuchProcess:
            continue
    text = {
        "brokers": addresses.brokers,
        "clickhouse_url": addresses.clickhouse_url,
        "metrics_urls": dict(addresses.metrics_urls),
        "clickhouse_user": addresses.clickhouse_user,
        "clickhouse_reader": addresses.clickhouse_reader,
        "password_file": addresses.password_file and addresses.password_file.name,
        "reader_password": addresses.reader_password,
        "pages_url": addresses.pages_url,
        "ready": ready,
        "owner": asdict(ProcessMark.of(os.getpid())),
        "parts": marks,
    }
    scratch = addresses.data / f"{STACK_FILE}.{os.getpid()}"
    scratch.write_text(json.dumps(text, indent=2) + "\n")
    scratch.replace(addresses.data / STACK_FILE)


def read_stack(data: Path) -> StackAddresses | None:
    """Return the addresses of the stack that runs on `data`; None if none does or it is still starting."""
    noted = load(data)
    if not noted.get("ready") or ProcessMark(**noted["owner"]).process() is None:
        return None
    data, file = data.resolve(), noted.get("password_file")
    return StackAddresses(
        noted["brokers"],
        noted["clickhouse_url"],
        noted["metrics_urls"],
        data,
        noted.get("clickhouse_user", ""),
        noted.get("clickhouse_reader", ""),
        data / file if file else None,
        bool(noted.get("reader_password")),
        noted.get("pages_url", ""),
    )


def end_leftovers(data: Path) -> list[str]:
    """Kill what a killed stack left running (where the kernel does not); return the names of these parts."""
    ended = []
    for name, mark in load(data).get("parts", {}).items():
        process = ProcessMark(**mark).process()
        if process is not None:
            process.kill()
            process.wait(timeout=10)
            ended.append(name)
    remove_stack(data)
    return ended


def remove_stack(data: Path) -> None:
    """Remove the stack's entry once it has ended."""
    (data / STACK_FILE).unlink(missing_ok=True)


def load(data: Path) -> dict[str, Any]:
    """Return the content of `stack.json`, empty if there is none."""
    try:
        noted = json.loads((data / STACK_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}
