"""Resolves the futures of those who wait for a row to be on disk, with one wake-up per event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence


def answer(waiters: Sequence[asyncio.Future[bool]], stored: Sequence[bool]) -> None:
    """Resolve each future with whether its row is on disk, from any thread."""
    loops = {waiter.get_loop() for waiter in waiters}
    for loop in loops:
        mine, theirs = waiters, stored
        if len(loops) > 1:
            places = [number for number, waiter in enumerate(waiters) if waiter.get_loop() is loop]
            mine, theirs = [waiters[n] for n in places], [stored[n] for n in places]
        try:
            loop.call_soon_threadsafe(settle, mine, theirs)
        except RuntimeError:
            # The loop was closed while its events were committed: nobody waits there any more.
            continue


def settle(waiters: Sequence[asyncio.Future[bool]], stored: Sequence[bool]) -> None:
    """Resolve futures, in their own loop."""
    for future, fits in zip(waiters, stored, strict=True):
        if not future.done():
            future.set_result(fits)
