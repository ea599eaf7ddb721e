"""Ending asyncio tasks for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

CANCEL_AGAIN_SECONDS = 1.0


def cancelled() -> bool:
    """Tell, where a CancelledError arrives, whether it is the running task that was cancelled.

    Else it comes from a future inside a library that was cancelled: a failure as any other, and a task
    that takes it for its own end is gone without a word.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until each has ended; what they raise is theirs and stays with them.

    One `cancel()` is not enough on Python 3.11: `asyncio.wait_for`, ours or a library's, loses a
    cancellation that arrives as its inner wait completes (python/cpython#86296).
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)
