"""Agents with series of their own on a node: a bounded number, and nothing of one that lost its place."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from evometrics.producers.metrics.events import EventMetrics
from evometrics.schemas.events import Event, EvolutionCompleted, KpiSnapshot
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.service.agents import PERIOD_SECONDS
from tests.support.sinks import common, one_of_each


def events_of(agent: str) -> list[Event]:
    return [e for e in one_of_each(agent) if isinstance(e, EvolutionCompleted | KpiSnapshot)]


def agents_in(registry: CollectorRegistry) -> set[str]:
    labels = [sample.labels for family in registry.collect() for sample in family.samples]
    return {each["agent_id"] for each in labels}


def test_series_are_of_so_many_agents_and_go_with_an_agent_that_loses_its_place() -> None:
    registry = CollectorRegistry()
    metrics = EventMetrics(registry, agents=2)
    now = metrics.agents.kpis.began
    metrics.agents.evolutions.clock = metrics.agents.kpis.clock = lambda: now
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


def test_an_agents_values_are_those_of_a_sink_of_its_objective_and_newest_by_event_time() -> None:
    registry = CollectorRegistry()
    metrics = EventMetrics(registry)
    done = EvolutionCompleted(
        **common("a"),
        evolution_id="e",
        started_at=1,
        status="succeeded",
        objective="loss",
        direction="minimize",
        pre_kpis={"loss": 0.5},
        post_kpis={"loss": 0.25},
        duration_seconds=0.2,
        unmeasured=["memory_used_mb"],
    )
    newer = KpiSnapshot(**common("a") | {"occurred_at": 6}, accuracy=0.75, extra={"loss": 0.25})
    older = KpiSnapshot(**common("a") | {"occurred_at": 5}, accuracy=0.5, overall_performance=0.5)
    for event in (done, newer, older):
        metrics.observe(event)
    row = evolution_metrics(done)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if family.type == "gauge"
    }
    assert found == {
        ("evolution_performance_improvement", "a"): row.improvement_delta,
        ("agent_kpi_current", "a", "accuracy"): 0.75,
        ("agent_kpi_current", "a", "loss"): 0.25,
    }
    assert row.improvement_delta == 0.25
