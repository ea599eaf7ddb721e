"""Events as Prometheus metrics: the specification's, and those that a node's own code registered.

Of the most active agents alone, as at a sink: with the series of 100,000 agents a scrape, or a push, would
have 400 MB.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from evometrics.producers.events.custom_metrics import RegisteredMetric, exposed_name
from evometrics.schemas.events import CustomMetric, Event, EvolutionCompleted, KpiSnapshot
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.kpis.performance import KPI_NAMES, improvement, scored
from evometrics.schemas.service.agent_series import AgentSeries

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


#: Agents with series of their own, at most, and seconds without events after which one is dropped: as a sink.
MOST_AGENTS = 1000
FORGET_SECONDS = 86_400.0
#: A node has no partitions.
NO_PARTITION = 0


class EventMetrics:
    """Counts events into a registry; from any thread. Needs prometheus_client."""

    def __init__(self, registry: CollectorRegistry, agents: int = MOST_AGENTS) -> None:
        """`agents`: how many have series of their own."""
        self.registry = registry
        self.agents = AgentSeries(agents, FORGET_SECONDS)
        self.custom: dict[str, Any] = {}
        self.lock = threading.Lock()
        registry.register(self.agents)

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
        if isinstance(event, CustomMetric):
            self.observe_custom(event)
            return
        if isinstance(event, EvolutionCompleted):
            with self.lock:
                self.observe_completion(event)
        for snapshot in (event,) if isinstance(event, KpiSnapshot) else snapshots_of(event):
            with self.lock:
                self.observe_snapshot(snapshot)

    def observe_completion(self, event: EvolutionCompleted) -> None:
        """Count one evolution; what was not measured changes nothing."""
        agent = self.agents.evolutions.find(event.agent_id, NO_PARTITION)
        if agent is None:
            return
        after, before = (
            scored(k, event.objective, event.direction) for k in (event.post_kpis, event.pre_kpis)
        )
        gain = improvement(after, before, event.direction)
        agent.offer((event.occurred_at, event.event_id), gain, event.memory_used_mb or None)
        measured = "duration_seconds" not in event.unmeasured
        agent.add(event.evolution_type, event.status, event.duration_seconds if measured else None)

    def observe_snapshot(self, event: KpiSnapshot) -> None:
        """Take up an agent's KPIs, if they are its newest."""
        agent = self.agents.kpis.find(event.agent_id, NO_PARTITION)
        if agent is None:
            return
        standard = {name: getattr(event, name) for name in (*KPI_NAMES, "overall_performance")}
        kpis = event.extra | {name: value for name, value in standard.items() if value is not None}
        agent.offer((event.occurred_at, event.event_id), kpis)

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
