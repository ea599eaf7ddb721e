"""Agents with series of their own on a node: a bounded number, and nothing of one that lost its place."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from evometrics.producers.metrics.events import EventMetrics
from evometrics.schemas.events import Event, EvolutionCompleted, KpiSnapshot
from evometrics.schemas.service.agents import PERIOD_SECONDS
from tests.support.sinks import one_of_each


def events_of(agent: str) -> list[Event]:
    return [e for e in one_of_each(agent) if isinstance(e, EvolutionCompleted | KpiSnapshot)]


def agents_in(registry: CollectorRegistry) -> set[str]:
    labels = [sample.labels for family in registry.collect() for sample in family.samples]
    return {each["agent_id"] for each in labels}


def test_series_are_of_so_many_agents_and_go_with_an_agent_that_loses_its_place() -> None:
    registry = CollectorRegistry()
    metrics = EventMetrics(registry, agents=2)
    now = metrics.book.began
    metrics.book.clock = lambda: now
    for agent in ("a", "b", "c", "c", "c", "c", "c", "c"):
        for event in events_of(agent):
            metrics.observe(event)
    assert agents_in(registry) == {"a", "b"}
    now += PERIOD_SECONDS
    for event in events_of("c"):
        metrics.observe(event)
    shown = agents_in(registry)
    assert "c" in shown and len(shown) == 2
    (attempts,) = (
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "evolution_attempts_total" and sample.labels["agent_id"] == "c"
    )
    assert attempts == 1, "counted from then on"
