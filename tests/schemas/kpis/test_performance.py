"""The formulas of design section 5, with figures worked out by hand."""

from __future__ import annotations

import pytest

from evometrics.schemas.kpis.performance import (
    KpiThresholds,
    improvement,
    overall_performance,
    performance,
    recommendation,
    scored,
    should_evolve,
    should_retire,
)

GOOD = {
    "accuracy": 0.9,
    "success_rate": 0.8,
    "response_time_ms": 1000.0,
    "throughput_tps": 5.0,
    "memory_usage_mb": 500.0,
    "cpu_utilization": 0.5,
    "output_quality": 0.7,
    "reliability": 0.6,
}


def test_the_weights_add_up_as_the_design_says() -> None:
    # 0.225 + 0.16 + 0.135 + 0.05 + 0.1 (5 tps / (0.5 GB + 0.5) > 1) + 0.07 + 0.06
    assert overall_performance(GOOD) == pytest.approx(0.8)


def test_what_was_not_measured_adds_nothing() -> None:
    assert overall_performance({"accuracy": 0.8}) == pytest.approx(0.2)
    assert overall_performance({"response_time_ms": 20_000.0}) == 0.0
    assert overall_performance({}) is None
    assert overall_performance({"novelty": 1.0}) is None


def test_performance_is_clamped_to_0_and_1() -> None:
    assert overall_performance({"accuracy": 9.0}) == 1.0
    assert overall_performance({"accuracy": -9.0}) == 0.0


def test_resource_efficiency_needs_both_resources() -> None:
    with_memory_only = {**GOOD, "cpu_utilization": 0.0}
    assert overall_performance(with_memory_only) == pytest.approx(0.7)


def test_a_given_performance_comes_before_the_formula() -> None:
    assert performance({**GOOD, "overall_performance": 0.3}) == 0.3
    assert performance({**GOOD, "overall_performance": 0.3, "performance": 0.1}) == 0.1
    assert performance({**GOOD, "performance": 0.0}) == 0.0


@pytest.mark.parametrize(
    "weak",
    [
        {"overall_performance": 0.49},
        {"success_rate": 0.29},
        {"reliability": 0.39},
        {"accuracy": 0.39},
    ],
)
def test_one_failing_kpi_is_enough_to_retire(weak: dict[str, float]) -> None:
    kpis = {**GOOD, **weak}
    assert should_retire(kpis)
    assert not should_evolve(kpis)
    assert recommendation(kpis) == "retire"


@pytest.mark.parametrize(
    "weak",
    [
        {"overall_performance": 0.6},
        {"overall_performance": 0.79},
        {"overall_performance": 0.9, "adaptation_rate": 0.5},
        {"overall_performance": 0.9, "energy_efficiency": 0.6},
        {"overall_performance": 0.9, "response_time_ms": 5001.0},
    ],
)
def test_one_weak_kpi_is_enough_to_evolve(weak: dict[str, float]) -> None:
    kpis = {**GOOD, **weak}
    assert should_evolve(kpis)
    assert recommendation(kpis) == "evolve"


def test_a_good_agent_is_retained() -> None:
    assert recommendation({**GOOD, "overall_performance": 0.9}) == "retain"


@pytest.mark.parametrize(
    ("objective", "direction"),
    [("performance", "minimize"), ("accuracy", None), (None, "maximize"), (None, "pareto")],
)
def test_a_stated_objective_is_not_judged(objective: str | None, direction: str | None) -> None:
    loss = {"performance": 0.02, "accuracy": 0.1, "response_time_ms": 9000.0}
    assert should_retire(loss)
    assert not should_retire(loss, objective=objective, direction=direction)
    assert not should_evolve({"performance": 0.7}, objective=objective, direction=direction)
    assert recommendation(loss, objective=objective, direction=direction) == "retain"


def test_the_performance_of_an_objective_is_its_value() -> None:
    kpis = {"loss": -3.0, "accuracy": 0.5, "performance": 0.75}
    assert scored(kpis, None, None) == scored(kpis, None, "minimize") == 0.75
    assert scored(kpis, "loss", "minimize") == scored(kpis, "loss", None) == -3.0
    assert scored(kpis, "other", "maximize") is None
    assert scored(kpis, "loss", "pareto") is scored(kpis, None, "pareto") is None


def test_an_improvement_is_positive_where_it_got_better() -> None:
    assert improvement(0.25, 1.0, "minimize") == 0.75
    assert improvement(0.25, 1.0, "maximize") == improvement(0.25, 1.0, None) == -0.75
    assert improvement(None, 1.0, "minimize") is improvement(1.0, None, None) is None


def test_thresholds_are_configuration() -> None:
    strict = KpiThresholds(retire_below=0.95)
    assert should_retire({**GOOD, "overall_performance": 0.9}, strict)


@pytest.mark.parametrize(
    ("kpis", "found"),
    [
        ({"overall_performance": 0.5}, "retain"),
        ({"overall_performance": 0.6}, "evolve"),
        ({"overall_performance": 0.8}, "retain"),
        ({"overall_performance": 0.9, "success_rate": 0.3}, "retain"),
        ({"overall_performance": 0.9, "reliability": 0.4}, "retain"),
        ({"overall_performance": 0.9, "accuracy": 0.4}, "retain"),
        ({"overall_performance": 0.9, "adaptation_rate": 0.6}, "retain"),
        ({"overall_performance": 0.9, "energy_efficiency": 0.7}, "retain"),
        ({"overall_performance": 0.9, "response_time_ms": 5000.0}, "retain"),
        ({}, "retain"),
    ],
)
def test_at_a_threshold_an_agent_is_not_yet_past_it(kpis: dict[str, float], found: str) -> None:
    assert recommendation(kpis) == found


def test_a_response_time_that_was_not_measured_is_no_reason_to_evolve() -> None:
    at_once = KpiThresholds(evolve_response_time_ms=0.0)
    assert recommendation({"overall_performance": 0.9}, at_once) == "retain"
    assert recommendation({"overall_performance": 0.9, "response_time_ms": 0.5}, at_once) == "evolve"
