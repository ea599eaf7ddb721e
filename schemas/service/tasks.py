"""Ending asyncio tasks for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

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


def end_left(runner: asyncio.Runner) -> None:
    """End what still runs in a runner's loop, for certain.

    A runner by itself cancels each task once and waits for ever: one that loses its cancellation, as a Kafka
    client's that was given up may, would keep it from closing.
    """
    while left := asyncio.all_tasks(runner.get_loop()):
        runner.run(end_tasks(left))


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program's coroutine like `asyncio.run`; what is left afterwards is ended for certain."""
    with asyncio.Runner() as runner:
        try:
            return runner.run(main)
        finally:
            end_left(runner)
