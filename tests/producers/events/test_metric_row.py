"""What a row of an evolution leaves open is taken from its other columns, or is 0, nothing or unknown."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from evometrics.producers.events.cells import Unreadable
from evometrics.producers.events.metric_row import evolution_completed
from evometrics.schemas.events import EvolutionCompleted

AT = 1_750_000_000
SECOND = 1_000_000


def completed(**cells: Any) -> EvolutionCompleted:
    return evolution_completed({"agent_id": "a", "timestamp": AT, "success": True, **cells}, "node")


def test_a_bare_row_says_nothing_but_that_its_resources_are_unknown() -> None:
    event = completed()
    assert (event.occurred_at, event.started_at, event.duration_seconds) == (AT * SECOND, AT * SECOND, 0.0)
    assert (event.memory_used_mb, event.cpu_percent_avg, event.network_bytes_transferred) == (0.0, 0.0, 0)
    assert event.unmeasured == ["memory_used_mb", "cpu_percent_avg", "network_bytes_transferred"]
    assert (event.generation, event.evolution_type, event.strategy_used) == (0, "unknown", "")
    assert (event.error_count, event.warning_count, event.convergence_iterations) == (0, 0, 0)
    assert (event.pre_kpis, event.post_kpis, event.metadata) == ({}, {}, {})
    assert (event.node_id, event.rollback_performed) == ("node", False)


def test_what_a_row_says_is_kept() -> None:
    event = completed(
        memory_used_mb=1, cpu_percent_avg=2, network_bytes_transferred=3, generation=4, error_count=5
    )
    assert (event.memory_used_mb, event.cpu_percent_avg, event.network_bytes_transferred) == (1.0, 2.0, 3)
    assert (event.generation, event.error_count, event.unmeasured) == (4, 5, [])


@pytest.mark.parametrize(
    ("cells", "duration", "before"),
    [
        ({"duration_seconds": 90}, 90.0, 90.0),
        ({"duration_minutes": 1.5}, 90.0, 90.0),
        ({"duration_seconds": 30, "duration_minutes": 1.5}, 30.0, 30.0),
        ({"started_at": AT - 60}, 60.0, 60.0),
        ({"started_at": AT + 60}, 0.0, -60.0),
        ({"started_at": AT - 60, "duration_seconds": 30}, 30.0, 60.0),
        ({"duration_seconds": 0}, 0.0, 0.0),
        ({"duration_seconds": AT + 1}, AT + 1.0, AT),
        ({"duration_seconds": 1e10}, 1e10, AT),
    ],
)
def test_duration_and_beginning_stand_for_each_other(
    cells: dict[str, float], duration: float, before: float
) -> None:
    event = completed(**cells)
    assert (event.duration_seconds, event.started_at) == (duration, (AT - before) * SECOND)


@pytest.mark.parametrize("seconds", [1.001e10, -1.001e10])
def test_a_duration_of_centuries_is_refused(seconds: float) -> None:
    with pytest.raises(Unreadable, match="longer than three centuries"):
        completed(duration_seconds=seconds)


@pytest.mark.parametrize(
    ("cells", "pre", "post", "metadata"),
    [
        ({"performance_score": 0.5}, {}, {"performance": 0.5}, {}),
        ({"baseline_performance": 0.5}, {"performance": 0.5}, {}, {}),
        (
            {"performance_score": 0.75, "improvement_delta": 0.5},
            {"performance": 0.25},
            {"performance": 0.75},
            {},
        ),
        ({"performance_score": 0.75, "actual_gain": 0.5}, {"performance": 0.25}, {"performance": 0.75}, {}),
        (
            {"performance_score": 0.75, "improvement_delta": 0.5, "baseline_performance": 0.125},
            {"performance": 0.125},
            {"performance": 0.75},
            {},
        ),
        ({"improvement_delta": 0.5}, {}, {}, {"improvement_delta": "0.5"}),
        ({"improvement_delta": 0.5, "pre_a": 1}, {"a": 1.0}, {}, {"improvement_delta": "0.5"}),
        ({"improvement_delta": 0.5, "pre_a": 1, "post_a": 2}, {"a": 1.0}, {"a": 2.0}, {}),
        ({"quality_score": 0.5}, {}, {"output_quality": 0.5}, {}),
        (
            {"quality_score": 0.5, "post_kpis": {"output_quality": 0.25, "performance": 1}},
            {},
            {"output_quality": 0.25, "performance": 1.0},
            {},
        ),
        ({"performance_score": 0.5, "post_performance": 0.25}, {}, {"performance": 0.25}, {}),
    ],
)
def test_figures_of_the_row_are_kpis_unless_a_map_has_them(
    cells: dict[str, Any], pre: dict[str, float], post: dict[str, float], metadata: dict[str, str]
) -> None:
    event = completed(**cells)
    assert (event.pre_kpis, event.post_kpis, event.metadata) == (pre, post, metadata)


def test_counts_come_from_the_insights_where_the_row_has_none() -> None:
    insights = ["error: lost", "warning: slow", "warning: hot"]
    counted = completed(insights=insights)
    given = completed(insights=insights, error_count=0, warning_count=0)
    assert (given.error_count, given.warning_count) == (0, 0)
    assert (counted.error_count, counted.warning_count) == (1, 2)


def test_rounds_are_those_to_the_best_fitness_where_the_row_has_none() -> None:
    assert completed(fitness_trajectory=[0.1, 0.9, 0.5]).convergence_iterations == 2
    assert completed(fitness_trajectory=[0.1, 0.9, 0.5], convergence_iterations=0).convergence_iterations == 0


def test_figures_that_one_of_our_rows_names_as_unknown_have_the_completions_names() -> None:
    event = completed(unmeasured=["duration_minutes", "efficiency", "fitness"], memory_used_mb=0)
    assert event.unmeasured == ["duration_seconds", "fitness"]


def test_other_columns_are_metadata_except_what_is_computed() -> None:
    event = completed(metadata={"note": "own"}, note="column", seed=3, efficiency=0.5, version=1)
    assert event.metadata == {"note": "own", "seed": "3", "version": "1"}
    own = "01912345-6789-7abc-8def-0123456789ab"
    assert completed(source_event_id=own, version=1).metadata == {}


def test_a_rows_objective_is_the_kpi_of_its_score() -> None:
    event = completed(objective="loss", direction="minimize", performance_score=0.25, improvement_delta=0.5)
    assert (event.post_kpis, event.pre_kpis) == ({"loss": 0.25}, {"loss": 0.75})
    event = completed(performance_score=0.25, improvement_delta=0.125, direction="maximize")
    assert (event.post_kpis, event.pre_kpis) == ({"performance": 0.25}, {"performance": 0.125})


def test_a_rows_parents_costs_and_candidate_are_kept() -> None:
    event = completed(
        parent_agent_ids="['p', 'q']",
        tokens_in="12",
        tokens_out=3.0,
        evaluations=7,
        cost_usd="0.5",
        model="m",
        run_id=7,
        status="pruned",
        success=None,
        candidate="ü" * 40_000,
    )
    assert (event.parent_agent_id, event.parent_agent_ids) == ("p", ["p", "q"])
    assert (event.tokens_in, event.tokens_out, event.evaluations, event.cost_usd) == (12, 3, 7, 0.5)
    assert (event.model, event.run_id, event.status, event.success) == ("m", "7", "pruned", False)
    assert event.candidate == "ü" * 32_768
    assert event.candidate_hash == sha256(("ü" * 40_000).encode()).hexdigest()
    assert "80000 bytes" in event.metadata["evometrics.left_out"]
    assert completed(parent_agent_id="p").parent_agent_ids == ["p"]
    assert completed(parent_agent_id="q", parent_agent_ids=["p", "q"]).parent_agent_ids == ["q", "p"]
