"""Shared by the commands of long-running workers."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from importlib.metadata import version

from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.process.signals import terminated
from evometrics.schemas.service.compiled import build

log = logging.getLogger("evometrics")

#: A worker that was asked to end has this long: less than the 30 s that supervisors give by default. Whatever
#: it had begun is continued by its successor, as after a crash.
END_SECONDS = 25.0


async def until_terminated(run: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run a worker; SIGTERM and Ctrl-C set the event that stops it. Returns the exit code.

    The process ends `END_SECONDS` later at the latest, whatever hangs.
    """
    log.info("evometrics %s (%s)", version("evometrics"), build())
    stop = asyncio.Event()

    async def wait() -> None:
        await terminated()
        last = threading.Timer(END_SECONDS, end_now)
        last.daemon = True
        last.start()
        stop.set()

    waiting = asyncio.create_task(wait())
    try:
        await run(stop)
    finally:
        waiting.cancel()
    return ExitCode.DONE


def end_now() -> None:
    """End the process, from a thread: a library may hang, or the event loop."""
    log.error(
        "the worker has not ended within %.0f s of being asked to, and is ended as it is: what it had begun "
        "is done again from its last commit",
        END_SECONDS,
    )
    logging.shutdown()
    os._exit(ExitCode.FAILED)
