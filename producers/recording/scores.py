"""Which candidate of a run is better: scores by name, the best so far, the front of several objectives."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from operator import gt, lt

MINIMIZE, PARETO = "minimize", "pareto"
#: Most candidates whose scores are remembered, the newest.
MOST_SCORES = 200_000


def finite(value: object) -> float | None:
    """Return a score as a float, to the bit; None where it is no finite number."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except Exception:
        return None
    return found if math.isfinite(found) else None


class Scores:
    """What the candidates of one run have reached.

    Attributes:
        best: the best score of a single objective; None before the first.
        front: with several objectives, the points that no other dominates: a number for each of `objectives`,
            the greater the better.
        count: candidates so far.
    """

    def __init__(self, direction: str, directions: Mapping[str, str]) -> None:
        """`directions`: by name, of several objectives; one that is not named is to be maximised."""
        self.direction, self.directions = direction, directions
        self.sign = -1.0 if direction == MINIMIZE else 1.0
        self.signs = {name: -1.0 if way == MINIMIZE else 1.0 for name, way in directions.items()}
        self.by_name: OrderedDict[str, float | None] = OrderedDict()
        self.best: float | None = None
        self.objectives: tuple[str, ...] = tuple(directions)
        self.front: list[tuple[float, ...]] = []
        self.count = 0

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def better(self, one: float, other: float) -> bool:
        """Return whether one score is better than another."""
        return one * self.sign > other * self.sign

    def of(self, names: Iterable[str]) -> list[float]:
        """Return the scores of those candidates that are known and have one."""
        return [score for name in names if (score := self.by_name.get(name)) is not None]

    def add(self, name: str, score: float | None) -> None:
        """Note a candidate, and its score where it has one."""
        self.by_name[name] = score
        if len(self.by_name) > MOST_SCORES:
            self.by_name.popitem(last=False)
        self.count += 1
        if score is not None:
            self.take(score)

    def take(self, score: float) -> None:
        """Note a score of a candidate that is not one of this run's here."""
        if self.best is None or self.better(score, self.best):
            self.best = score

    def anew(self) -> Scores:
        """Return scores that know the same candidates, and nothing that they have reached."""
        found = Scores(self.direction, self.directions)
        found.by_name, found.count = self.by_name, self.count
        return found

    def add_to_front(self, scores: Mapping[str, float]) -> bool:
        """Note the scores of several objectives; return whether no earlier one has or dominates them."""
        if not self.objectives:
            self.objectives = tuple(scores)
        signed = {name: value * self.signs.get(name, 1.0) for name, value in scores.items()}
        point = tuple(signed.get(name, -math.inf) for name in self.objectives)
        # a front may have thousands of points: each is compared without a Python frame of its own
        if any(not any(map(lt, other, point)) for other in self.front):
            return False
        self.front = [other for other in self.front if any(map(gt, other, point))]
        self.front.append(point)
        return True
