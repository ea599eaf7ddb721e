"""Copies the folder of the local stack consistently, even while the stack runs.

Copying the files of running parts one by one is no backup: one part's files would be older than another's,
and ClickHouse would lack what Kafka says is stored, or have what Kafka has never heard of. So all parts are
paused (SIGSTOP) while their files are copied: the copy is what would be there had all been killed at that
moment, and from that they recover. Orchestrator nodes keep running: what they record meanwhile waits in their
outboxes, because the broker is paused as well. Whatever was recorded before is in the broker's files or in
its outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

from evometrics.deploy.stack.copying import copy_folder, size_on_disk
from evometrics.deploy.stack.stackfile import LOCK_FILE, STACK_FILE, ProcessMark, load, lock_data, read_stack
from evometrics.schemas.errors import EvometricsError

#: Files that describe a running stack; none runs on the copy.
OF_THE_RUNNING = frozenset({STACK_FILE, LOCK_FILE})
STORES = ("kafka", "clickhouse")
STOP_SECONDS = 10.0
#: Resumes the parts should this process be killed: it waits for the end of its input.
GUARD = """
import os, signal, sys
sys.stdin.read()
for pid in sys.argv[1:]:
    try:
        os.killpg(int(pid), signal.SIGCONT)
    except OSError:
        pass
"""


class BackupFailed(EvometricsError, RuntimeError):
    """There is no complete copy; the message says why, and the way out."""


class Interrupted(Exception):
    """The command is to end."""


async def backup(data: Path, target: Path) -> float:
    """Copy a stack's folder to `target`, which must not exist yet; return how many seconds it was paused.

    Raises `BackupFailed`, `StackRunningError` if a stack is just starting on it, or OSError.
    """
    ended = threading.Event()

    def check() -> None:
        if ended.is_set():
            raise Interrupted

    copying = asyncio.create_task(asyncio.to_thread(copy, data, target, check))
    try:
        return await asyncio.shield(copying)
    except asyncio.CancelledError:
        ended.set()
        with contextlib.suppress(Interrupted, EvometricsError, OSError):
            await copying
        raise


def copy(data: Path, target: Path, check: Callable[[], None]) -> float:
    """As `backup`; `check` raises if it is to end."""
    data, target = data.resolve(), target.resolve()
    if not data.is_dir():
        raise BackupFailed(f"{data} is not a folder of a stack: name it with --data")
    if target == data or data in target.parents:
        raise BackupFailed(f"{target} is inside {data}: name a folder elsewhere")
    if target.exists():
        raise BackupFailed(f"{target} already exists: name a folder that does not")
    needed, free = size_on_disk(data, OF_THE_RUNNING), free_space(target)
    if needed > free:
        raise BackupFailed(f"{target} needs {needed:,} bytes, but {free:,} are free: name another place")
    began = time.monotonic()
    scratch = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        with standing_still(data):
            began = time.monotonic()
            copy_folder(data, scratch, OF_THE_RUNNING, check)
            stood = time.monotonic() - began
        os.sync()
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return stood


def free_space(target: Path) -> int:
    """Return the number of free bytes where a folder is to be created."""
    there = next(parent for parent in target.parents if parent.is_dir())
    return shutil.disk_usage(there).free


@contextlib.contextmanager
def standing_still(data: Path) -> Iterator[None]:
    """Keep all but nodes from writing to a stack's folder. Raises `BackupFailed`.

    Nodes still write to their outboxes.
    """
    if read_stack(data) is None:
        lock = lock_data(data)
        try:
            yield
        finally:
            os.close(lock)
        return
    parts = {name: ProcessMark(**mark) for name, mark in load(data)["parts"].items()}
    for store in STORES:
        if not any(name.partition("-")[0] == store for name in parts):
            raise BackupFailed(
                f"the {store} of the stack on {data} runs elsewhere, so its data is not in this folder: stop "
                "the stack, and back up Kafka and ClickHouse at that moment with their own tools"
            )
    with paused(parts):
        yield
        if {name: ProcessMark(**mark) for name, mark in load(data).get("parts", {}).items()} != parts:
            raise BackupFailed(f"a part of the stack on {data} was restarted meanwhile: try again")


@contextlib.contextmanager
def paused(parts: Mapping[str, ProcessMark]) -> Iterator[None]:
    """Pause processes and those they have started; they resume whatever happens to this one."""
    command = [sys.executable, "-I", "-S", "-c", GUARD, *(str(mark.pid) for mark in parts.values())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as guard:
        assert guard.stdin is not None
        try:
            for name, mark in parts.items():
                stop(name, mark)
            yield
        finally:
            guard.stdin.close()


def stop(name: str, mark: ProcessMark) -> None:
    """Pause a part; return once it is stopped. Raises `BackupFailed` if it does not run."""
    deadline = time.monotonic() + STOP_SECONDS
    process = mark.process()
    with contextlib.suppress(OSError, psutil.NoSuchProcess):
        if process is not None:
            os.killpg(mark.pid, signal.SIGSTOP)
            while process.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
                time.sleep(0.01)
            if process.status() == psutil.STATUS_STOPPED:
                return
    raise BackupFailed(f"{name} is being restarted: try again once the stack is ready")
