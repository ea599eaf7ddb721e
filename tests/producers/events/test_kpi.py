"""The specification's AgentKPI."""

from __future__ import annotations

import dataclasses

import pytest

from evometrics.producers import AgentKPI
from evometrics.schemas.kpis.performance import KPI_NAMES

GOOD = AgentKPI(
    accuracy=0.9,
    response_time_ms=1000.0,
    throughput_tps=5.0,
    success_rate=0.8,
    memory_usage_mb=4000.0,
    cpu_utilization=1.0,
    energy_efficiency=0.9,
    adaptation_rate=0.9,
    output_quality=0.7,
    reliability=0.6,
)


def test_it_has_the_specifications_eighteen_figures() -> None:
    names = [f.name for f in dataclasses.fields(AgentKPI)]
    assert names == ["agent_id", *KPI_NAMES, "evaluation_count", "confidence_interval"]


def test_overall_performance_is_the_designs_formula() -> None:
    expected = 0.25 * 0.9 + 0.2 * 0.8 + 0.15 * 0.9 + 0.1 * 0.5 + 0.1 * 1.0 + 0.1 * 0.7 + 0.1 * 0.6
    assert GOOD.overall_performance() == pytest.approx(expected)
    assert AgentKPI().overall_performance() == 0.0


def test_only_what_was_measured_is_handed_on() -> None:
    kpi = AgentKPI(agent_id="a", evaluation_count=3)
    assert kpi.measured() == {"evaluation_count": 3}
    assert kpi.to_dict() == {"agent_id": "a", "evaluation_count": 3}


def test_the_specifications_dictionary_has_agent_and_overall_performance_too() -> None:
    found = dataclasses.replace(GOOD, agent_id="agent-7").to_dict()
    assert found.pop("agent_id") == "agent-7"
    assert found.pop("overall_performance") == pytest.approx(GOOD.overall_performance())
    assert found == GOOD.measured()


@pytest.mark.parametrize(
    ("change", "retire", "evolve"),
    [
        ({}, False, False),
        ({"success_rate": 0.29}, True, False),
        ({"reliability": 0.39}, True, False),
        ({"accuracy": 0.39}, True, False),
        ({"adaptation_rate": 0.59}, False, True),
        ({"energy_efficiency": 0.69}, False, True),
        ({"response_time_ms": 5001.0}, False, True),
        ({"output_quality": 0.69}, False, True),
    ],
)
def test_retirement_and_evolution_follow_the_thresholds(
    change: dict[str, float], retire: bool, evolve: bool
) -> None:
    kpi = dataclasses.replace(GOOD, **change)
    assert (kpi.should_retire(), kpi.should_evolve()) == (retire, evolve)


def test_the_callers_thresholds_count() -> None:
    assert GOOD.should_retire(threshold=0.81)
    assert dataclasses.replace(GOOD, output_quality=0.6).should_evolve(threshold=0.6)
    assert not dataclasses.replace(GOOD, output_quality=0.6).should_evolve(threshold=0.795)
