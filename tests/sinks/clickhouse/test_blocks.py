"""Container blocks: what goes in comes out, in fastavro and in ClickHouse, whatever stands beside it."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from evometrics.schemas.events import EVENT_CLASSES, Event
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.binary import write_block, write_long
from evometrics.schemas.wire.catalog import newest
from evometrics.sinks.clickhouse.blocks import block_end, container, row_format
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import Batch, OffsetRange, Partition, Rejected
from evometrics.sinks.worker.plan import InsertPlan, deduplication_token, metadata, read_metadata
from evometrics.sinks.worker.writer import TableWriter
from tests.support.sinks import WIRE, one_of_each, rows, sent

EVENTS = {event.record: event for event in one_of_each("agent-1")}


def batch_of(*events: Event, partition: int = 3, first: int = 1000) -> Batch:
    batch = Batch()
    for offset, event in enumerate(events, start=first):
        message = sent(event, partition, offset)
        batch.add({Partition(message.topic, partition): [message]}, WIRE)
    return batch


def read(data: bytes) -> list[dict[str, Any]]:
    return [dict(record) for record in fastavro.reader(io.BytesIO(data))]  # type: ignore[arg-type]


@given(st.integers(-(2**63), 2**63 - 1))
def test_varints_are_avros_own(number: int) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, {"type": "long"}, number)
    assert write_long(number) == out.getvalue()


def test_there_is_an_event_of_every_record() -> None:
    assert EVENTS.keys() == EVENT_CLASSES.keys()


@pytest.mark.parametrize("record", EVENTS)
def test_a_container_reads_back_with_its_provenance(record: str) -> None:
    (group,) = batch_of(EVENTS[record], EVENTS[record]).groups.values()
    end = block_end(group.topic)
    blocks = (
        write_block(m.partition, m.offset, m.timestamp, value, start, end) for value, start, m in group.rows
    )
    first, second = read(container(row_format(group.schema), blocks))
    assert (first["_partition"], first["_offset"], second["_offset"]) == (3, 1000, 1001)
    assert first["_timestamp"].timestamp() == 1_900_000_000.123
    plain = dict(EVENTS[record].to_record())
    for name, value in plain.items():
        got = first[name]
        if hasattr(got, "timestamp"):
            got = round(got.timestamp() * 1_000_000)
        assert (str(got) if "event_id" in name and got is not None else got) == value, name


@given(st.data())
def test_a_damaged_datum_is_never_read_into_its_neighbour(data: st.DataObject) -> None:
    """Cut, lengthened or mangled: either it reads as one record of its own length or reading fails."""
    value = WIRE.encode(EVENTS["evolution_progressed"])
    cut = data.draw(st.integers(11, len(value)))
    tail = data.draw(st.binary(max_size=60))
    schema = newest("evolution_progressed")
    end = block_end("a-topic")
    damaged = write_block(0, 7, 0, value[:cut] + tail, 10, end)
    whole = write_block(0, 8, 0, value, 10, end)
    try:
        records = read(container(row_format(schema), [damaged, whole, whole]))
    except Exception:  # any refusal will do
        return
    assert [r["_offset"] for r in records] == [7, 8, 8]
    assert records[1] == records[2]


def test_messages_are_grouped_and_bad_ones_set_aside() -> None:
    good, alien = EVENTS["kpi_snapshot"], EVENTS["system_event"]
    topic = BY_RECORD["kpi_snapshot"].name
    misplaced = sent(alien, 1, 6)
    misplaced.topic = topic
    empty = sent(good, 1, 7)
    empty.value = None
    batch = Batch()
    batch.add({Partition(topic, 1): [sent(good, 1, 5), misplaced, empty, sent(good, 1, 9)]}, WIRE)
    (group,) = batch.groups.values()
    assert [r.message.offset for r in group.rows] == [5, 9]
    assert [r.message.offset for r in batch.rejected] == [6, 7]
    assert "system_event" in batch.rejected[0].reason and "no value" in batch.rejected[1].reason
    ((partition, offsets),) = batch.ranges.items()
    assert partition == (topic, 1) and offsets == OffsetRange(5, 9)
    # offset 5 was another event's, of a topic of that name that is gone
    batch.leave_out(Partition(topic, 1), {(9, good.event_id.encode()), (5, b"0" * 36)})
    assert [r.message.offset for r in group.rows] == [5]


def test_what_was_fetched_of_topics_that_are_gone_is_dropped_and_nothing_else() -> None:
    snapshot, system = EVENTS["kpi_snapshot"], EVENTS["system_event"]
    kept, gone = BY_RECORD["kpi_snapshot"].name, BY_RECORD["system_event"].name
    unreadable = sent(system, 0, 4)
    unreadable.value = None
    batch = Batch()
    batch.add({Partition(kept, 1): [sent(snapshot, 1, 5)]}, WIRE)
    batch.add({Partition(gone, 0): [sent(system, 0, 3), unreadable]}, WIRE)
    batch.add({Partition(gone, 0): [sent(system, 0, 8)]}, WIRE)
    assert batch.without({gone}) == 3
    assert batch.count == 1 and not batch.rejected and not batch.gaps
    assert list(batch.ranges) == [(kept, 1)]
    assert [group.topic for group in batch.groups.values()] == [kept]


def test_a_token_names_one_planned_insert() -> None:
    first, second = newest("evolution_started"), newest("evolution_completed")
    token = deduplication_token("t", first, "run", 7)
    assert token == deduplication_token("t", first, "run", 7)
    others = [("u", first, "run", 7), ("t", second, "run", 7), ("t", first, "x", 7), ("t", first, "run", 8)]
    for other in others:
        assert token != deduplication_token(*other)


def test_a_plan_comes_back_from_its_metadata_and_an_older_one_without_its_number_too() -> None:
    plan = InsertPlan(5, 9, "run", 3)
    assert InsertPlan.from_fields(read_metadata(metadata(plan, "id"))) == plan
    assert (
        read_metadata(metadata(plan, "id"))["topic"] == read_metadata(metadata(None, "id"))["topic"] == "id"
    )
    assert "topic" not in read_metadata(metadata(plan, "")) and metadata(None, "") == ""
    older = '{"first": 5, "last": 9, "count": 4, "epoch": "run"}'
    assert InsertPlan.from_fields(read_metadata(older)) == InsertPlan(5, 9, "run", 0)
    for other in (None, "", "no plan", "[]", "{}", metadata(None, "id"), '{"epoch": "run"}'):
        assert InsertPlan.from_fields(read_metadata(other)) is None


async def test_clickhouse_reads_every_record_as_it_was_written(database: ClickHouseSettings) -> None:
    writer = TableWriter(database, Instruments(CollectorRegistry(), OF_SINK))
    for group in batch_of(*EVENTS.values()).groups.values():
        await writer.insert(group, group.rows, "one")
    await writer.close()
    for event in EVENTS.values():
        topic = BY_RECORD[event.record]
        expressions = [
            f"toUnixTimestamp64Micro({f['name']})" if "timestamp-micros" in str(f["type"]) else str(f["name"])
            for f in newest(event.record).source["fields"]
        ]
        where = f"FROM {topic.table}_rows"
        found = await rows(database, f"SELECT {', '.join(expressions)} {where}")
        assert len(found) == 1
        for (name, value), got in zip(event.to_record().items(), found[0], strict=True):
            if "event_id" in name and got is not None:
                got = str(got)
            elif name in ("message_key", "message_value"):
                continue
            assert got == value, (event.record, name)
        provenance = await rows(
            database, f"SELECT _topic, _partition, toUnixTimestamp64Milli(_timestamp) {where}"
        )
        assert provenance == [(topic.name, 3, 1_900_000_000_123)]
    (letter,) = await rows(database, "SELECT hex(message_value), isNull(message_key) FROM dead_letters")
    assert letter == (bytes(range(256)).hex().upper(), 1)


def test_a_batch_can_begin_later_than_it_was_fetched() -> None:
    events = [e for e in one_of_each("agent-1") if e.record == "system_event"] * 5
    batch = batch_of(*events)
    batch.rejected.append(Rejected(next(iter(batch.groups.values())).rows[0].message, "bad"))
    partition = next(iter(batch.ranges))
    batch.begin_at({partition: 900})
    assert batch.ranges[partition] == OffsetRange(1000, 1004)
    batch.begin_at({partition: 1002})
    assert batch.ranges[partition] == OffsetRange(1002, 1004)
    assert [row.message.offset for row in next(iter(batch.groups.values())).rows] == [1002, 1003, 1004]
    assert batch.rejected == []
    batch.begin_at({partition: 2000})
    assert batch.ranges == {}
