"""Rotates the log of a process that runs and appends its output to the file by itself.

The file can't be renamed: the process would keep writing to it. Its lines are copied to `<name>.old.log`, and
it is emptied. What it writes between the two would be lost, so it is stopped for the end of the copy, a
millisecond or so.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import psutil

LIMIT_BYTES = 20 * 1024 * 1024


def older(log: Path) -> Path:
    """Return the file that holds the lines before those of a log."""
    return log.with_suffix(".old.log")


def is_full(log: Path) -> bool:
    """Return whether a log is to be rotated."""
    try:
        return log.stat().st_size > LIMIT_BYTES
    except OSError:
        return False


def rotate(log: Path, pid: int) -> None:
    """Move the lines of a log to the older file; blocking.

    `pid`: the child process that appends to it, the leader of its process group. One that somebody has
    stopped is left alone. Raises `OSError` if there is no space; the log is then as it was.
    """
    try:
        if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
            return
        copy = log.with_suffix(".copy.log")
        try:
            with log.open("rb") as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target)
                os.killpg(pid, signal.SIGSTOP)
                try:
                    if hasattr(os, "waitid"):  # macOS has it from Python 3.13 on
                        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)  # all its threads
                    shutil.copyfileobj(source, target)
                    target.close()
                    copy.replace(older(log))
                    os.truncate(log, 0)
                finally:
                    os.killpg(pid, signal.SIGCONT)
        finally:
            copy.unlink(missing_ok=True)
    except (psutil.NoSuchProcess, ProcessLookupError, ChildProcessError):
        return  # it has ended: its log is rotated as it starts again
