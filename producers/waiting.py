"""Who waits for a row to be on disk, and how they are told: with one wake-up per event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from evometrics.producers.outbox_file import ROW_OVERHEAD


@dataclass(slots=True)
class Waiting:
    """A row on its way to its commit, and who waits for it: True = it is on disk."""

    topic: str
    key: str
    value: bytes
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[bool]

    @property
    def size(self) -> int:
        """Bytes that count towards the outbox's limit."""
        return len(self.value) + ROW_OVERHEAD


def answer(batch: list[Waiting], stored: list[bool]) -> None:
    """Tell everyone who waits, from any thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[bool], bool]]] = {}
    for waiting, fits in zip(batch, stored, strict=True):
        by_loop.setdefault(waiting.loop, []).append((waiting.done, fits))
    for loop, answers in by_loop.items():
        try:
            loop.call_soon_threadsafe(settle, answers)
        except RuntimeError:
            # The loop was closed while its events were committed: nobody waits there any more.
            continue


def settle(answers: list[tuple[asyncio.Future[bool], bool]]) -> None:
    """Resolve futures, in their own loop."""
    for future, stored in answers:
        if not future.done():
            future.set_result(stored)
