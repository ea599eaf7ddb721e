"""What statements may take: a number of them at once, time and memory, and the engine's attention."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from evometrics.deploy.clickhouse.exchange import EngineError


@dataclass(frozen=True, slots=True)
class ReaderLimits:
    """What the statements of users who only read may take.

    Attributes:
        number: how many run at once.
        wait_seconds: how long a further one waits before it is refused.
        seconds: the time of one, with sending its result.
        memory: bytes of one.
    """

    number: int = 4
    wait_seconds: float = 10.0
    seconds: float = 300.0
    memory: int = 1024**3

    @property
    def settings(self) -> dict[str, str]:
        """The engine's settings that say so; a reader may set them lower."""
        seconds = f"{self.seconds:g}"
        return {"max_execution_time": seconds, "max_memory_usage": str(self.memory)}

    @property
    def most(self) -> dict[str, float]:
        """The highest values that a reader may set."""
        return {name: float(value) for name, value in self.settings.items()}


class ReaderPlaces:
    """A number of places, taken and given back in one event loop; first come, first served.

    Args:
        number: how many there are.
        wait_seconds: how long a statement waits for one before it is refused.
    """

    def __init__(self, number: int, wait_seconds: float) -> None:
        self.number = number
        self._wait_seconds = wait_seconds
        self._free = asyncio.Semaphore(number)

    async def take(self) -> None:
        """Take a place; raises `EngineError` (202) where none becomes free in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
                return
        message = f"Too many simultaneous queries. Maximum: {self.number}"
        raise EngineError.named(202, "TOO_MANY_SIMULTANEOUS_QUERIES", message)

    def give_back(self) -> None:
        """Give a place back."""
        self._free.release()


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
