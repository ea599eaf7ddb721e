"""Inserts first: what reads pauses while they run, for a part of the time."""

from __future__ import annotations

import asyncio
import contextlib
import time

#: Seconds that a result is held back for an insert at most; as long as the engine holds a reading back.
PAUSE_SECONDS = 1.0


class InsertsFirst:
    """The inserts that results wait for; used in one event loop, whose time results take too."""

    def __init__(self) -> None:
        self._precedence = Precedence()
        self._running = 0
        self._none = asyncio.Event()
        self._none.set()

    def begin(self) -> bool:
        """Return whether an insert that begins now has precedence; if so it is to `end` too."""
        if not self._precedence.begin(time.monotonic()):
            return False
        self._running += 1
        self._none.clear()
        return True

    def end(self) -> None:
        """Take note of the end of an insert that had precedence."""
        self._precedence.end(time.monotonic())
        self._running -= 1
        if not self._running:
            self._none.set()

    async def wait(self) -> None:
        """Wait until none is running, a second at most."""
        if not self._none.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none.wait(), PAUSE_SECONDS)


class Precedence:
    """Decides which inserts readers pause for: those that take less than half of the time.

    The engine lets a reading statement wait, from one block to the next, while one of a higher priority runs.
    Without a bound a sink that catches up for an hour would stop all readers for an hour.

    Args:
        share: how much of the time the inserts with precedence may take.
        seconds: over which the time is averaged.
    """

    def __init__(self, share: float = 0.5, seconds: float = 2.0) -> None:
        self._share = share
        self._seconds = seconds
        self._busy = 0.0
        self._running = 0
        self._at = 0.0

    def begin(self, now: float) -> bool:
        """Return whether an insert that begins now has precedence; if so it is to `end` too."""
        self._advance(now)
        if self._busy >= self._share:
            return False
        self._running += 1
        return True

    def end(self, now: float) -> None:
        """Take note of the end of an insert that had precedence."""
        self._advance(now)
        self._running -= 1

    def _advance(self, now: float) -> None:
        keep = 0.5 ** ((now - self._at) / self._seconds)
        self._busy = self._busy * keep + (1 - keep if self._running else 0.0)
        self._at = now
