"""Events as Prometheus metrics: the specification's, and those that a node's own code registered."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from evometrics.producers.events.custom_metrics import RegisteredMetric, exposed_name
from evometrics.schemas import metrics as m
from evometrics.schemas.events import CustomMetric, Event, EvolutionCompleted, KpiSnapshot
from evometrics.schemas.evolutions.outcome import difference
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.kpis.performance import KPI_NAMES, performance

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class EventMetrics:
    """Counts events into a registry. Needs prometheus_client."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.specified = m.Instruments(registry, m.OF_AGENTS)
        self.custom: dict[str, Any] = {}
        self.lock = threading.Lock()

    def add(self, metric: RegisteredMetric) -> None:
        """Add a metric of the node's own code."""
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
        """Count an event."""
        for snapshot in snapshots_of(event):
            self.observe_snapshot(snapshot)
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
        gain = difference(performance(event.post_kpis), performance(event.pre_kpis))
        if gain is not None:
            self.specified.gauge(m.EVOLUTION_IMPROVEMENT).labels(agent).set(gain)

    def observe_snapshot(self, event: KpiSnapshot) -> None:
        """Set an agent's current KPIs."""
        kpis = {name: getattr(event, name) for name in (*KPI_NAMES, "overall_performance")} | event.extra
        for name, value in kpis.items():
            if value is not None:
                self.specified.gauge(m.AGENT_KPI).labels(event.agent_id, name).set(value)

    def observe_custom(self, event: CustomMetric) -> None:
        """Record an observation of the node's own code."""
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
