"""Rows become events with the same id each time, read back as they were, and are refused by column."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from evometrics.deploy.history.measurements import kpi_snapshot, system_event
from evometrics.producers.events.cells import Cells, Unreadable
from evometrics.producers.events.metric_row import evolution_completed
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.rules.validation import InvalidEvent, validate
from evometrics.schemas.wire.framing import WireFormat

ROW: dict[str, Any] = {
    "id": 7,
    "timestamp": 1_750_000_000.25,
    "agent_id": "agent-1",
    "evolution_type": "nightly",
    "evolution_id": "evolution-7",
    "performance_score": 0.75,
    "improvement_delta": 0.125,
    "quality_score": 0.5,
    "memory_used_mb": 300,
    "cpu_percent_avg": 12.5,
    "duration_minutes": 2.0,
    "success": 1,
    "error_count": 1,
    "warning_count": 2,
    "metadata": '{"seed": 3, "note": "ä"}',
}


def test_a_row_of_the_specification_reads_back_from_our_metrics_as_it_was() -> None:
    event = evolution_completed(ROW, "old-node")
    validate(event)
    assert event.occurred_at == 1_750_000_000_250_000
    assert event.started_at == event.occurred_at - 120_000_000
    metrics = evolution_metrics(WireFormat().decode(WireFormat().encode(event)))  # type: ignore[arg-type]
    found = {name: getattr(metrics, name, None) for name in ROW} | {"timestamp": metrics.occurred_at / 1e6}
    expected = ROW | {"metadata": {"seed": "3", "note": "ä"}, "id": None}
    assert found == expected
    assert (metrics.node_id, metrics.status, metrics.baseline_performance) == ("old-node", "succeeded", 0.625)


def test_a_strategy_gives_its_columns_and_when_it_was_applied() -> None:
    strategy = {
        "strategy_name": "tune",
        "risk_level": "low",
        "target_gain": 0.2,
        "applied_at": 1_749_999_000.5,
    }
    event = evolution_completed(ROW | strategy, "node")
    assert (event.strategy_used, event.risk_level, event.target_gain) == ("tune", "low", 0.2)
    assert event.started_at == 1_749_999_000_500_000
    assert event.duration_seconds == 120


def test_the_id_depends_on_the_evolution_alone() -> None:
    first = evolution_completed(ROW, "node").event_id
    assert evolution_completed(ROW | {"success": 0}, "other-node").event_id == first
    iso = ROW | {"timestamp": None, "occurred_at": "2025-06-15T15:06:40.250000Z", "id": 1}
    assert evolution_completed(iso, "node").event_id == first
    for name, other in {"agent_id": "agent-2", "evolution_id": "x", "timestamp": 1_750_000_000.5}.items():
        assert evolution_completed(ROW | {name: other}, "node").event_id != first


def test_an_id_that_a_row_has_is_kept_and_must_be_one() -> None:
    given = "018f8f9e-7b1a-7c3d-8e4f-0123456789AB"
    assert evolution_completed(ROW | {"event_id": given}, "node").event_id == given.lower()
    computed = "6f0f1d5e-52a5-5c39-9d0b-6f9a2f2f7a11"
    exported = ROW | {"event_id": computed, "source_event_id": given}
    assert evolution_completed(exported, "node").event_id == given.lower()
    with pytest.raises(Unreadable, match=r"event_id: 'seven' is not a UUID"):
        evolution_completed(ROW | {"event_id": "seven"}, "node")


def test_kpis_come_as_columns_maps_or_json() -> None:
    row = {
        "agent_id": "a",
        "timestamp": 1_750_000_005,
        "success": "true",
        "pre_accuracy": "0.5",
        "post_accuracy": 0.75,
    }
    event = evolution_completed(row | {"post_kpis": '{"recall": 1, "unknown": null}'}, "node")
    assert event.pre_kpis == {"accuracy": 0.5}
    assert event.post_kpis == {"accuracy": 0.75, "recall": 1.0}
    assert event.evolution_id == "a-1750000005"
    event = evolution_completed(row | {"pre_kpis": [("recall", 0.25)], "post_accuracy": ""}, "node")
    assert (event.pre_kpis, event.post_kpis) == ({"recall": 0.25, "accuracy": 0.5}, {})


def test_what_fits_no_field_is_kept_in_the_metadata() -> None:
    row = ROW | {"performance_score": None, "quality_score": None, "operator": "eve", "efficiency": 3.0}
    event = evolution_completed(row, "node")
    assert event.pre_kpis == event.post_kpis == {}
    assert event.metadata == {"seed": "3", "note": "ä", "improvement_delta": "0.125", "operator": "eve"}


def test_insights_and_fitness_say_what_their_counts_leave_open() -> None:
    lists = {"insights": '["error: x", "Warning", "fine"]', "fitness_trajectory": [0.1, 0.3, 0.2]}
    bare = {name: value for name, value in ROW.items() if not name.endswith("_count")}
    event = evolution_completed(bare | lists, "node")
    assert (event.error_count, event.warning_count, event.convergence_iterations) == (1, 1, 2)
    event = evolution_completed(ROW | lists | {"convergence_iterations": 0}, "node")
    assert (event.error_count, event.warning_count, event.convergence_iterations) == (1, 2, 0)


@pytest.mark.parametrize(
    ("given", "success", "status"),
    [
        ({"success": "No"}, False, "failed"),
        ({"success": None, "status": "succeeded"}, True, "succeeded"),
        ({"success": None, "status": "rolled_back"}, False, "rolled_back"),
        ({"success": 0, "rollback_performed": 1}, False, "rolled_back"),
    ],
)
def test_success_and_status_stand_for_each_other(given: dict[str, Any], success: bool, status: str) -> None:
    event = evolution_completed(ROW | given, "node")
    assert (event.success, event.status) == (success, status)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"agent_id": None}, "agent_id: is missing"),
        ({"agent_id": b"\xff"}, "is not text"),
        ({"agent_id": "\udcff"}, "is not UTF-8"),
        ({"timestamp": None}, "occurred_at: is missing"),
        ({"timestamp": "last week"}, "neither Unix seconds nor an ISO 8601 time"),
        ({"timestamp": float("nan")}, "is not finite"),
        ({"timestamp": True}, "is not a number"),
        ({"success": None}, "success: is missing"),
        ({"success": "perhaps"}, "neither true nor false"),
        ({"performance_score": "inf"}, "is not finite"),
        ({"error_count": 1.5}, "is not a whole number"),
        ({"metadata": "[1]"}, "is neither a map"),
        ({"metadata": '{"a": NaN}'}, "is not JSON"),
        ({"post_accuracy": "good"}, "post_accuracy: 'good' is not a number"),
        ({"insights": '"one"'}, "is not a list"),
    ],
)
def test_a_cell_that_can_not_be_read_is_named(broken: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        evolution_completed(ROW | broken, "node")


def test_what_conversion_lets_through_validation_refuses() -> None:
    for broken, field in (
        ({"duration_minutes": -1}, "duration_seconds"),
        ({"timestamp": 4e9}, "occurred_at"),
        ({"status": "done"}, "status"),
        ({"agent_id": "a" * 1001}, "agent_id"),
    ):
        with pytest.raises(InvalidEvent) as caught:
            validate(evolution_completed(ROW | broken, "node"))
        assert caught.value.field == field


def test_times_are_taken_to_the_microsecond() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    micros = 1_767_323_045_678_901
    for value in (
        at,
        at.replace(tzinfo=None),
        at.astimezone(timezone(timedelta(hours=5))),
        at.isoformat(),
        "2026-01-02 03:04:05.678901",
        micros / 1e6,
        str(micros / 1e6),
    ):
        assert Cells({"at": value}).moment("at") == micros, value
    assert Cells({"at": at.date()}).moment("at") == 1_767_312_000_000_000


def test_a_snapshots_columns_are_its_kpis_and_others_go_into_extra() -> None:
    row = {
        "id": 3,
        "timestamp": 1_750_000_010.5,
        "agent_id": "a",
        "accuracy": 0.5,
        "evaluation_count": 4,
        "recall": 1,
    }
    event = kpi_snapshot(row | {"consistency": None}, "node")
    validate(event)
    assert (event.occurred_at, event.accuracy, event.consistency) == (1_750_000_010_500_000, 0.5, None)
    assert (event.evaluation_count, event.extra, event.phase) == (4, {"recall": 1.0}, "continuous")
    again = kpi_snapshot(row | {"id": 4}, "another")
    assert again.event_id == event.event_id
    assert kpi_snapshot(row | {"accuracy": 0.25}, "node").event_id != event.event_id
    told = kpi_snapshot(row | {"operator": "eve", "checked": True}, "node")
    assert (told.extra, told.metadata) == ({"recall": 1.0}, {"operator": "eve", "checked": "true"})
    assert told.event_id != event.event_id
    for broken in ({"accuracy": "good"}, {"recall": "nan"}, {"timestamp": None}, {"agent_id": ""}):
        with pytest.raises(Unreadable):
            kpi_snapshot(row | broken, "node")


def test_a_system_event_is_about_the_agent_that_its_data_names() -> None:
    row = {"id": 1, "timestamp": 1_750_000_010.5, "event_type": "tick", "data": '{"agent_id": "a", "n": 1}'}
    event = system_event(row, "node")
    validate(event)
    assert (event.agent_id, event.data, event.node_id) == ("a", row["data"], "node")
    assert system_event(row | {"id": 2}, "node").event_id == event.event_id
    assert system_event(row, "other").event_id != event.event_id
    assert system_event(row | {"data": None}, "node").data == "{}"
    assert json.loads(system_event(row | {"data": {"n": 2}}, "node").data) == {"n": 2}
    for broken in ({"data": "{"}, {"event_type": None}, {"timestamp": None}):
        with pytest.raises(Unreadable):
            system_event(row | broken, "node")
