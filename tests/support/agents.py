"""Metrics of very many agents: what a sink has counted that stored their events, and a node that recorded."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from evometrics.producers.metrics.events import EventMetrics
from evometrics.schemas.events import EvolutionCompleted, KpiSnapshot
from evometrics.schemas.kpis.performance import KPI_NAMES
from evometrics.schemas.service.agent_series import AgentSeries
from evometrics.sinks.settings import SinkSettings
from evometrics.sinks.worker.metrics import StoredMetrics
from tests.support.sinks import one_of_each


def stored(agents: int) -> StoredMetrics:
    """Return what a sink has counted that stored evolutions and snapshots of so many agents."""
    settings = SinkSettings()
    metrics = StoredMetrics(settings.metrics_agents, settings.metrics_forget_seconds)
    for number in range(agents):
        agent = f"agent-{number:06}"
        for status in ("succeeded", "failed"):
            metrics.totals.add("nightly", status, 300.0, 500.0, 0.1)
        if (evolutions := metrics.evolutions.find(agent, 0)) is not None:
            for status in ("succeeded", "failed"):
                evolutions.add("nightly", status, 300.0)
            evolutions.offer((1, "a"), 0.1, 500.0)
        if (kpis := metrics.kpis.find(agent, 0)) is not None:
            kpis.offer((1, "a"), dict.fromkeys(KPI_NAMES, 0.123456789))
    return metrics


def recorded(agents: int) -> AgentSeries:
    """Return what a node has counted that recorded evolutions and snapshots of so many agents."""
    metrics = EventMetrics(CollectorRegistry())
    for number in range(agents):
        for event in one_of_each(f"agent-{number:06}"):
            if isinstance(event, EvolutionCompleted | KpiSnapshot):
                metrics.observe(event)
    return metrics.agents


def registered(agents: AgentSeries) -> CollectorRegistry:
    """Return a registry with an agent's metrics, and a sink's totals."""
    registry = CollectorRegistry()
    if isinstance(agents, StoredMetrics):
        agents.register(registry)
    else:
        registry.register(agents)
    return registry
