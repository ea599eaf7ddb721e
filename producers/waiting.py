"""Who waits for a row to be on disk, and how they are told: with one wake-up per event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence


def answer(waiters: Sequence[asyncio.Future[bool]], stored: Sequence[bool]) -> None:
    """Tell everyone who waits whether the row is on disk, from any thread."""
    for loop in {waiter.get_loop() for waiter in waiters}:
        answers = [
            (waiter, fits) for waiter, fits in zip(waiters, stored, strict=True) if waiter.get_loop() is loop
        ]
        try:
            loop.call_soon_threadsafe(settle, answers)
        except RuntimeError:
            # The loop was closed while its events were committed: nobody waits there any more.
            continue


def settle(answers: Sequence[tuple[asyncio.Future[bool], bool]]) -> None:
    """Resolve futures, in their own loop."""
    for future, stored in answers:
        if not future.done():
            future.set_result(stored)
