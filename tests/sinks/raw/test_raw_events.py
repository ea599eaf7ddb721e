"""Raw tables as events again: byte for byte what was recorded, each once, in the order of Kafka's time."""

from __future__ import annotations

import dataclasses
import random
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from evometrics.schemas.events import (
    CustomMetric,
    Event,
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    KpiSnapshot,
    SystemEvent,
)
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.topics import BY_RECORD, RAW_TOPICS
from evometrics.schemas.wire.binary import Unusual, write_long, write_text
from evometrics.schemas.wire.catalog import released
from evometrics.schemas.wire.datum import write_record
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.raw.event import RawEvent, cut_events
from evometrics.sinks.raw.sql import TableMismatch
from evometrics.sinks.raw.tables import RawSelection, RawTables
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import Batch, Partition
from evometrics.sinks.worker.writer import TableWriter
from tests.support.generator import Load, generate
from tests.support.model import SECOND
from tests.support.sinks import WIRE, Sent, sent, store

#: Seconds since 1970: tables keep no events of three months ago, brokers take none of the future (late ones).
BEGIN = int(time.time()) - 70 * 3600
LOAD = Load(seed=3, begin=BEGIN * SECOND, agents=20, evolutions=150, nodes=2)
#: Doubles that a detour through text or arithmetic would change.
ODD = (-0.0, 5e-324, 0.1 + 0.2, 1e308, -1.7976931348623157e308, 2.0**53 + 2)


async def fill(database: ClickHouseSettings, messages: Iterable[Sent]) -> None:
    """Store messages as the sink does, one insert for each topic."""
    writer = TableWriter(database, Instruments(CollectorRegistry(), OF_SINK))
    await writer.reach()
    try:
        batch = Batch()
        for message in messages:
            batch.add({Partition(message.topic, message.partition): [message]}, WIRE)
        for group in batch.groups.values():
            assert await store(writer, group) == []
    finally:
        await writer.close()


async def read(
    database: ClickHouseSettings, selection: RawSelection | None = None, events: int = 1_000_000
) -> list[list[RawEvent]]:
    """Return all events, slice by slice."""
    async with RawTables(database, selection or RawSelection(), WIRE) as tables:
        bounds = await tables.bounds()
        if bounds is None:
            return []
        begin, found = bounds[0], []
        while (part := await tables.next_slice(begin, events)) is not None:
            found.append(await tables.read(part))
            begin = part.end
        assert begin == bounds[1] + 1
        return found


