"""Evolutions counted over all agents: what rates and increases are taken of.

A counter begins at 0 where a worker starts, and `increase()` of the sum over all sinks is right nevertheless.
Prometheus sees each series at 0 before its first value (`schemas.service.beginnings`), and what a sink has
counted and no Prometheus has seen when it stops is handed over with a committed offset (`plan.Carried`): the
sink that reads on there counts it. Only a sink that is killed loses what it counted after its last scrape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from evometrics.schemas.evolutions.outcome import ABANDONED
from evometrics.schemas.metrics import ATTEMPTS, DURATION, IMPROVEMENT, MEMORY, MetricDef
from evometrics.schemas.rules.validation import STATUSES
from evometrics.schemas.service.beginnings import SeriesKey
from evometrics.schemas.service.distribution import Distribution, durations
from evometrics.sinks.worker.plan import Counts

ENDINGS = (*sorted(STATUSES), ABANDONED)
#: Types of evolutions that are counted by name; what comes after them is counted as `OTHER`.
MOST_TYPES = 100
OTHER = "other"


@dataclass(slots=True)
class OfType:
    """What is known of the evolutions of one type."""

    durations: Distribution = field(default_factory=durations)
    memory: Distribution = field(default_factory=lambda: Distribution(MEMORY.buckets))
    improvement: Distribution = field(default_factory=lambda: Distribution(IMPROVEMENT.buckets))

    def histograms(self) -> Iterator[tuple[MetricDef, Distribution, bool]]:
        """Yield each histogram, and whether it has a sum: one that can fall is no counter."""
        yield DURATION, self.durations, True
        yield MEMORY, self.memory, True
        yield IMPROVEMENT, self.improvement, False


class EvolutionTotals(Collector):
    """Attempts, durations, memory and improvement by evolution type, over all agents."""

    def __init__(self) -> None:
        self.attempts: dict[tuple[str, str], int] = {}
        self.types: dict[str, OfType] = {}

    def know(self, kind: str) -> str:
        """Have series for a type of evolution, at 0 if it is new; return the name it is counted under."""
        if kind in self.types:
            return kind
        if len(self.types) >= MOST_TYPES:
            kind = OTHER
        self.attempts = {(kind, ending): 0 for ending in ENDINGS} | self.attempts
        self.types = {kind: OfType()} | self.types
        return kind

    def add(
        self,
        kind: str,
        status: str,
        seconds: float | None = None,
        memory: float | None = None,
        improvement: float | None = None,
    ) -> None:
        """Count an evolution that has ended; what is None is not known of it."""
        kind = self.know(kind)
        self.attempts[kind, status] = self.attempts.get((kind, status), 0) + 1
        known = self.types[kind]
        if seconds is not None:
            known.durations.add(seconds)
        if memory is not None:
            known.memory.add(memory)
        if improvement is not None:
            known.improvement.add(improvement)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, for `prometheus_client`."""
        attempts = CounterMetricFamily(ATTEMPTS.name, ATTEMPTS.help, labels=ATTEMPTS.labels)
        for labels, count in list(self.attempts.items()):
            attempts.add_metric(labels, count)
        yield attempts
        families = {
            metric.name: HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
            for metric, *_ in OfType().histograms()
        }
        for kind, known in list(self.types.items()):
            for metric, found, summed in known.histograms():
                families[metric.name].add_metric([kind], found.cumulated(), found.total if summed else None)
        yield from families.values()

    def not_shown(self, shown: Mapping[SeriesKey, float]) -> dict[str, list[float]]:
        """Return what is counted beyond what a Prometheus has seen; an empty list for a type alone."""
        found: dict[str, list[float]] = {}
        for kind, known in self.types.items():
            labels = ("evolution_type", kind)
            rest = [
                self.attempts[kind, ending] - shown.get((ATTEMPTS.name, (labels, ("status", ending))), 0)
                for ending in ENDINGS
            ]
            for metric, values, summed in known.histograms():
                below = [
                    count - shown.get((f"{metric.name}_bucket", (labels, ("le", bound))), 0)
                    for bound, count in values.cumulated()
                ]
                rest += [after - before for before, after in pairwise([0.0, *below])]
                if summed:
                    rest.append(values.total - shown.get((f"{metric.name}_sum", (labels,)), 0))
            # there is little room where they go, and most are 0
            found[kind] = [int(each) if each == int(each) else each for each in rest] if any(rest) else []
        return found

    def take(self, counts: Counts) -> None:
        """Count what a sink before this one has handed over."""
        for kind, numbers in counts.items():
            named = self.know(kind)
            known = self.types[named]
            if len(numbers) != handed_over(known):
                continue
            rest = iter(numbers)
            for ending in ENDINGS:
                self.attempts[named, ending] += int(next(rest))
            for _, values, summed in known.histograms():
                values.counts = [count + int(next(rest)) for count in values.counts]
                if summed:
                    values.total += next(rest)


def handed_over(known: OfType) -> int:
    """Return how many numbers a type is handed over with."""
    return len(ENDINGS) + sum(len(values.counts) + summed for _, values, summed in known.histograms())
