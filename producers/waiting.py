"""Who waits for a row to be on disk, and how they are told: with one wake-up per event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence


def answer(waiters: Sequence[asyncio.Future[bool]], stored: Sequence[bool]) -> None:
    """Tell everyone who waits whether the row is on disk, from any thread."""
    by_loop: dict[asyncio.AbstractEventLoop, dict[asyncio.Future[bool], bool]] = {}
    for waiter, fits in zip(waiters, stored, strict=True):
        by_loop.setdefault(waiter.get_loop(), {})[waiter] = fits
    for loop, answers in by_loop.items():
        try:
            loop.call_soon_threadsafe(settle, answers)
        except RuntimeError:
            # The loop was closed while its events were committed: nobody waits there any more.
            continue


def settle(answers: Mapping[asyncio.Future[bool], bool]) -> None:
    """Resolve futures, in their own loop."""
    for future, stored in answers.items():
        if not future.done():
            future.set_result(stored)
