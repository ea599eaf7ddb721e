"""The metrics of evolutions and agents, as a Prometheus collector over plain numbers.

Plain dicts and not `prometheus_client` objects: a batch's counts, sums and bucket counts come from
ClickHouse already added up, and a histogram object takes single observations only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from evometrics.schemas.metric_defs import (
    AGENT_KPI,
    EVOLUTION_ATTEMPTS,
    EVOLUTION_DURATION,
    EVOLUTION_IMPROVEMENT,
    EVOLUTION_MEMORY,
    OUTBOX_DEPTH,
    MetricDef,
)

#: When something was measured: event time in microseconds, then the event's id where times are equal.
Moment = tuple[int, str]


class Newest:
    """The newest value by name: a value with an older moment than the one there is left out."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[Moment, float]] = {}

    def offer(self, name: str, moment: Moment, value: float) -> None:
        """Take the value where it is the newest."""
        known = self.values.get(name)
        if known is None or moment >= known[0]:
            self.values[name] = (moment, value)

    def family(self, definition: MetricDef) -> GaugeMetricFamily:
        """Return the values as a gauge."""
        family = GaugeMetricFamily(definition.name, definition.help, labels=definition.labels)
        for name, (_, value) in self.values.items():
            family.add_metric([name], value)
        return family


class EvolutionMetricsCollector(Collector):
    """Holds what was counted and serves it at each scrape."""

    def __init__(self) -> None:
        self.attempts: dict[tuple[str, str, str], int] = {}
        self.buckets: dict[tuple[str, str], list[int]] = {}
        self.seconds: dict[tuple[str, str], float] = {}
        self.improvement = Newest()
        self.memory = Newest()
        self.outbox = Newest()
        self.kpis: dict[str, tuple[Moment, Mapping[str, float]]] = {}

    def add_attempts(self, agent: str, kind: str, status: str, count: int) -> None:
        """Count evolutions that ended."""
        key = (agent, kind, status)
        self.attempts[key] = self.attempts.get(key, 0) + count

    def add_durations(self, agent: str, kind: str, buckets: Sequence[int], seconds: float) -> None:
        """Add durations: cumulative counts for each bound of the definition and for +Inf, and their sum."""
        key = (agent, kind)
        known = self.buckets.get(key, [0] * len(buckets))
        self.buckets[key] = [a + b for a, b in zip(known, buckets, strict=True)]
        self.seconds[key] = self.seconds.get(key, 0.0) + seconds

    def offer_kpis(self, agent: str, moment: Moment, kpis: Mapping[str, float]) -> None:
        """Take a snapshot's KPIs where it is the agent's newest."""
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
        bounds = [str(float(b)) for b in EVOLUTION_DURATION.buckets] + ["+Inf"]
        for pair, counts in self.buckets.items():
            durations.add_metric(pair, list(zip(bounds, counts, strict=True)), self.seconds[pair])
        yield durations
        yield self.improvement.family(EVOLUTION_IMPROVEMENT)
        yield self.memory.family(EVOLUTION_MEMORY)
        kpis = GaugeMetricFamily(AGENT_KPI.name, AGENT_KPI.help, labels=AGENT_KPI.labels)
        for agent, (_, values) in self.kpis.items():
            for name, value in values.items():
                kpis.add_metric([agent, name], value)
        yield kpis
        yield self.outbox.family(OUTBOX_DEPTH)
