"""Logs of running processes: begun anew when they are full, without losing a line."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from evometrics.deploy.process import logfile, supervise
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.supervise import SupervisedPart
from tests.deploy.process.test_supervision import spec_of

#: Writes numbered lines, a few at a time.
COUNTS = """
import os, time
os.write(1, b"working\\n")
number = 0
while True:
    for _ in range(200):
        os.write(1, b"%d\\n" % number)
        number += 1
    time.sleep(0.001)
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(logfile, "LIMIT_BYTES", 20_000)
    return tmp_path / "part.log"


@pytest.fixture
def pid(log: Path) -> Iterator[int]:
    """A process that writes to the log."""
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, "-c", COUNTS], stdout=out, start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


def wait_until_full(log: Path) -> None:
    deadline = time.monotonic() + 60
    while not logfile.is_full(log):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_no_line_is_lost_where_a_log_is_rotated_while_it_is_written(log: Path, pid: int) -> None:
    text = ""
    for _ in range(20):
        wait_until_full(log)
        logfile.rotate(log, pid)
        text += logfile.older(log).read_text()
    os.kill(pid, signal.SIGKILL)
    psutil.Process(pid).wait()
    numbers = [int(line) for line in (text + log.read_text()).split()[1:]]
    assert numbers == list(range(len(numbers)))
    assert {file.name for file in log.parent.iterdir()} == {"part.log", "part.old.log"}


def test_a_process_that_somebody_has_stopped_stays_stopped(log: Path, pid: int) -> None:
    wait_until_full(log)
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    logfile.rotate(log, pid)
    assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
    assert not logfile.older(log).exists()


async def test_a_supervised_parts_log_is_rotated_while_it_runs(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "HOLD_POLL_SECONDS", 0.05)
    part = SupervisedPart(ChildProcess(spec_of(tmp_path, COUNTS)), lambda _: None, lambda: None)
    await part.start()
    try:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(logfile.older(log).exists):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert part.child.running
    finally:
        await part.stop()
