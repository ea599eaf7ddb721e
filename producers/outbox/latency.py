"""Recording latency: a histogram that costs a fraction of a microsecond per event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evometrics.producers.outbox.row import Row, count_waits


class Latency:
    """Counts durations by upper bound, in seconds. Changed by one thread only.

    Attributes:
        counts: durations per bucket, not cumulative; the last entry is the +Inf bucket.
        total: their sum.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, rows: Iterable[Row]) -> None:
        """Count how long rows have waited, from when they were made until now."""
        self.total += count_waits(rows, self.bounds, self.counts)

    def cumulated(self) -> list[tuple[float, int]]:
        """Return each bound, and infinity, with the number of durations up to it."""
        found: list[tuple[float, int]] = []
        count = 0
        for bound, more in zip((*self.bounds, float("inf")), self.counts, strict=True):
            count += more
            found.append((bound, count))
        return found
