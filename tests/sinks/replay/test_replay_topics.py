"""Replay from Kafka: what topics hold is read as it is, and rows of what is gone are left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from evometrics.deploy.pipeline.drain import end_offsets
from evometrics.schemas.events import Event
from evometrics.schemas.kafka.offsets import AIOKafkaAdminClient
from evometrics.schemas.kafka.topic_settings import SENDER_TIME, change
from evometrics.schemas.kafka.topics import BrokerUnavailable, answered
from evometrics.schemas.service.settings import KafkaSettings, SettingsError
from evometrics.schemas.topics import BY_RECORD, EVOLUTION_COMPLETED, EVOLUTION_STARTED, KPI_SNAPSHOTS
from evometrics.sinks.raw.event import RawEvent
from evometrics.sinks.replay.topics import Beginning, TopicSource
from evometrics.sinks.settings import ClickHouseSettings
from tests.conftest import running_node
from tests.sinks.replay.test_replay import BEGIN, HOUR, LOAD, Stored, counts, replayed, sums
from tests.support.generator import history
from tests.support.pure_stream import SOURCES
from tests.support.sinks import WIRE, Kafka

TOPICS = (EVOLUTION_STARTED, EVOLUTION_COMPLETED, KPI_SNAPSHOTS)
NAMES = [topic.name for topic in TOPICS]


@pytest.fixture
def broker(broker: Kafka) -> Kafka:
    """One whose topics take messages with the times that a test gives them, as republishing has them do."""
    taken = dict.fromkeys(NAMES, SENDER_TIME)
    asyncio.run(answered(broker.settings, lambda admin: change(admin, taken)))
    return broker


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node of its own: what lies before a partition's first message is unknown where others had any."""
    yield from running_node(tmp_path_factory.mktemp("stack"))


async def ends(broker: Kafka) -> dict[tuple[str, int], int]:
    """Return where each partition ends: what a test sends begins there.

    What other tests sent is deleted: where messages of later times come first, a time finds those.
    """
    found = await end_offsets(broker.settings, NAMES)
    begin = {(place.topic, place.partition): end for place, end in found.items()}
    for place, end in begin.items():
        await delete(broker, place, end)
    return begin


async def send(
    broker: Kafka, stored: Stored, events: Sequence[tuple[int, Event]]
) -> dict[tuple[str, int], list[Event]]:
    """Send what the stream reads of these events, at these times; return what each partition holds then."""
    sent: dict[tuple[str, int], list[Event]] = {}
    producer = AIOKafkaProducer(bootstrap_servers=broker.settings.brokers, linger_ms=5)
    await producer.start()
    for at, event in events:
        if isinstance(event, SOURCES):
            topic, partition = BY_RECORD[event.record].name, stored.stream.partition_of(event.key)
            sent.setdefault((topic, partition), []).append(event)
            value = WIRE.encode(event)
            await producer.send(
                topic, value, key=event.key.encode(), partition=partition, timestamp_ms=at // 1000
            )
    await producer.stop()
    return sent


def source(broker: Kafka, begin: Beginning) -> TopicSource:
    return TopicSource(broker.settings, WIRE, TOPICS, begin)


async def read(found: TopicSource, number: int = 70) -> list[RawEvent]:
    async with found:
        events = [event async for events in found.slices(number) for event in events]
    assert len(events) == found.events
    return events


def by_place(events: Sequence[RawEvent]) -> dict[tuple[str, int], list[str]]:
    """Return ids by topic and partition."""
    found: dict[tuple[str, int], list[str]] = {}
    for event in events:
        found.setdefault((event.topic, event.partition), []).append(event.event_id.decode())
    return found


