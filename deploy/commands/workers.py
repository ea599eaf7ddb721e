"""Shared by the commands of long-running workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from evometrics.deploy.process.signals import terminated


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
