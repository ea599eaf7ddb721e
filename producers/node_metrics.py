"""A node's own Prometheus metrics: its outbox and recording, the specification's four, its own code's.

Needs prometheus_client (`evometrics[prometheus]`). Figures of the node are read when they are scraped; what
evolutions and custom metrics say is counted as it is recorded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from evometrics.producers.custom_metrics import RegisteredMetric, exposed_name
from evometrics.producers.latency import Latency
from evometrics.schemas import metric_defs as m
from evometrics.schemas.events import CustomMetric, Event, EvolutionCompleted, KpiSnapshot
from evometrics.schemas.kpis import KPI_NAMES, performance
from evometrics.schemas.settings import SettingsError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

SPECIFIED = (
    m.EVOLUTION_ATTEMPTS,
    m.EVOLUTION_DURATION,
    m.EVOLUTION_IMPROVEMENT,
    m.EVOLUTION_MEMORY,
    m.AGENT_KPI,
)


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """What a node tells of itself at one moment; counters since its collector was made.

    Attributes:
        oldest: when the oldest event that waits was recorded, Unix seconds; None where none waits.
    """

    depth: int
    bytes: int
    oldest: float | None
    recorded: Mapping[str, int]
    sent: Mapping[str, int]
    shed: Mapping[str, int]
    left_out: Mapping[str, int]
    rejected: int
    refused: int
    failed: int
    publish_errors: int
    connected: bool
    latency: Latency


def require_client(setting: str, value: object) -> None:
    """Raise `SettingsError`, naming the setting, where prometheus_client is not installed."""
    if find_spec("prometheus_client") is None:
        raise SettingsError(
            f"setting {setting}={value!r}: needs prometheus_client; install `evometrics[prometheus]`, "
            "or leave the setting out"
        )


class NodeMetrics:
    """One registry with all metrics of a node's collector."""

    def __init__(self, figures: Callable[[], NodeFigures]) -> None:
        from prometheus_client import CollectorRegistry

        self.figures = figures
        self.registry: CollectorRegistry = CollectorRegistry()
        self.specified = m.Instruments(self.registry, SPECIFIED)
        self.custom: dict[str, Any] = {}
        self.lock = threading.Lock()
        self.registry.register(self)

    def describe(self) -> list[Metric]:
        """Return nothing: a registry that is given no names does not ask for figures to learn them."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give the node's present figures."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        now, found = time.time(), self.figures()
        age = 0.0 if found.oldest is None else max(0.0, now - found.oldest)
        gauges = {
            m.OUTBOX_EVENTS: found.depth,
            m.OUTBOX_BYTES: found.bytes,
            m.OUTBOX_OLDEST_SECONDS: age,
            m.BROKER_CONNECTED: float(found.connected),
        }
        for definition, value in gauges.items():
            yield GaugeMetricFamily(definition.name, definition.help, value=value)
        counters = {
            m.EVENTS_REJECTED: found.rejected,
            m.EVENTS_REFUSED: found.refused,
            m.EVENTS_FAILED: found.failed,
            m.PUBLISH_ERRORS: found.publish_errors,
        }
        for definition, value in counters.items():
            yield CounterMetricFamily(definition.name, definition.help, value=value)
        labelled = {
            m.EVENTS_RECORDED: found.recorded,
            m.EVENTS_SENT: found.sent,
            m.EVENTS_SHED: found.shed,
            m.VALUES_LEFT_OUT: found.left_out,
        }
        for definition, values in labelled.items():
            family = CounterMetricFamily(definition.name, definition.help, labels=definition.labels)
            for label, value in values.items():
                family.add_metric([label], value)
            yield family
        buckets = [
            ("+Inf" if bound == float("inf") else repr(bound), n) for bound, n in found.latency.cumulated()
        ]
        yield HistogramMetricFamily(
            m.RECORD_SECONDS.name, m.RECORD_SECONDS.help, buckets=buckets, sum_value=found.latency.total
        )

    def add(self, metric: RegisteredMetric) -> None:
        """Have a metric of the node's own code."""
        import prometheus_client as prometheus

        kinds = {
            "counter": prometheus.Counter,
            "gauge": prometheus.Gauge,
            "histogram": prometheus.Histogram,
            "summary": prometheus.Summary,
        }
        with self.lock:
            if metric.name not in self.custom:
                self.custom[metric.name] = kinds[metric.kind](
                    exposed_name(metric), metric.help, metric.labels, registry=self.registry
                )

    def observe(self, event: Event) -> None:
        """Count what an event says."""
        if isinstance(event, EvolutionCompleted):
            self.observe_completion(event)
        elif isinstance(event, KpiSnapshot):
            self.observe_snapshot(event)
        elif isinstance(event, CustomMetric):
            self.observe_custom(event)

    def observe_completion(self, event: EvolutionCompleted) -> None:
        """Count one evolution; what was not measured changes nothing."""
        agent, kind = event.agent_id, event.evolution_type
        self.specified.counter(m.EVOLUTION_ATTEMPTS).labels(agent, kind, event.status).inc()
        if "duration_seconds" not in event.unmeasured:
            self.specified.histogram(m.EVOLUTION_DURATION).labels(agent, kind).observe(event.duration_seconds)
        if event.memory_used_mb > 0:
            self.specified.gauge(m.EVOLUTION_MEMORY).labels(agent).set(event.memory_used_mb)
        before, after = performance(event.pre_kpis), performance(event.post_kpis)
        if before is not None and after is not None:
            self.specified.gauge(m.EVOLUTION_IMPROVEMENT).labels(agent).set(after - before)

    def observe_snapshot(self, event: KpiSnapshot) -> None:
        """Take in an agent's present KPIs."""
        kpis = {name: getattr(event, name) for name in (*KPI_NAMES, "overall_performance")} | event.extra
        for name, value in kpis.items():
            if value is not None:
                self.specified.gauge(m.AGENT_KPI).labels(event.agent_id, name).set(value)

    def observe_custom(self, event: CustomMetric) -> None:
        """Take in an observation of the node's own code."""
        metric = self.custom.get(event.name)
        if metric is None:
            return
        child = metric.labels(*event.labels.values()) if event.labels else metric
        match event.kind:
            case "counter":
                child.inc(event.value)
            case "gauge":
                child.set(event.value)
            case _:
                child.observe(event.value)

    def exposed(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
