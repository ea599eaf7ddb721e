"""A fitness over many iterations in bounded memory; thinning keeps the first, last and best point."""

from __future__ import annotations

from collections.abc import Sequence

from evometrics.producers.events.left_out import LeftOut

#: Points that are all kept; of more, every second, fourth, eighth, … is kept.
MOST_POINTS = 120_000
FIELD = "fitness_trajectory"


class Trajectory:
    """Collects one fitness value per iteration.

    Attributes:
        count: values added.
        best_after: how many values there were when the best (largest) came; 0 without any.
    """

    __slots__ = ("best", "best_after", "count", "every", "kept", "last")

    def __init__(self) -> None:
        self.count = self.best_after = 0
        self.every = 1
        self.kept: list[float] = []
        self.best = self.last = 0.0

    def append(self, value: float) -> None:
        """Add the next value."""
        if self.count % self.every == 0:
            self.kept.append(value)
            if len(self.kept) > MOST_POINTS:
                self.kept = self.kept[::2]
                self.every *= 2
        self.count += 1
        self.last = value
        if not self.best_after or value > self.best:
            self.best, self.best_after = value, self.count

    def points(self, left_out: LeftOut) -> list[float]:
        """Return the values, or first, last, best and evenly spaced ones; notes where some are left out."""
        points = list(self.kept)
        if self.every == 1:
            return points
        best_at, last_at = self.best_after - 1, self.count - 1
        if last_at % self.every:
            points.append(self.last)
        if best_at % self.every and best_at != last_at:
            points.insert(best_at // self.every + 1, self.best)
        left_out.add(FIELD, f"{self.count} points", f"thinned to {len(points)}")
        return points


def thinned(points: Sequence[float], most: int) -> list[float]:
    """Return about `most` (at least 3) of the points: first, last, best, and others evenly spaced."""
    if len(points) <= most:
        return list(points)
    step = -(-len(points) // max(1, most - 2))
    best = max(range(len(points)), key=points.__getitem__)
    kept = sorted({*range(0, len(points), step), best, len(points) - 1})
    return [points[i] for i in kept]
