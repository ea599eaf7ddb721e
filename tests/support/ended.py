"""Whether processes have ended, also where nobody waits for those whose parent was killed.

A container's first process is often the very command that runs the tests: it does not wait for them, and they
stay in the list of processes as zombies.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

import psutil


def still_at_work(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until processes have ended; return those that have not after some seconds."""
    deadline = time.monotonic() + seconds
    left = list(processes)
    while (left := [each for each in left if works(each)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def works(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