def loaded() -> list[Sent]:
    """Return the generated events, duplicates left out, as messages of four partitions in order."""
    unique = {event.event_id: (at, event) for at, event in generate(LOAD)}
    ends: dict[tuple[str, int], int] = {}
    messages = []
    for at, event in sorted(unique.values(), key=lambda pair: pair[0]):
        place = BY_RECORD[event.record].name, hash_of(event) % 4
        ends[place] = ends.get(place, -1) + 1
        # many in one millisecond
        messages.append(sent(event, place[1], ends[place], at // SECOND * 1000))
    return messages


def hash_of(event: Event) -> int:
    return sum(event.key.encode())


def odd_events() -> list[Event]:
    """Return events with what is rare: nulls, empty names, numbers of 64 bits, odd doubles."""
    common: dict[str, Any] = {"agent_id": "ägent", "node_id": "n|1", "occurred_at": BEGIN * SECOND + 123_457}

    def head() -> dict[str, Any]:
        return {**common, "event_id": new_event_id()}

    odd = {f"k{n}": value for n, value in enumerate(ODD)}
    return [
        EvolutionStarted(**head(), evolution_id="e", target_gain=-0.0, generation=-(2**63), pre_kpis=odd),
        EvolutionStarted(**head(), evolution_id="e", metadata={"": "", "ключ": "\0\n'\\"}),
        EvolutionProgressed(**head(), evolution_id="x" * 1000, iteration=2**63 - 1, fitness=5e-324),
        EvolutionCompleted(
            **head(),
            evolution_id="e",
            started_at=0,
            pre_kpis=odd,
            post_kpis={},
            fitness_trajectory=list(ODD) * 40,
            insights=["", "ü" * 3000, "\ud7ff"],
            gpu_memory_mb=0.1,
            network_bytes_transferred=2**62,
            trigger_reason="long " * 3000,
        ),
        EvolutionCompleted(**head(), evolution_id="e", started_at=0, parent_agent_id="", cost_usd=5e-324),
        KpiSnapshot(**head()),
        KpiSnapshot(**head(), evolution_id="", accuracy=-0.0, evaluation_count=-1, extra=odd),
        SystemEvent(**{**head(), "agent_id": ""}, event_type="t", data='{"a": "\\u0000"}'),
        CustomMetric(**{**head(), "agent_id": ""}, name="m", kind="counter", value=-0.0, labels={"": "ü"}),
    ]


#: Records of the topics from the fourth on.
LATER = {topic.record for topic in RAW_TOPICS[3:]}


def test_the_load_holds_every_raw_record() -> None:
    assert (
        {m.topic for m in loaded()}
        == {t.name for t in RAW_TOPICS}
        == {BY_RECORD[e.record].name for e in odd_events()}
    )


async def test_every_event_comes_back_byte_for_byte(database: ClickHouseSettings) -> None:
    odd = [sent(event, 5, number, BEGIN * 1000) for number, event in enumerate(odd_events())]
    messages = [*loaded(), *odd]
    await fill(database, messages)
    found = [event for part in await read(database) for event in part]
    by_id = {WIRE.decode(m.value).event_id.encode(): m for m in messages}
    assert len(found) == len(by_id) == len(messages)
    for event in found:
        message = by_id[event.event_id]
        assert (event.topic, event.key, event.timestamp) == (message.topic, message.key, message.timestamp)
        assert event.value == message.value
        assert event.occurred_at == WIRE.decode(event.value).occurred_at


@pytest.mark.parametrize("events", [1, 7, 100, 100_000])
async def test_slices_of_any_size_give_each_event_once_in_kafkas_order(
    database: ClickHouseSettings, events: int
) -> None:
    messages = loaded()[: 40 if events == 1 else 400 if events == 7 else None]
    await fill(database, messages)
    slices = await read(database, events=events)
    found = [event for part in slices for event in part]
    assert len(slices) == 1 if events > len(messages) else len(slices) > 3
    assert [e.timestamp for e in found] == sorted(m.timestamp for m in messages)
    assert (
        max(len({e.timestamp for e in part}) for part in slices) <= events
    )  # and all of the last millisecond

    def offsets(of: Sequence[tuple[str, bytes]]) -> dict[str, list[bytes]]:
        ordered: dict[str, list[bytes]] = {}
        for place, event_id in of:
            ordered.setdefault(place, []).append(event_id)
        return ordered

    places = {WIRE.decode(m.value).event_id.encode(): f"{m.topic}-{m.partition}" for m in messages}
    assert offsets([(places[e.event_id], e.event_id) for e in found]) == offsets(
        [(p, i) for i, p in places.items()]
    )


async def test_an_event_that_is_stored_twice_comes_once_with_what_was_stored_last(
    database: ClickHouseSettings,
) -> None:
    event = odd_events()[0]
    await fill(database, [sent(event, 0, 1, BEGIN * 1000)])
    await fill(database, [sent(event, 0, 9, BEGIN * 1000 + 5000)])
    for events in (1, 10):
        ((*_, found),) = [part for part in await read(database, events=events) if part]
        assert (found.timestamp, found.value) == (BEGIN * 1000 + 5000, WIRE.encode(event))
    async with RawTables(database, RawSelection(), WIRE) as tables:
        assert sum((await tables.counts(0)).values()) == 1


async def test_a_selection_is_by_table_event_time_and_agent(database: ClickHouseSettings) -> None:
    messages = loaded()
    await fill(database, messages)
    all_events = [WIRE.decode(m.value) for m in messages]
    middle = sorted(e.occurred_at for e in all_events)[len(all_events) // 2]
    agents = ("agent-0003", "agent-0007", "agent-none")
    tests: list[tuple[RawSelection, Any]] = [
        (RawSelection(since=middle), lambda e: e.occurred_at >= middle),
        (RawSelection(until=middle), lambda e: e.occurred_at < middle),
        (RawSelection(since=middle, until=middle + 1), lambda e: e.occurred_at == middle),
        (RawSelection(agents=agents), lambda e: e.agent_id in agents),
        (RawSelection(RAW_TOPICS[3:]), lambda e: e.record in LATER),
        (RawSelection(agents=("nobody",)), lambda e: False),
    ]
    identities = set()
    for selection, meant in tests:
        found = {e.event_id.decode() for part in await read(database, selection) for e in part}
        assert found == {e.event_id for e in all_events if meant(e)}
        async with RawTables(database, selection, WIRE) as tables:
            assert sum((await tables.counts(0)).values()) == len(found)
            identities.add(await tables.identity())
            assert await tables.identity() in identities
    assert len(identities) == len(tests)


async def test_a_table_with_columns_of_a_newer_version_is_refused_by_name(
    database: ClickHouseSettings,
) -> None:
    async with RawTables(database, RawSelection(), WIRE) as tables:
        await tables.check_known()
        client = await open_client(database)
        await client.command(
            "ALTER TABLE system_events_rows ADD COLUMN source String, ADD COLUMN x UInt8 ALIAS 1"
        )
        await client.close()
        with pytest.raises(
            TableMismatch, match=r"system_event has source, from a newer version .* use the version"
        ):
            await tables.check_known()


async def test_events_of_an_older_version_come_back_as_the_newest_writes_them(
    database: ClickHouseSettings,
) -> None:
    first, last = released()["evolution_completed"][0], released()["evolution_completed"][-1]
    event = next(e for e in odd_events() if isinstance(e, EvolutionCompleted))
    message = sent(event, 0, 1, BEGIN * 1000)
    old = b"\xc3\x01" + first.fingerprint + write_record(first, event.to_record())
    assert old != message.value
    await fill(database, [dataclasses.replace(message, value=old)])
    ((found,),) = await read(database)
    assert found.value == message.value and found.value[2:10] == last.fingerprint
    assert WIRE.decode(found.value) == WIRE.decode(old)


async def test_a_table_of_another_version_is_refused_by_name(database: ClickHouseSettings) -> None:
    await fill(database, loaded()[:50])
    client = await open_client(database)
    await client.command("ALTER TABLE evolution_started_rows MODIFY COLUMN memory_mb Float32")
    await client.close()
    with pytest.raises(TableMismatch, match=r"evolution_started.*memory_mb.*float.*migrate"):
        await read(database)


def block(record: bytes, count: int = 1) -> bytes:
    """Return a container's block."""
    return write_long(count) + write_long(len(record)) + record + bytes(16)


HEAD = struct.pack("<qqiq", 1_780_000_000_000, 1_780_000_000_000_000, 3, 77)
DATUM = write_text(new_event_id()) + write_text("agent") + write_text("node") + b"the rest"


def test_events_are_cut_out_of_a_container_with_the_agent_or_else_the_node_as_key() -> None:
    of_no_agent = DATUM.replace(write_text("agent"), write_text(""))
    later = HEAD[:-8] + struct.pack("<q", 78)
    container = b"header" + block(HEAD + DATUM) + block(b"", 0) + block(later + of_no_agent)
    first, second = cut_events(container, 6, "topic", b"framing ")
    assert first == RawEvent(
        1_780_000_000_000, 1_780_000_000_000_000, "topic", DATUM[1:37], b"agent", b"framing " + DATUM, 3, 77
    )
    assert (second.key, second.value) == (b"node", b"framing " + of_no_agent)


def test_what_was_stored_twice_comes_once_and_in_the_order_of_time_partition_and_offset() -> None:
    places = [(5, 1, 9), (5, 1, 2), (4, 2, 7), (5, 0, 8), (5, 1, 9)]
    blocks = [
        block(struct.pack("<qqiq", at, 0, partition, offset) + DATUM) for at, partition, offset in places
    ]
    found = cut_events(b"".join(blocks), 0, "topic", b"")
    assert [(e.timestamp, e.partition, e.offset) for e in found] == sorted(set(places))


@pytest.mark.parametrize(
    "container",
    [block(HEAD + DATUM, 2), block(HEAD + DATUM)[:-1], block(HEAD), block(b""), block(HEAD + DATUM[:40])],
    ids=["two in a block", "cut", "no datum", "nothing", "cut datum"],
)
def test_what_is_no_container_of_events_is_refused(container: bytes) -> None:
    with pytest.raises((ValueError, Unusual)):
        cut_events(container, 0, "topic", b"")


def test_no_damage_to_a_container_is_read_beyond_its_end() -> None:
    container, rng = bytearray(2 * block(HEAD + DATUM)), random.Random(5)
    for _ in range(5000):
        damaged = container[: rng.randrange(len(container))] if rng.random() < 0.3 else container[:]
        for _ in range(rng.randrange(4)):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.choice([0, 1, 2, 127, 128, 255])
        with suppress(ValueError, Unusual):
            for event in cut_events(bytes(damaged), 0, "topic", b""):
                assert len(event.event_id) == 36 and event.value in bytes(damaged)
