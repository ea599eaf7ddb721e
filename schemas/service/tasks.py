"""Ends asyncio tasks reliably."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

CANCEL_AGAIN_SECONDS = 1.0


def cancelled() -> bool:
    """Return, where a CancelledError arrives, whether it is the running task that was cancelled.

    Otherwise it comes from a future inside a library that was cancelled: a failure like any other, and a task
    that takes it for its own cancellation ends silently.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until each has ended; their exceptions are not raised here.

    One `cancel()` is not enough on Python 3.11: `asyncio.wait_for`, ours or a library's, loses a cancellation
    that arrives as its inner wait completes (python/cpython#86296).
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)


async def ended_within(seconds: float, what: str, ending: Coroutine[Any, Any, Any]) -> bool:
    """Await the end of something; after so many seconds abandon it, and return False.

    `asyncio.wait_for` is no bound: it waits for the coroutine it has cancelled, and Kafka's clients lose a
    cancellation or close on (aiokafka's consumer waits 40 s for a broker that hangs). Raises what `ending`
    raises.
    """
    task = asyncio.ensure_future(ending)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if done:
        task.result()
        return True
    log.warning("%s did not end within %g s and is abandoned", what, seconds)
    task.cancel()
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    return False


def end_left(runner: asyncio.Runner) -> None:
    """End what still runs in a runner's loop, reliably.

    A runner on its own cancels each task once and waits for ever: a task that loses its cancellation, such as
    one of an abandoned Kafka client, would keep it from closing.
    """
    while left := asyncio.all_tasks(runner.get_loop()):
        runner.run(end_tasks(left))


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program's coroutine like `asyncio.run`; tasks left afterwards are ended reliably."""
    with asyncio.Runner() as runner:
        try:
            return runner.run(main)
        finally:
            end_left(runner)
