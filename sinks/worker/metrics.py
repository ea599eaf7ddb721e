"""The metrics of evolutions and agents, as a Prometheus collector over plain numbers.

Plain dicts instead of `prometheus_client` objects: looking one of those up by its labels takes longer than
all other work on an evolution's row.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from evometrics.schemas.metrics import (
    AGENT_KPI,
    EVOLUTION_ATTEMPTS,
    EVOLUTION_DURATION,
    EVOLUTION_IMPROVEMENT,
    EVOLUTION_MEMORY,
    OUTBOX_DEPTH,
    MetricDef,
)

#: When something was measured: event time in microseconds; the event's id breaks ties.
Moment = tuple[int, str]
BOUNDS = EVOLUTION_DURATION.buckets


class Newest:
    """The newest value by name: a value with an older moment than the present one is ignored."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[Moment, float]] = {}

    def offer(self, name: str, moment: Moment, value: float) -> None:
        """Keep the value if it is the newest."""
        known = self.values.get(name)
        if known is None or moment >= known[0]:
            self.values[name] = (moment, value)

    def family(self, definition: MetricDef) -> GaugeMetricFamily:
        """Return the values as a gauge."""
        family = GaugeMetricFamily(definition.name, definition.help, labels=definition.labels)
        for name, (_, value) in self.values.items():
            family.add_metric([name], value)
        return family


@dataclass(slots=True)
class Durations:
    """Durations of evolutions.

    Attributes:
        counts: per bucket (`le` semantics); the last entry is the +Inf bucket.
        seconds: their sum.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0


class EvolutionPrometheusCollector(Collector):
    """Holds the counts and serves them at each scrape."""

    def __init__(self) -> None:
        self.attempts: dict[tuple[str, str, str], int] = {}
        self.durations: dict[tuple[str, str], Durations] = {}
        self.improvement = Newest()
        self.memory = Newest()
        self.outbox = Newest()
        self.kpis: dict[str, tuple[Moment, Mapping[str, float]]] = {}

    def add_attempt(self, agent: str, kind: str, status: str) -> None:
        """Count an evolution that has ended."""
        key = (agent, kind, status)
        self.attempts[key] = self.attempts.get(key, 0) + 1

    def add_duration(self, agent: str, kind: str, seconds: float) -> None:
        """Count an evolution's duration."""
        known = self.durations.get((agent, kind))
        if known is None:
            known = self.durations[agent, kind] = Durations()
        known.counts[bisect_left(BOUNDS, seconds)] += 1
        known.seconds += seconds

    def offer_kpis(self, agent: str, moment: Moment, kpis: Mapping[str, float]) -> None:
        """Keep a snapshot's KPIs where they are the agent's newest."""
        known = self.kpis.get(agent)
        if known is None or moment >= known[0]:
            self.kpis[agent] = (moment, kpis)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, for `prometheus_client`."""
        attempts = CounterMetricFamily(
            EVOLUTION_ATTEMPTS.name, EVOLUTION_ATTEMPTS.help, labels=EVOLUTION_ATTEMPTS.labels
        )
        for labels, count in self.attempts.items():
            attempts.add_metric(labels, count)
        yield attempts
        durations = HistogramMetricFamily(
            EVOLUTION_DURATION.name, EVOLUTION_DURATION.help, labels=EVOLUTION_DURATION.labels
        )
        bounds = [str(float(b)) for b in BOUNDS] + ["+Inf"]
        for pair, known in self.durations.items():
            buckets = list(zip(bounds, accumulate(known.counts), strict=True))
            durations.add_metric(pair, buckets, known.seconds)
        yield durations
        yield self.improvement.family(EVOLUTION_IMPROVEMENT)
        yield self.memory.family(EVOLUTION_MEMORY)
        kpis = GaugeMetricFamily(AGENT_KPI.name, AGENT_KPI.help, labels=AGENT_KPI.labels)
        for agent, (_, values) in self.kpis.items():
            for name, value in values.items():
                kpis.add_metric([agent, name], value)
        yield kpis
        yield self.outbox.family(OUTBOX_DEPTH)
