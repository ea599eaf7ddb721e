"""Completions and the rows they lead to: the compiled reader says what the pure functions say, or nothing."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted
from evometrics.schemas.evolutions.joining import lacking, lent_by
from evometrics.schemas.evolutions.outcome import CARRIED, evolution_metrics
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.kpis.performance import DIRECTIONS
from evometrics.schemas.rules.validation import EVOLUTION_PHASES, MAX_AHEAD_MICROS, InvalidEvent, validate
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from evometrics.schemas.wire.catalog import released
from evometrics.schemas.wire.datum import write_record
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.reading import read_event
from evometrics.streams.offline import record_of
from evometrics.streams.rows.joining import Joiner
from evometrics.streams.rows.metrics import MetricsRows
from evometrics.streams.rows.rows import Completion
from tests.support.examples import EXAMPLES

WIRE = WireFormat()
ROWS = MetricsRows(WIRE)
JOINER = Joiner(WIRE)
DONE = next(e for e in EXAMPLES if isinstance(e, EvolutionCompleted))
START = next(e for e in EXAMPLES if isinstance(e, EvolutionStarted))


def message(value: bytes) -> ConsumerRecord:
    return record_of(EVOLUTION_COMPLETED.name, 0, 0, b"k", value, DONE.occurred_at // 1000)


def counted_by(done: Completion | EvolutionCompleted) -> tuple[Any, ...]:
    names = "event_id agent_id node_id evolution_id evolution_type strategy_used occurred_at success"
    return tuple(getattr(done, name) for name in names.split())


FEW = ["performance", "accuracy", "output_quality", "ü", "reliability"]
kpis = st.dictionaries(
    st.sampled_from(
        [
            *FEW,
            "overall_performance",
            "evaluation_count",
            "confidence_interval",
            "bias_score",
            "",
            "loss" * 40,
        ]
    ),
    # differences of finite numbers need not be finite, and whole numbers need not fit 64 bits
    st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1.7e308, -1.7e308, 12.0, -1.0, 2.5, 2.0**63, -(2.0**63), 2.0**63 - 1024]),
)


@given(
    st.builds(
        lambda pre, post, **fields: dataclasses.replace(DONE, pre_kpis=pre, post_kpis=post, **fields),
        kpis,
        kpis,
        duration_seconds=st.floats(0, 1e6),
        memory_used_mb=st.just(0.0) | st.floats(0, 1e6),
        unmeasured=st.lists(st.sampled_from([*CARRIED, "fitness", "ü"]), max_size=4),
        progress_share=st.none() | st.floats(0, 1),
        snapshot_phases=st.lists(st.sampled_from(sorted(EVOLUTION_PHASES)), max_size=3),
        started_at=st.sampled_from([DONE.started_at, DONE.occurred_at]),
        evolution_type=st.sampled_from(["", "unknown", "unknowns", "nightly"]),
        strategy_used=st.sampled_from(["", "tune"]),
        risk_level=st.sampled_from(["", "low"]),
        trigger_reason=st.sampled_from(["", "why"]),
        target_gain=st.none() | st.floats(0, 1),
        gpu_memory_mb=st.none() | st.floats(0, 1e5),
        fitness_trajectory=st.lists(st.floats(0, 1), max_size=3),
        insights=st.lists(st.text(), max_size=2),
        metadata=st.dictionaries(st.text(), st.text(), max_size=3),
        generation=st.just(0) | st.integers(-(2**63), 2**63 - 1),
        parent_agent_id=st.none() | st.just("agent-ü"),
        parent_agent_ids=st.lists(st.text(min_size=1), max_size=3),
        tokens_in=st.none() | st.integers(0, 2**63 - 1),
        evaluations=st.none() | st.just(0),
        candidate=st.none() | st.text(),
        candidate_hash=st.none() | st.just("0f" * 32),
        run_id=st.none() | st.text(max_size=20),
        model=st.none() | st.just("m"),
        objective=st.none() | st.sampled_from([*FEW, "", "evaluation_count", "loss" * 40]),
        direction=st.none() | st.sampled_from(DIRECTIONS),
    )
)
def test_a_row_put_together_from_a_datums_bytes_is_that_of_the_pure_function(
    done: EvolutionCompleted,
) -> None:
    value = WIRE.encode(done)
    assert ROWS.quickly(value, done.occurred_at) is not None, "the compiled reader takes it"
    found = ROWS.read(message(value))
    assert found.row == WIRE.encode(evolution_metrics(done))
    assert counted_by(found) == counted_by(done)
    assert found.lacks == lacking(done)
    assert found.snapshots == [WIRE.encode(each) for each in snapshots_of(done)]


@given(
    st.builds(
        lambda pre, **fields: dataclasses.replace(START, pre_kpis=pre, **fields),
        kpis,
        evolution_type=st.sampled_from(["", "unknown", "unknowns", "nightly"]),
        generation=st.integers(-1, 1),
        strategy=st.sampled_from(["", "tune"]),
        risk_level=st.sampled_from(["", "low"]),
        target_gain=st.none() | st.floats(0, 1),
        trigger_reason=st.sampled_from(["", "why"]),
        metadata=st.dictionaries(st.text(), st.text(), max_size=2),
        unmeasured=st.lists(st.text(), max_size=1),
        run_id=st.none() | st.just("r"),
        model=st.none() | st.just("m"),
        objective=st.none() | st.just("loss"),
        direction=st.none() | st.sampled_from(DIRECTIONS),
    )
)
def test_what_a_start_has_to_lend_is_seen_in_its_bytes_as_in_its_fields(start: EvolutionStarted) -> None:
    value = WIRE.encode(start)
    assert JOINER.reader.lends(value, len(JOINER.prefix)) == JOINER.lends(value) == lent_by(start)
    for schema in released()[START.record]:
        older = b"\xc3\x01" + schema.fingerprint + write_record(schema, start.to_record())
        assert JOINER.lends(older) == lent_by(JOINER.start(older))


def test_a_completion_of_an_older_version_leads_to_the_same_row() -> None:
    for schema in released()[DONE.record]:
        value = b"\xc3\x01" + schema.fingerprint + write_record(schema, DONE.to_record())
        event = read_event(WIRE, message(value))
        assert isinstance(event, EvolutionCompleted)
        found = ROWS.read(message(value))
        assert counted_by(found) == counted_by(DONE)
        assert found.row == WIRE.encode(evolution_metrics(event))


def test_a_completion_written_in_an_unusual_way_leads_to_the_same_row() -> None:
    value = WIRE.encode(DONE)
    unusual = value.replace(b"\x02\x10accuracy", b"\x01\x22\x10accuracy", 1)
    assert unusual != value, "a block that says its size"
    assert ROWS.quickly(unusual, DONE.occurred_at) is None
    found = [ROWS.read(message(v)) for v in (value, unusual)]
    assert found[0].row == found[1].row
    assert counted_by(found[0]) == counted_by(found[1]) == counted_by(DONE)


def test_maps_with_other_names_than_those_before_lead_to_rows_of_their_own() -> None:
    maps: list[dict[str, float]] = [
        {},
        {"accuracy": 0.5},
        {"novelty": 1.0, "accuracy": 0.25},
        {"accuracy": 0.25, "novelty": 2.0},
        {f"kpi-{n}": float(n) for n in range(64)},
        {f"kpi-{n}": float(n) for n in range(65)},
    ]
    rows = MetricsRows(WIRE)
    for pre, post in [*itertools.product(maps, repeat=2)] * 2:
        done = dataclasses.replace(DONE, pre_kpis=pre, post_kpis=post)
        found = rows.read(message(WIRE.encode(done)))
        assert found.row == WIRE.encode(evolution_metrics(done))


def test_a_kpi_that_a_map_has_twice_counts_as_everybody_reads_it() -> None:
    value = WIRE.encode(dataclasses.replace(DONE, post_kpis={"accuracy": 0.5, "novelty!": 0.25}))
    twice = value.replace(b"novelty!", b"accuracy")
    done = read_event(WIRE, message(twice))
    assert isinstance(done, EvolutionCompleted) and done.post_kpis == {"accuracy": 0.25}
    assert ROWS.read(message(twice)).row == WIRE.encode(evolution_metrics(done))


@given(st.data())
def test_the_compiled_reader_takes_nothing_that_validation_would_refuse(data: st.DataObject) -> None:
    changes: dict[str, Any] = {
        "event_id": ["", "no-uuid", DONE.event_id.upper(), DONE.event_id[:-1] + "g", DONE.event_id + "0"],
        "agent_id": ["", "ä" * 1000, "a" * 1001],
        "node_id": ["", "n" * 1001],
        "evolution_id": ["", "e" * 1001],
        "occurred_at": [-1, DONE.occurred_at + MAX_AHEAD_MICROS, DONE.occurred_at + MAX_AHEAD_MICROS + 1],
        "started_at": [-1, DONE.occurred_at + MAX_AHEAD_MICROS + 1],
        "status": ["", "fine", "succeeded "],
        "duration_seconds": [-1.0, -0.0],
        **{
            name: [-1, 2**62]
            for name in (
                "error_count",
                "warning_count",
                "convergence_iterations",
                "network_bytes_transferred",
            )
        },
        "cost_usd": [None, -0.01, 0.0],
        "progress_share": [None, -0.01, 0.0, 1.0, 1.01],
        "snapshot_phases": [[], ["post_evolution"], ["baseline"], ["pre_evolution", ""]],
        "parent_agent_id": [None, "p" * 1001],
        "parent_agent_ids": [[], [""], ["p", "p" * 1001], ["p" * 1000]],
        "tokens_in": [None, -1, 0],
        "tokens_out": [None, -1],
        "evaluations": [None, -(2**63)],
        "candidate_hash": [None, "", "F" * 64, "f" * 63, "f" * 64],
        "model": [None, "m" * 1001],
        "run_id": [None, "r" * 1001],
        "objective": [None, "o" * 1001],
        "direction": [None, "", "up", "pareto"],
    }
    chosen = data.draw(st.sets(st.sampled_from(sorted(changes)), max_size=2))
    fields = {name: data.draw(st.sampled_from(changes[name])) for name in sorted(chosen)}
    done = dataclasses.replace(DONE, **fields)
    try:
        validate(done, DONE.occurred_at)
    except InvalidEvent:
        assert ROWS.quickly(WIRE.encode(done), DONE.occurred_at) is None


@given(st.data())
def test_damaged_bytes_are_read_as_everybody_reads_them_or_not_at_all(data: st.DataObject) -> None:
    value = bytearray(WIRE.encode(DONE))
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(10, len(value) - 1))] = data.draw(st.integers(0, 255))
    done = ROWS.quickly(bytes(value), DONE.occurred_at)
    if done is None:
        return
    event = read_event(WIRE, message(bytes(value)))
    assert isinstance(event, EvolutionCompleted)
    assert WIRE.decode(done.row) == evolution_metrics(event)
    assert counted_by(done) == counted_by(event)
