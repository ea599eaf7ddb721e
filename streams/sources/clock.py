"""What time it is at the broker, by which evolutions count as abandoned though no event comes.

Not by the worker's own clock, which may be hours wrong, nor by the events', which are the nodes' clocks. The
broker stamps what is written to changelogs (`changelogs`); the monotonic clock tells how long ago that is.
Both err to one side: at the broker it is never earlier than what is said here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from evometrics.schemas.wire.reading import Record

#: `timestamp_type` of a record whose time the broker gave it.
LOG_APPEND_TIME = 1


class BrokerClock:
    """The broker's time, from what it stamped last."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.ahead: float | None = None

    def stamped(self, millis: int) -> None:
        """Take in that the broker has stamped something just now."""
        self.ahead = millis / 1000 - self.monotonic()

    def now(self) -> int | None:
        """Return the broker's time, microseconds; None where it has not stamped anything yet."""
        return None if self.ahead is None else round((self.ahead + self.monotonic()) * 1_000_000)

    def arrived(self, record: Record) -> int:
        """Return when a record came to the broker, microseconds: not before then.

        A record that has its sender's time may have been sent with that of long ago, as a copy of history is:
        it counts as having come now.
        """
        stamp = record.timestamp * 1000
        if getattr(record, "timestamp_type", LOG_APPEND_TIME) == LOG_APPEND_TIME:
            return stamp
        return max(stamp, self.now() or stamp)


class HistoryClock(BrokerClock):
    """The clock of a history that is computed again: each event came when Kafka says it did."""

    def arrived(self, record: Record) -> int:
        """Return a record's time."""
        return record.timestamp * 1000