async def test_every_message_comes_once_in_its_partitions_order_and_that_of_time(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    begin, events = await ends(broker), history(replace(LOAD, begin=BEGIN - 24 * HOUR, evolutions=120))
    sent = await send(broker, Stored(database), events)
    assert len({e.event_id for _, e in events}) < len(events), "some were sent twice"
    found = await read(source(broker, Beginning(offsets=begin)))
    assert by_place(found) == {place: [e.event_id for e in each] for place, each in sent.items()}
    assert [event.timestamp for event in found] == sorted(event.timestamp for event in found)
    wanted = {e.event_id: e for _, e in events}
    for event in found:
        known = wanted[event.event_id.decode()]
        assert (event.key.decode(), event.occurred_at) == (known.key, known.occurred_at)
        assert event.value == WIRE.encode(known)

    # from a time on, and from the later of the two beginnings
    since = found[len(found) // 2].timestamp
    late = await read(source(broker, Beginning(since, begin)))
    assert by_place(late) == by_place([event for event in found if event.timestamp >= since])
    assert [event.timestamp for event in late] == sorted(event.timestamp for event in late)
    place = next(place for place, each in sent.items() if len(each) > 9)
    some = await read(source(broker, Beginning(offsets={**begin, place: begin[place] + 7})))
    assert by_place(some)[place] == [e.event_id for e in sent[place]][7:]

    # Kafka keeps only the newest
    await delete(broker, place, begin[place] + 5)
    left = await read(source(broker, Beginning(offsets=begin)))
    assert by_place(left)[place] == [e.event_id for e in sent[place]][5:]


async def delete(broker: Kafka, place: tuple[str, int], before: int) -> None:
    """Have Kafka delete a partition's messages before an offset, as retention does."""
    from aiokafka.admin import RecordsToDelete

    admin = AIOKafkaAdminClient(bootstrap_servers=broker.settings.brokers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(*place): RecordsToDelete(before_offset=before)})
    finally:
        await admin.close()


async def test_what_came_before_the_first_offsets_is_kept_and_all_else_put_right(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    begin, stored = await ends(broker), Stored(database)
    events = history(replace(LOAD, begin=BEGIN - 30 * HOUR, hours=42.0, evolutions=250))
    await stored.put(events)
    sent = await send(broker, stored, events)
    await broker.send([(EVOLUTION_COMPLETED.name, b"rubbish"), (KPI_SNAPSHOTS.name, None)])
    gone = {place: len(each) // 10 for place, each in sent.items() if place[0] != EVOLUTION_STARTED.name}
    lost = {event.event_id for place, number in gone.items() for event in sent[place][:number]}
    lost -= {event.event_id for place, number in gone.items() for event in sent[place][number:]}
    # that long after its start, what never completed is abandoned by the clock
    await replayed(database, source=source(broker, Beginning(offsets=begin)), apply=True, unreadable=2)
    right = await sums(database)

    metrics, deltas = stored.derived("evolution_metrics"), stored.derived("kpi_delta")
    # a message's event time lies at most a day ahead of its time in Kafka: for that time nothing is judged
    rates = [e for e in stored.derived("success_rate") if e.window_start > BEGIN + 4 * HOUR]
    read_metrics = [e for e in metrics if e.source_event_id not in lost and e.status != "abandoned"]
    assert len(read_metrics) > 100 and len(rates) > 30 and len(lost) > 40
    await stored.put_derived(
        *(replace(e, generation=-1) for e in read_metrics), *(replace(e, successes=-1) for e in rates)
    )
    offsets = {**begin, **{place: begin[place] + number for place, number in gone.items()}}
    from_kafka = source(broker, Beginning(offsets=offsets))
    found = counts(await replayed(database, source=from_kafka, apply=True, unreadable=2))
    assert found["evolution_metrics"]["changed"] == len(read_metrics)
    # and starts without their completion, which would be reported as abandoned
    assert found["evolution_metrics"]["kept"] >= len(metrics) - len(read_metrics)
    assert found["success_rates"]["changed"] == len(rates)
    assert {table: set(kinds) - {"changed"} for table, kinds in found.items()} == {
        table: {"kept"} for table in found
    }
    assert found["kpi_deltas"]["kept"] >= len([e for e in deltas if e.snapshot_event_id in lost])
    assert await sums(database) == right


async def test_offsets_and_topics_that_are_not_there_are_named(broker: Kafka) -> None:
    end = await ends(broker)
    place = next(iter(end))
    for offsets, said in (
        ({place: end[place] + 1}, f"the partition ends at {end[place]}"),
        ({(place[0], 99): 0}, r"0 to \d"),
        ({("other", 0): 0}, "the partitions are evometrics"),
    ):
        with pytest.raises(SettingsError, match=said):
            await read(source(broker, Beginning(offsets=offsets)))
    nobody = TopicSource(KafkaSettings(brokers="127.0.0.1:1"), WIRE, TOPICS, Beginning())
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        await asyncio.wait_for(read(nobody), 60)
