"""Bad events are named by their field; good ones pass."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy
import pytest

from evometrics.schemas.events import Event
from evometrics.schemas.rules.screening import surely_valid
from evometrics.schemas.rules.validation import MAX_AHEAD_MICROS, InvalidEvent, validate
from evometrics.schemas.wire.framing import WireFormat
from tests.support.examples import EXAMPLES, NOW

BY_RECORD = {event.record: event for event in EXAMPLES}


@pytest.mark.parametrize(
    "event", [e for e in EXAMPLES if e.record not in ("dead_letter",)], ids=lambda e: e.record
)
def test_a_good_event_passes(event: Event) -> None:
    validate(event, now=NOW)


@pytest.mark.parametrize(
    ("record", "change", "field"),
    [
        ("evolution_started", {"agent_id": ""}, "agent_id"),
        ("evolution_started", {"agent_id": 7}, "agent_id"),
        ("evolution_started", {"node_id": ""}, "node_id"),
        ("evolution_started", {"event_id": "x"}, "event_id"),
        ("evolution_started", {"event_id": "{01912345-6789-7abc-8def-0123456789ab}"}, "event_id"),
        ("evolution_started", {"agent_id": "a" * 1001}, "agent_id"),
        ("evolution_completed", {"evolution_type": "a" * 1001}, "evolution_type"),
        ("kpi_snapshot", {"evolution_id": "a" * 1001}, "evolution_id"),
        ("evolution_started", {"evolution_id": ""}, "evolution_id"),
        ("evolution_started", {"pre_kpis": {"accuracy": float("nan")}}, r"pre_kpis\[accuracy\]"),
        ("evolution_started", {"pre_kpis": {"accuracy": "high"}}, r"pre_kpis\[accuracy\]"),
        ("evolution_started", {"pre_kpis": {1: 0.5}}, r"pre_kpis\[1\]"),
        ("evolution_started", {"metadata": {"a": 1}}, r"metadata\[a\]"),
        ("evolution_started", {"occurred_at": NOW + MAX_AHEAD_MICROS + 1}, "occurred_at"),
        ("evolution_started", {"occurred_at": -1}, "occurred_at"),
        ("evolution_progressed", {"fitness": float("inf")}, "fitness"),
        ("evolution_completed", {"duration_seconds": -0.1}, "duration_seconds"),
        ("evolution_completed", {"post_kpis": {"accuracy": float("-inf")}}, r"post_kpis\[accuracy\]"),
        ("evolution_completed", {"status": "great"}, "status"),
        ("evolution_completed", {"error_count": -1}, "error_count"),
        ("evolution_completed", {"fitness_trajectory": [0.1, float("nan")]}, r"fitness_trajectory\[1\]"),
        ("evolution_completed", {"insights": [1]}, r"insights\[0\]"),
        ("evolution_completed", {"cost_usd": -0.01}, "cost_usd"),
        ("evolution_completed", {"cost_usd": float("nan")}, "cost_usd"),
        ("evolution_completed", {"parent_agent_id": "p" * 1001}, "parent_agent_id"),
        ("evolution_completed", {"network_bytes_transferred": 2**63}, "network_bytes_transferred"),
        ("evolution_completed", {"parent_agent_ids": ["p", ""]}, r"parent_agent_ids\[1\]"),
        ("evolution_completed", {"parent_agent_ids": ["p" * 1001]}, r"parent_agent_ids\[0\]"),
        ("evolution_completed", {"parent_agent_ids": [7]}, r"parent_agent_ids\[0\]"),
        ("evolution_completed", {"tokens_in": -1}, "tokens_in"),
        ("evolution_completed", {"tokens_out": -1}, "tokens_out"),
        ("evolution_completed", {"evaluations": -1}, "evaluations"),
        ("evolution_completed", {"model": "m" * 1001}, "model"),
        ("evolution_completed", {"run_id": "r" * 1001}, "run_id"),
        ("evolution_completed", {"objective": "o" * 1001}, "objective"),
        ("evolution_completed", {"direction": "up"}, "direction"),
        ("evolution_completed", {"candidate_hash": "F" * 64}, "candidate_hash"),
        ("evolution_completed", {"candidate_hash": "f" * 64 + "\n"}, "candidate_hash"),
        ("evolution_started", {"direction": ""}, "direction"),
        ("kpi_snapshot", {"direction": "Pareto"}, "direction"),
        ("kpi_snapshot", {"objective": "o" * 1001}, "objective"),
        ("evolution_progressed", {"evaluations": -1}, "evaluations"),
        ("evolution_progressed", {"front_size": -1}, "front_size"),
        ("evolution_progressed", {"mean": float("nan")}, "mean"),
        ("evolution_progressed", {"extras": {"a": float("inf")}}, r"extras\[a\]"),
        ("kpi_snapshot", {"accuracy": float("nan")}, "accuracy"),
        ("kpi_snapshot", {"phase": "sometimes"}, "phase"),
        ("kpi_snapshot", {"extra": {"novelty": float("inf")}}, r"extra\[novelty\]"),
        ("system_event", {"event_type": ""}, "event_type"),
        ("evolution_started", {"pre_kpis": {"accuracy": True}}, r"pre_kpis\[accuracy\]"),
        ("evolution_started", {"occurred_at": 1.5}, "occurred_at"),
        ("evolution_started", {"snapshot_phases": ["baseline"]}, "snapshot_phases"),
        ("evolution_completed", {"started_at": NOW + MAX_AHEAD_MICROS + 1}, "started_at"),
        ("evolution_completed", {"generation": -(2**63) - 1}, "generation"),
        ("evolution_completed", {"generation": 2**63}, "generation"),
        ("evolution_completed", {"warning_count": -1}, "warning_count"),
        ("evolution_completed", {"convergence_iterations": -1}, "convergence_iterations"),
        ("evolution_completed", {"network_bytes_transferred": -1}, "network_bytes_transferred"),
        ("evolution_completed", {"progress_share": -0.01}, "progress_share"),
        ("evolution_completed", {"progress_share": 1.01}, "progress_share"),
        ("evolution_completed", {"fitness_trajectory": [True]}, r"fitness_trajectory\[0\]"),
        ("evolution_completed", {"evolution_id": ""}, "evolution_id"),
        ("evolution_completed", {"strategy_used": 7}, "strategy_used"),
        ("evolution_progressed", {"evolution_id": ""}, "evolution_id"),
        ("evolution_progressed", {"agent_id": ""}, "agent_id"),
        ("kpi_snapshot", {"source_event_id": "x"}, "source_event_id"),
        ("custom_metric", {"name": ""}, "name"),
        ("custom_metric", {"kind": "dial"}, "kind"),
        ("custom_metric", {"labels": {"a": 1}}, r"labels\[a\]"),
    ],
)
def test_a_bad_field_is_named(record: str, change: dict[str, Any], field: str) -> None:
    event = dataclasses.replace(BY_RECORD[record], **change)
    with pytest.raises(InvalidEvent, match=rf"{record}\.{field}: "):
        validate(event, now=NOW)


@pytest.mark.parametrize(
    ("record", "change"),
    [
        ("evolution_started", {"agent_id": "a" * 1000, "node_id": "n" * 1000}),
        ("evolution_started", {"occurred_at": NOW + MAX_AHEAD_MICROS}),
        ("evolution_started", {"occurred_at": 0}),
        ("evolution_started", {"event_id": "01912345-6789-7ABC-8DEF-0123456789AB"}),
        ("evolution_started", {"pre_kpis": {"accuracy": 1}}),
        ("evolution_started", {"pre_kpis": {}, "snapshot_phases": ["pre_evolution", "post_evolution"]}),
        ("evolution_completed", {"started_at": NOW + MAX_AHEAD_MICROS}),
        ("evolution_completed", {"duration_seconds": 0.0, "cost_usd": 0.0}),
        ("evolution_completed", {"error_count": 0, "warning_count": 0, "convergence_iterations": 0}),
        ("evolution_completed", {"network_bytes_transferred": 0, "cost_usd": None}),
        ("evolution_completed", {"network_bytes_transferred": 2**63 - 1}),
        ("evolution_completed", {"generation": -(2**63)}),
        ("evolution_completed", {"progress_share": 0.0}),
        ("evolution_completed", {"progress_share": 1.0}),
        ("evolution_completed", {"progress_share": None}),
        ("evolution_completed", {"fitness_trajectory": [1, -0.5]}),
        ("kpi_snapshot", {"phase": "baseline", "source_event_id": None}),
    ],
)
def test_a_field_at_its_limit_passes(record: str, change: dict[str, Any]) -> None:
    validate(dataclasses.replace(BY_RECORD[record], **change), now=NOW)


def test_a_system_event_may_be_about_no_agent() -> None:
    validate(dataclasses.replace(BY_RECORD["system_event"], agent_id=""), now=NOW)


def mutated(event: Event, rng: random.Random) -> Event:
    """Return an event with one field of another value that Avro can hold."""
    name = rng.choice([f.name for f in dataclasses.fields(event)])
    value = getattr(event, name)
    number = rng.choice([0.0, -1.0, 1e308, float("nan"), float("inf"), float("-inf"), 5.0])
    change: Any = {
        str: lambda: rng.choice(["", "x", "y" * 1001, "z" * 400, value + value, "succeeded", "baseline"]),
        int: lambda: rng.choice([-1, 0, 2**63 - 1, NOW + MAX_AHEAD_MICROS, NOW + MAX_AHEAD_MICROS + 1]),
        float: lambda: number,
        bool: lambda: not value,
        dict: lambda: {"a": "b"} if name == "metadata" else {**value, "more": number, "accuracy": 1e308},
        list: lambda: ["a"] if name == "insights" else [*value, number, 1e308],
    }.get(type(value), lambda: value)()
    return dataclasses.replace(event, **{name: change})


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.record)
def test_a_quick_look_passes_nothing_that_is_refused(event: Event) -> None:
    rng, wire = random.Random(event.record), WireFormat()
    passed = refused = 0
    for _ in range(4000):
        changed = mutated(mutated(event, rng), rng)
        try:
            validate(changed, now=NOW)
        except InvalidEvent:
            assert wire.encode_exact(changed) is None or not surely_valid(changed, NOW), changed
            refused += 1
        else:
            passed += wire.encode_exact(changed) is not None and surely_valid(changed, NOW)
    assert refused > 100
    screened = ("evolution_started", "evolution_completed", "kpi_snapshot")
    assert (passed > 1000) == (event.record in screened)


NUMBERS = [True, 1, 2**63, -(2**63) - 1, 1.5, float("nan"), numpy.float32(0.5), numpy.int64(3)]
MAPS = [{}, {1: 2.0}, {"a": True}, {"a": None}, {"a": 1}, {"a": numpy.float64(1)}]
LISTS = [[], ["a", 1], [0.5, True], [None], ("a",), [2**70]]
ALIEN: list[Any] = [None, "text", b"bytes", object(), *NUMBERS, *MAPS, *LISTS]


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.record)
def test_a_quick_look_at_what_a_program_made_passes_nothing_that_is_refused(event: Event) -> None:
    """Neither what validation refuses nor what Avro can't write."""
    wire = WireFormat()
    assert wire.encode_exact(event)
    for name in (f.name for f in dataclasses.fields(event)):
        for alien in ALIEN:
            changed = dataclasses.replace(event, **{name: alien})
            try:
                validate(changed, now=NOW)
                wire.decode(wire.encode(changed))
            except Exception:
                assert wire.encode_exact(changed) is None or not surely_valid(changed, NOW), changed


@pytest.mark.parametrize("now", [0, 2**63 * 1000], ids=["the beginning", "past 64 bits"])
def test_a_quick_look_takes_any_time_that_a_broker_may_give(now: int) -> None:
    assert surely_valid(BY_RECORD["evolution_completed"], now) == (now > 0)
