"""Values counted by upper bound: plain numbers, as a histogram shows them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

from evometrics.schemas.metrics import DURATION


@dataclass(slots=True)
class Distribution:
    """Values counted by upper bound.

    Attributes:
        bounds: the upper bounds (`le` semantics), without +Inf.
        counts: per bucket, not cumulative; the last entry is the +Inf bucket.
        total: sum of the values.
    """

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulated(self) -> list[tuple[str, int]]:
        """Return each bound as its label, +Inf included, with the number of values up to it."""
        return list(zip(labels_of(self.bounds), accumulate(self.counts), strict=True))


@cache
def labels_of(bounds: tuple[float, ...]) -> list[str]:
    return [*(str(float(bound)) for bound in bounds), "+Inf"]


def durations() -> Distribution:
    """Return one for durations in seconds."""
    return Distribution(DURATION.buckets)
