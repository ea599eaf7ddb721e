"""Differences of snapshots: the quick rows are those that the pure functions define, or there is none."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import example, given
from hypothesis import strategies as st

from evometrics.schemas.events import KpiSnapshot
from evometrics.schemas.kpis.performance import DIRECTIONS, KPI_NAMES, KpiThresholds
from evometrics.schemas.service.compiled import is_compiled
from evometrics.schemas.topics import KPI_SNAPSHOTS
from evometrics.schemas.wire.binary import UNUSUAL
from evometrics.schemas.wire.catalog import newest, released
from evometrics.schemas.wire.datum import write_record
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat
from evometrics.streams.formulas.calculations import kpi_delta, measured
from evometrics.streams.offline import record_of
from evometrics.streams.rows.deltas import SnapshotRows
from evometrics.streams.rows.rows import DeltaRows
from tests.support.examples import EXAMPLES

WIRE = WireFormat()
ROWS = SnapshotRows(WIRE)
SNAPSHOT = next(e for e in EXAMPLES if isinstance(e, KpiSnapshot))
OTHER_ID = "01912345-6789-7abc-8def-00000000000a"
AT = SNAPSHOT.occurred_at
MEASURED = ("overall_performance", *KPI_NAMES)

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 1.0, 0.3, 0.4, 0.6, 0.8, 5000.0, 1.7e308, -1.7e308]
)
extras = st.dictionaries(
    st.sampled_from(["performance", "overall_performance", "accuracy", "reliability", "ü", "", "loss" * 40]),
    numbers,
)
aims = st.fixed_dictionaries(
    {
        "objective": st.none() | st.sampled_from(["accuracy", "ü", "loss" * 40, "none of them"]),
        "direction": st.none() | st.sampled_from(DIRECTIONS),
    }
)
shares = st.floats(0, 1)
limits = st.none() | st.builds(
    KpiThresholds, shares, shares, shares, shares, shares, shares, shares, shares, st.floats(0, 1e5)
)


@st.composite
def snapshots(draw: st.DrawFn) -> KpiSnapshot:
    """Draw a snapshot: some KPIs measured, some besides, an objective or none."""
    given = draw(st.sets(st.sampled_from(MEASURED)))
    kpis = {name: draw(numbers) if name in given else None for name in MEASURED}
    aim, extra = draw(aims | st.just({"objective": None, "direction": None})), draw(extras)
    return dataclasses.replace(
        SNAPSHOT, **kpis, **aim, extra=extra, occurred_at=AT - draw(st.integers(0, 99))
    )


def message(value: bytes | None) -> ConsumerRecord:
    return record_of(KPI_SNAPSHOTS.name, 0, 0, b"k", value or b"", AT // 1000)


def defined(now: KpiSnapshot, before: KpiSnapshot | None, thresholds: KpiThresholds | None) -> bytes:
    """Return the row by the functions that define it."""
    return WIRE.encode(kpi_delta(measured(now), measured(before) if before else None, thresholds))


@given(snapshots(), st.none() | snapshots(), limits)
@example(SNAPSHOT, SNAPSHOT, None)
def test_a_row_is_what_the_functions_define(
    now: KpiSnapshot, before: KpiSnapshot | None, thresholds: KpiThresholds | None
) -> None:
    rows = SnapshotRows(WIRE, thresholds)
    if before is not None:
        before = dataclasses.replace(before, event_id=OTHER_ID)
    read = [None if each is None else rows.read(message(WIRE.encode(each))) for each in (now, before)]
    assert read[0] is not None
    assert rows.row(read[0], read[1]) == defined(now, before, thresholds)
    for found, event in zip(read, (now, before), strict=True):
        if found is not None and event is not None:
            assert found.value == WIRE.encode(event)
            for name in ("event_id", "agent_id", "node_id", "occurred_at"):
                assert getattr(found, name) == getattr(event, name)


def test_the_quick_reader_takes_what_our_writers_write() -> None:
    value = WIRE.encode(SNAPSHOT)
    quick = ROWS.rows.read(value, len(ROWS.prefix), AT)
    assert ROWS.rows.row(quick, quick) == defined(SNAPSHOT, SNAPSHOT, None)


@pytest.mark.parametrize(
    "changed",
    [
        {"agent_id": "a" * 990},  # names that are long together, each of which is right
        {"extra": {f"k{n}": n / 3 for n in range(300)}},
    ],
    ids=["names", "many"],
)
def test_what_the_quick_reader_does_not_take_has_its_row_all_the_same(changed: dict[str, Any]) -> None:
    odd = dataclasses.replace(SNAPSHOT, **changed)
    if is_compiled(DeltaRows.__module__) or "extra" not in changed:  # plain, it has room for any number
        with pytest.raises(UNUSUAL):
            ROWS.rows.read(WIRE.encode(odd), len(ROWS.prefix), AT)
    for now, before in ((odd, SNAPSHOT), (SNAPSHOT, odd), (odd, None), (odd, odd)):
        read = [None if each is None else ROWS.read(message(WIRE.encode(each))) for each in (now, before)]
        assert read[0] is not None
        assert ROWS.row(read[0], read[1]) == defined(now, before, None)


@pytest.mark.parametrize("version", range(1, len(released()["kpi_snapshot"]) + 1))
def test_a_snapshot_of_an_older_schema_is_stored_as_the_newest_and_has_its_row(version: int) -> None:
    schema = released()["kpi_snapshot"][version - 1]
    names = [field["name"] for field in schema.source["fields"]]
    record = SNAPSHOT.to_record()
    value = b"\xc3\x01" + schema.fingerprint + write_record(schema, {name: record[name] for name in names})
    event = WIRE.decode(value)
    assert isinstance(event, KpiSnapshot)
    read = ROWS.read(message(value))
    assert read.value == WIRE.encode(event) == ROWS.stored(value).value
    assert ROWS.row(read, ROWS.stored(value)) == defined(event, event, None)
    assert schema.version == newest("kpi_snapshot").version or read.value != value


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"phase": "later"}, "phase"),
        ({"occurred_at": AT + 86_400_000_001}, "occurred_at"),
        ({"occurred_at": -1}, "occurred_at"),
        ({"event_id": "no id"}, "event_id"),
        ({"source_event_id": "none either"}, "source_event_id"),
        ({"agent_id": ""}, "agent_id"),
        ({"node_id": ""}, "node_id"),
        ({"agent_id": "a" * 1001}, "agent_id"),
        ({"direction": "sideways"}, "direction"),
    ],
)
def test_an_invalid_snapshot_is_refused_with_the_reason(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableMessage, match=reason):
        ROWS.read(message(WIRE.encode(dataclasses.replace(SNAPSHOT, **changed))))


def test_a_message_without_a_value_or_of_another_kind_is_refused() -> None:
    for value in (b"", b"\xc3\x01", WIRE.encode(EXAMPLES[0]), WIRE.encode(SNAPSHOT)[:-1]):
        with pytest.raises(UnreadableMessage):
            ROWS.read(message(value))
