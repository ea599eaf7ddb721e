"""The tables' constraints and `schemas.wire.reading` say the same of every message, however it is damaged."""

from __future__ import annotations

import itertools

import pytest
from prometheus_client import CollectorRegistry

from evometrics.schemas.events import Event, now_micros
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.topics import BY_RECORD, TOPICS
from evometrics.schemas.wire.framing import UnreadableMessage
from evometrics.schemas.wire.reading import read_event
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import Batch, InsertGroup, Partition
from evometrics.sinks.worker.writer import BadData, TableWriter
from tests.faults.fuzz_messages import Fuzzed, around, fuzzed
from tests.support.sinks import WIRE, Sent, one_of_each, rows, store

MESSAGES = 320
SEED = 7


def verdict(message: Sent) -> str | None:
    """Return why a message is bad, None where it is good."""
    try:
        read_event(WIRE, message)
    except UnreadableMessage as error:
        return str(error)
    return None


def groups_of(messages: list[Sent]) -> list[InsertGroup]:
    batch = Batch()
    for message in messages:
        batch.add({Partition(message.topic, message.partition): [message]}, WIRE)
    return list(batch.groups.values())


def sent(found: list[Fuzzed]) -> list[Sent]:
    at = now_micros() // 1000
    return [Sent(f.topic, 0, offset, at, f.key, f.value) for offset, f in enumerate(found)]


@pytest.fixture
def writer(database: ClickHouseSettings) -> TableWriter:
    return TableWriter(database, Instruments(CollectorRegistry(), OF_SINK))


def test_what_is_good_or_bad_by_construction_is_read_so() -> None:
    found = list(itertools.islice(fuzzed(5, around(now_micros())), 4000))
    wrong = [
        (f.kind, verdict(m))
        for f, m in zip(found, sent(found), strict=True)
        if f.good is not None and f.good != (verdict(m) is None)
    ]
    assert wrong == []
    undecided = [verdict(m) is None for f, m in zip(found, sent(found), strict=True) if f.good is None]
    assert sum(undecided) > 100 and len(undecided) - sum(undecided) > 100


async def test_no_constraint_lets_a_bad_message_in_and_every_good_one_is_stored(
    writer: TableWriter, database: ClickHouseSettings
) -> None:
    found = list(itertools.islice(fuzzed(SEED, around(now_micros())), MESSAGES))
    messages = sent(found)
    good = [m for m in messages if verdict(m) is None]
    bad = [m for m in messages if verdict(m) is not None]
    let_in = []
    for message in bad:
        for group in groups_of([message]):
            try:
                await writer.insert(group, group.rows, new_event_id())
                let_in.append((message.topic, found[message.offset].kind, verdict(message), message.value))
            except BadData:
                pass
    assert let_in == []
    for group in groups_of(good):
        assert await store(writer, group) == []
    await writer.close()
    stored = 0
    for topic in TOPICS:
        stored += (await rows(database, f"SELECT count() FROM {topic.table}_rows"))[0][0]
    assert stored == len(good)


@pytest.mark.parametrize("record", ["evolution_metrics", "kpi_delta", "success_rate", "dead_letter"])
async def test_a_derived_message_must_end_where_its_event_does(record: str, writer: TableWriter) -> None:
    event = next(e for e in one_of_each("agent-1") if e.record == record)
    for spoiled in (WIRE.encode(event) + b"\0", WIRE.encode(event)[:-1], broken_text(event)):
        message = Sent(BY_RECORD[record].name, 0, 1, now_micros() // 1000, b"k", spoiled)
        assert verdict(message) is not None
        (group,) = groups_of([message])
        with pytest.raises(BadData):
            await writer.insert(group, group.rows, new_event_id())
    await writer.close()


def broken_text(event: Event) -> bytes:
    """Return an event's message with a node's name that is no UTF-8."""
    return WIRE.encode(event).replace(event.node_id.encode(), b"\xff" * len(event.node_id))
