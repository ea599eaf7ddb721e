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
        message = (
            f"Too many simultaneous queries. Maximum: {self.number} (setting readers); this one has waited "
            f"for {self._wait_seconds:g} s (reader_wait_seconds)"
        )
        raise EngineError.named(202, "TOO_MANY_SIMULTANEOUS_QUERIES", message)

    def give_back(self) -> None:
        """Give a place back."""
        self._free.release()
