"""Shared by the commands of long-running workers."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable

from evometrics.deploy.process.signals import terminated

#: Modules of which only warnings and errors are logged, not each step.
FAUST = ("evometrics.streams.worker.app", "evometrics.streams.changelog.tables")
CHATTY = ("faust", "mode", "aiokafka", "asyncio", *FAUST)


def log_to_stderr() -> None:
    """Log for operators: what happened, where, what happens next."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


async def until_terminated(run: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run a worker; SIGTERM and Ctrl-C set the event that stops it. Returns the exit code."""
    stop = asyncio.Event()

    async def wait() -> None:
        await terminated()
        stop.set()

    waiting = asyncio.create_task(wait())
    try:
        await run(stop)
    finally:
        waiting.cancel()
    return 0
