"""Events as Prometheus metrics: the specification's, and those that a node's own code registered.

Of the most active agents alone, as at a sink: with the series of 100,000 agents a scrape, or a push, would
have 400 MB.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evometrics.producers.events.custom_metrics import RegisteredMetric, exposed_name
from evometrics.schemas import metrics as m
from evometrics.schemas.events import CustomMetric, Event, EvolutionCompleted, KpiSnapshot
from evometrics.schemas.evolutions.outcome import difference
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.kpis.performance import KPI_NAMES, performance
from evometrics.schemas.metrics import MetricDef
from evometrics.schemas.service.agents import AgentBook, Shown

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


#: Agents with series of their own, at most, and seconds without events after which one is dropped: as a sink.
MOST_AGENTS = 1000
FORGET_SECONDS = 86_400.0
#: A node has no partitions.
NO_PARTITION = 0


@dataclass(slots=True)
class ShownAgent(Shown):
    """An agent with series of its own: their labels, by metric."""

    series: dict[MetricDef, set[tuple[str, ...]]] = field(default_factory=dict)


class EventMetrics:
    """Counts events into a registry; from any thread. Needs prometheus_client."""

    def __init__(self, registry: CollectorRegistry, agents: int = MOST_AGENTS) -> None:
        """`agents`: how many have series of their own."""
        self.registry = registry
        self.book = AgentBook(ShownAgent, agents, FORGET_SECONDS)
        self.shown: dict[str, ShownAgent] = {}
        self.period = self.book.began
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
        if isinstance(event, CustomMetric):
            self.observe_custom(event)
            return
        snapshots = [event] if isinstance(event, KpiSnapshot) else list(snapshots_of(event))
        if not snapshots and not isinstance(event, EvolutionCompleted):
            return
        with self.lock:
            agent = self.book.find(event.agent_id, NO_PARTITION)
            self.forget()
            if agent is None:
                return
            self.shown[event.agent_id] = agent
            for snapshot in snapshots:
                self.observe_snapshot(agent, snapshot)
            if isinstance(event, EvolutionCompleted):
                self.observe_completion(agent, event)

    def forget(self) -> None:
        """Remove the series of agents that have lost their place."""
        if self.period == self.book.began:
            return
        self.period = self.book.began
        for agent_id, agent in list(self.shown.items()):
            if agent is self.book.agents.get(agent_id):
                continue
            del self.shown[agent_id]
            for metric, series in agent.series.items():
                for labels in series:
                    self.specified.objects[metric.name].remove(*labels)

    def series(self, agent: ShownAgent, metric: MetricDef, *labels: str) -> Any:
        """Return the child of an agent's metric, and remember that it has it."""
        agent.series.setdefault(metric, set()).add(labels)
        return self.specified.objects[metric.name].labels(*labels)

    def observe_completion(self, agent: ShownAgent, event: EvolutionCompleted) -> None:
        """Count one evolution; what was not measured changes nothing."""
        name, kind = event.agent_id, event.evolution_type
        self.series(agent, m.EVOLUTION_ATTEMPTS, name, kind, event.status).inc()
        if "duration_seconds" not in event.unmeasured:
            self.series(agent, m.EVOLUTION_DURATION, name, kind).observe(event.duration_seconds)
        if event.memory_used_mb > 0:
            self.series(agent, m.EVOLUTION_MEMORY, name).set(event.memory_used_mb)
        gain = difference(performance(event.post_kpis), performance(event.pre_kpis))
        if gain is not None:
            self.series(agent, m.EVOLUTION_IMPROVEMENT, name).set(gain)

    def observe_snapshot(self, agent: ShownAgent, event: KpiSnapshot) -> None:
        """Set an agent's current KPIs."""
        kpis = {name: getattr(event, name) for name in (*KPI_NAMES, "overall_performance")} | event.extra
        for name, value in kpis.items():
            if value is not None:
                self.series(agent, m.AGENT_KPI, event.agent_id, name).set(value)

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
