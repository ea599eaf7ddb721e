"""The figures of design section 4, worked out by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.evolutions.outcome import (
    abandoned_metrics,
    efficiency,
    evolution_metrics,
    relative,
    unmeasured_in_row,
)
from evometrics.streams.formulas.calculations import Measured, kpi_delta, measured, wilson_interval
from tests.support.examples import EXAMPLES

NO_AIM: dict[str, Any] = {"objective": None, "direction": None}
DONE = dataclasses.replace(next(e for e in EXAMPLES if isinstance(e, EvolutionCompleted)), **NO_AIM)
STARTED = dataclasses.replace(next(e for e in EXAMPLES if isinstance(e, EvolutionStarted)), **NO_AIM)


def test_a_completion_alone_gives_its_metrics() -> None:
    done = dataclasses.replace(
        DONE,
        pre_kpis={"performance": 0.5, "accuracy": 0.4, "gone": 1.0},
        post_kpis={"performance": 0.6, "accuracy": 0.7, "new": 1.0, "output_quality": 0.9},
        duration_seconds=120.0,
        memory_used_mb=500.0,
    )
    found = evolution_metrics(done)
    assert found.improvement_delta == pytest.approx(0.1)
    assert found.relative_improvement == pytest.approx(0.2)
    assert found.duration_minutes == 2.0
    assert found.efficiency == pytest.approx(0.1)  # 0.1 / (2 minutes * 0.5 GB)
    assert found.kpi_deltas == pytest.approx({"performance": 0.1, "accuracy": 0.3})
    assert found.quality_score == 0.9
    assert found.source_event_id == done.event_id


def test_what_is_unknown_stays_unknown() -> None:
    found = evolution_metrics(dataclasses.replace(DONE, pre_kpis={}, post_kpis={"performance": 0.6}))
    assert found.improvement_delta is None
    assert found.relative_improvement is None
    assert found.efficiency == 0.0


@pytest.mark.parametrize(
    ("delta", "minutes", "memory"),
    [
        (None, 1.0, 1.0),
        (0.0, 1.0, 1.0),
        (-0.1, 1.0, 1.0),
        (0.1, 0.0, 1.0),
        (0.1, 1.0, 0.0),
        (0.1, 1e-320, 1e-320),
    ],
)
def test_efficiency_is_0_where_it_has_no_meaning(delta: float | None, minutes: float, memory: float) -> None:
    assert efficiency(delta, minutes, memory) == 0.0


def test_relative_improvement_needs_a_baseline() -> None:
    assert relative(0.1, 0.0) is None
    assert relative(0.1, None) is None
    assert relative(-0.1, 0.5) == pytest.approx(-0.2)


def test_wilson_interval_has_the_published_values() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_share_and_stays_within_0_and_1(counted: tuple[int, int]) -> None:
    successes, attempts = counted
    low, high = wilson_interval(successes, attempts)
    share = successes / attempts
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    assert math.isfinite(low + high)


@pytest.mark.parametrize(
    ("unmeasured", "memory", "found"),
    [
        ([], 500.0, []),
        (["fitness"], 500.0, []),
        ([], 0.0, ["efficiency"]),
        (["cpu_percent_avg"], 500.0, ["cpu_percent_avg"]),
        (["duration_seconds"], 500.0, ["duration_minutes", "efficiency"]),
        (["memory_used_mb", "memory_used_mb"], 500.0, ["memory_used_mb", "efficiency"]),
        (["memory_used_mb"], 0.0, ["memory_used_mb", "efficiency"]),
    ],
)
def test_an_efficiency_is_unknown_where_one_of_its_costs_is(
    unmeasured: list[str], memory: float, found: list[str]
) -> None:
    assert unmeasured_in_row(unmeasured, memory) == found


def test_a_figure_that_is_unknown_is_none_in_the_row() -> None:
    known = dataclasses.replace(DONE, duration_seconds=90.0, memory_used_mb=500.0, cpu_percent_avg=40.0)
    names = ("duration_minutes", "memory_used_mb", "cpu_percent_avg")
    for unmeasured, figures in (
        ([], (1.5, 500.0, 40.0)),
        (["duration_seconds"], (0.0, 500.0, 40.0)),
        (["memory_used_mb"], (1.5, None, 40.0)),
        (["cpu_percent_avg"], (1.5, 500.0, None)),
    ):
        row = evolution_metrics(dataclasses.replace(known, unmeasured=unmeasured))
        assert tuple(getattr(row, name) for name in names) == figures
    assert evolution_metrics(dataclasses.replace(known, memory_used_mb=0.0)).memory_used_mb is None


def test_an_objective_that_is_minimized_gains_where_it_falls() -> None:
    done = dataclasses.replace(
        DONE,
        objective="loss",
        direction="minimize",
        pre_kpis={"loss": -1.0, "performance": 0.5},
        post_kpis={"loss": -3.0, "performance": 0.25},
        duration_seconds=60.0,
        memory_used_mb=500.0,
        parent_agent_ids=[],
    )
    found = evolution_metrics(done)
    assert (found.performance_score, found.baseline_performance) == (-3.0, -1.0)
    assert (found.improvement_delta, found.relative_improvement, found.efficiency) == (2.0, 2.0, 4.0)
    assert found.kpi_deltas == {"loss": -2.0, "performance": -0.25}
    assert found.parent_agent_ids == ["agent-0"], "a completion of an earlier version names the first alone"
    several = evolution_metrics(dataclasses.replace(done, objective=None, direction="pareto"))
    assert (several.performance_score, several.improvement_delta) == (None, None)
    abandoned = abandoned_metrics(
        dataclasses.replace(STARTED, objective="loss", direction="minimize", pre_kpis={"loss": 4.0}), 1
    )
    assert (abandoned.baseline_performance, abandoned.objective, abandoned.run_id) == (4.0, "loss", "night-7")


def test_snapshots_of_an_objective_are_not_judged_and_compared_with_their_like() -> None:
    def snapshot(number: int, **fields: Any) -> Measured:
        return measured(
            KpiSnapshot(event_id=f"{number}", agent_id="a", node_id="n", occurred_at=number, **fields)
        )

    aim = {"objective": "loss", "direction": "minimize"}
    bad = {"accuracy": 0.1, "extra": {"loss": 0.02}}
    first, second = snapshot(1, **bad, **aim), snapshot(2, accuracy=0.1, extra={"loss": 0.03}, **aim)
    found = kpi_delta(second, first)
    assert (found.overall_performance, found.recommendation) == (0.03, "retain")
    assert found.overall_delta == pytest.approx(0.01)
    judged = snapshot(3, **bad)
    found = kpi_delta(judged, second)
    assert (found.recommendation, found.overall_delta) == ("retire", None)
    assert found.deltas["loss"] == pytest.approx(-0.01)


def test_an_abandoned_evolution_is_reported_at_its_deadline() -> None:
    start = dataclasses.replace(STARTED, pre_kpis={"performance": 0.25})
    row = abandoned_metrics(start, 90_000_000)
    assert (row.occurred_at, row.started_at) == (start.occurred_at + 90_000_000, start.occurred_at)
    assert (row.duration_minutes, row.baseline_performance) == (1.5, 0.25)
    assert (row.status, row.success, row.performance_score) == ("abandoned", False, None)
