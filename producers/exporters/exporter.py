"""The specification's backends that get a copy: best effort, in the background, never delaying recording.

The authoritative record is the outbox and the broker, or the history without one; an export that fails is
retried with newer figures, and at worst lost.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod

from evometrics.producers.events.custom_metrics import RegisteredMetric
from evometrics.schemas.events import Event
from evometrics.schemas.service.backoff import backoff

logger = logging.getLogger(__name__)

INTERVAL = 60.0


class TryLater(OSError):
    """The server asks for a pause of `seconds` before the next attempt."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Exporter(ABC):
    """Sees every recorded event immediately, and sends its data every `interval` seconds.

    Attributes:
        address: the target, for the log.
        problem: why the last attempt failed; empty where it did not.
        asked_pause: seconds that the server asked to wait; 0 where it did not.
    """

    def __init__(self, address: str, interval: float) -> None:
        self.address = address
        self.interval = interval
        self.problem = ""
        self.asked_pause = 0.0

    @abstractmethod
    def observe(self, event: Event) -> None:
        """Process an event; in memory only, from any thread."""

    def register(self, metric: RegisteredMetric) -> None:  # noqa: B027 - most have nothing to do
        """Register a metric of the node's own code."""

    @abstractmethod
    def send(self) -> None:
        """Send; blocking, in a thread of its own. Raises OSError where that fails."""

    def close(self) -> None:  # noqa: B027 - most have nothing to do
        """Withdraw what should not outlive the collector; blocking, after the last export. Raises OSError."""

    async def export(self) -> bool:
        """Send once; return whether it worked."""
        self.asked_pause = 0.0
        try:
            await asyncio.to_thread(self.send)
        except Exception as error:
            if not self.problem:
                logger.warning("%s: export failed and is retried: %s", self.address, error)
            self.problem = str(error) or type(error).__name__
            self.asked_pause = error.seconds if isinstance(error, TryLater) else 0.0
            return False
        if self.problem:
            logger.info("%s: export works again", self.address)
        self.problem = ""
        return True

    async def run(self) -> None:
        """Export for ever; earlier again after a failure."""
        failures = 0
        while True:
            wait = backoff(failures, self.interval) if failures else self.interval
            await asyncio.sleep(max(wait, self.asked_pause))
            failures = 0 if await self.export() else failures + 1
