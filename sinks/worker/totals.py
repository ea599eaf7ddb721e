"""Evolutions counted over all agents: what rates and increases are taken of.

A counter begins at 0 where a worker starts, and `increase()` of the sum over all sinks is right nevertheless.
Prometheus sees each series at 0 before its first value (`schemas.service.beginnings`), and what a sink has
counted and no Prometheus has seen when it stops is handed over with a committed offset (`plan.Carried`): the
sink that reads on there counts it. Only a sink that is killed loses what it counted after its last scrape.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from evometrics.schemas.evolutions.outcome import ABANDONED
from evometrics.schemas.metrics import ATTEMPTS, DURATION
from evometrics.schemas.rules.validation import STATUSES
from evometrics.schemas.service.beginnings import SeriesKey
from evometrics.sinks.worker.plan import Counts

BOUNDS = DURATION.buckets
#: Labels of a histogram's buckets.
LABELS_OF_BOUNDS = [*(str(float(bound)) for bound in BOUNDS), "+Inf"]
ENDINGS = (*sorted(STATUSES), ABANDONED)
#: Types of evolutions that are counted by name; what comes after them is counted as `OTHER`.
MOST_TYPES = 100
OTHER = "other"


@dataclass(slots=True)
class Durations:
    """Durations of evolutions.

    Attributes:
        counts: per bucket (`le` semantics); the last entry is the +Inf bucket.
        seconds: their sum.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class EvolutionTotals(Collector):
    """Attempts and durations by evolution type, over all agents."""

    def __init__(self) -> None:
        self.attempts: dict[tuple[str, str], int] = {}
        self.durations: dict[str, Durations] = {}

    def know(self, kind: str) -> str:
        """Have series for a type of evolution, at 0 if it is new; return the name it is counted under."""
        if kind in self.durations:
            return kind
        if len(self.durations) >= MOST_TYPES:
            kind = OTHER
        self.attempts = {(kind, ending): 0 for ending in ENDINGS} | self.attempts
        self.durations = {kind: Durations()} | self.durations
        return kind

    def add(self, kind: str, status: str, seconds: float | None) -> None:
        """Count an evolution that has ended; `seconds` is None where its duration is unknown."""
        kind = self.know(kind)
        self.attempts[kind, status] = self.attempts.get((kind, status), 0) + 1
        if seconds is not None:
            self.durations[kind].add(seconds)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, for `prometheus_client`."""
        attempts = CounterMetricFamily(ATTEMPTS.name, ATTEMPTS.help, labels=ATTEMPTS.labels)
        for labels, count in list(self.attempts.items()):
            attempts.add_metric(labels, count)
        yield attempts
        durations = HistogramMetricFamily(DURATION.name, DURATION.help, labels=DURATION.labels)
        for kind, known in list(self.durations.items()):
            buckets = list(zip(LABELS_OF_BOUNDS, accumulate(known.counts), strict=True))
            durations.add_metric([kind], buckets, known.seconds)
        yield durations

    def not_shown(self, shown: Mapping[SeriesKey, float]) -> dict[str, list[float]]:
        """Return what is counted beyond what a Prometheus has seen; an empty list for a type alone."""
        found: dict[str, list[float]] = {}
        for kind, known in self.durations.items():
            labels = ("evolution_type", kind)
            ended = [
                self.attempts[kind, ending] - shown.get((ATTEMPTS.name, (labels, ("status", ending))), 0)
                for ending in ENDINGS
            ]
            below = [
                count - shown.get((f"{DURATION.name}_bucket", (labels, ("le", bound))), 0)
                for bound, count in zip(LABELS_OF_BOUNDS, accumulate(known.counts), strict=True)
            ]
            counts = [after - before for before, after in pairwise([0.0, *below])]
            seconds = known.seconds - shown.get((f"{DURATION.name}_sum", (labels,)), 0)
            rest = [*ended, *counts, seconds]
            found[kind] = rest if any(rest) else []
        return found

    def take(self, counts: Counts) -> None:
        """Count what a sink before this one has handed over."""
        for kind, numbers in counts.items():
            named = self.know(kind)
            if len(numbers) != len(ENDINGS) + len(BOUNDS) + 2:
                continue
            for ending, number in zip(ENDINGS, numbers, strict=False):
                self.attempts[named, ending] += int(number)
            durations = self.durations[named]
            buckets = numbers[len(ENDINGS) : -1]
            durations.counts = [
                count + int(more) for count, more in zip(durations.counts, buckets, strict=True)
            ]
            durations.seconds += numbers[-1]
