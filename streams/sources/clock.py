"""The broker's time, by which evolutions count as abandoned even if no event comes.

The worker's own clock may be hours wrong, and the events' times come from the nodes' clocks. The broker
stamps records written to changelogs (`changelog.topics`); the monotonic clock measures how long ago that is.
Both err in one direction: the broker's time is never earlier than the time returned here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from evometrics.schemas.wire.reading import Record

#: `timestamp_type` of a record to which the broker gave its time.
LOG_APPEND_TIME = 1


class BrokerClock:
    """The broker's time, based on its last stamp."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.ahead: float | None = None

    def stamped(self, millis: int) -> None:
        """Note that the broker has stamped a record just now."""
        self.ahead = millis / 1000 - self.monotonic()

    def now(self) -> int | None:
        """Return the broker's time, microseconds; None if it has not stamped anything yet."""
        return None if self.ahead is None else round((self.ahead + self.monotonic()) * 1_000_000)

    def arrived(self, record: Record) -> int:
        """Return when a record arrived at the broker, microseconds; never earlier than it did.

        A record with its sender's time may carry one from long ago, as copied history does: it counts as
        arriving now.
        """
        stamp = record.timestamp * 1000
        if getattr(record, "timestamp_type", LOG_APPEND_TIME) == LOG_APPEND_TIME:
            return stamp
        return max(stamp, self.now() or stamp)


class HistoryClock(BrokerClock):
    """The clock of a recomputed history: each event arrived when Kafka says it did."""

    def arrived(self, record: Record) -> int:
        """Return a record's time."""
        return record.timestamp * 1000
