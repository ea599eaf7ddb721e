"""Handling of SIGTERM and Ctrl-C."""

from __future__ import annotations

import asyncio
import signal

ENDING = (signal.SIGTERM, signal.SIGINT)


async def terminated() -> None:
    """Return at the first SIGTERM or SIGINT; a second one then acts as if this had never been called."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    for number in ENDING:
        loop.add_signal_handler(number, arrived.set)
    try:
        await arrived.wait()
    finally:
        for number in ENDING:
            loop.remove_signal_handler(number)
