"""The sink worker on real Kafka and ClickHouse: every message once, bad ones aside, through crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from evometrics.schemas.events import Event, EvolutionProgressed
from evometrics.schemas.ids import derived_id
from evometrics.schemas.service.http import HttpAddress
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import BY_RECORD, DEAD_LETTERS, TOPICS
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.sinks.worker.batch import InsertGroup, InsertRow, Partition
from evometrics.sinks.worker.cycle import SinkCycle
from evometrics.sinks.worker.source import Fenced, KafkaSource, Position
from evometrics.sinks.worker.worker import SinkWorker, run_sink
from evometrics.sinks.worker.writer import TableWriter
from tests.support.sinks import WIRE, Kafka, common, eventually, one_of_each, rows, running, until_stored

PROGRESSED = BY_RECORD["evolution_progressed"]


def many(count: int) -> list[Event]:
    return [
        EvolutionProgressed(**common(f"agent-{i % 17}"), evolution_id="e", iteration=i, fitness=i / 7)
        for i in range(count)
    ]


async def stored_offsets(database: ClickHouseSettings, table: str) -> list[tuple[int, int]]:
    """Return partition and offset of every row in storage, duplicates and all."""
    return [(p, o) for p, o in await rows(database, f"SELECT _partition, _offset FROM {table}_rows")]


async def test_events_of_every_topic_arrive_once_and_offsets_follow(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    agents = [f"agent-{i}" for i in range(20)]
    events = [event for agent in agents for event in one_of_each(agent)]
    sent = await broker.send(events + events[:50])  # 50 come twice
    async with running(broker, database) as worker:
        for topic in TOPICS:
            await until_stored(database, topic.table, len(agents))
        assert worker.cycle is not None
        ends = {Partition(t, p): max(o for u, q, o in sent if (u, q) == (t, p)) + 1 for t, p, _ in sent}

        async def committed() -> bool:
            assert worker.cycle is not None
            positions = await worker.cycle.source.positions(ends)
            return positions == {p: Position(end, None) for p, end in ends.items()}

        await eventually(committed, "the group's offsets at the end of what was sent")
        assert worker.ready() is None
    for topic in TOPICS:
        ids = [str(row[0]) for row in await rows(database, f"SELECT event_id FROM {topic.table}")]
        assert sorted(ids) == sorted(e.event_id for e in events if e.record == topic.record)


@pytest.mark.parametrize("point", ["after the plan", "between two inserts", "after the insert"])
async def test_a_crash_at_any_step_leaves_each_message_stored_once(
    broker: Kafka, database: ClickHouseSettings, point: str
) -> None:
    class Killed(Exception):
        pass

    events = [*many(500), *one_of_each("agent-1")]
    sent = await broker.send(events)
    worker = SinkWorker(broker.settings, database, SinkSettings(broker.sink.group, batch_seconds=2))
    task = asyncio.create_task(worker.run(asyncio.Event()))
    await eventually(lambda: asyncio.sleep(0, worker.waiting_for is None), "the worker to start")
    assert worker.cycle is not None
    cycle, commits = worker.cycle, 0
    commit, insert = cycle.source.commit, cycle.writer.insert

    async def dying_commit(positions: dict[object, object]) -> None:
        nonlocal commits
        commits += 1
        if commits == 2:
            raise Killed
        await commit(positions)  # type: ignore[arg-type]

    async def dying_insert(group: InsertGroup, rows: Sequence[InsertRow], token: str) -> None:
        if point == "after the plan" or group.table != PROGRESSED.table:
            await asyncio.sleep(1)  # the first insert is through when this one dies
            raise Killed
        await insert(group, rows, token)

    cycle.source.commit = dying_commit  # type: ignore[assignment, method-assign]
    if point != "after the insert":
        cycle.writer.insert = dying_insert  # type: ignore[method-assign]
    with pytest.raises((Killed, ExceptionGroup)):
        await asyncio.wait_for(task, 40)
    if point != "after the plan":
        assert len(await stored_offsets(database, PROGRESSED.table)) > 400

    async with running(broker, database) as successor:
        for topic in TOPICS:
            await until_stored(database, topic.table, sum(e.record == topic.record for e in events))

        async def counted() -> bool:  # also where it was the dead worker that stored it
            return sum(successor.metrics.totals.attempts.values()) == 1

        await eventually(counted, "the evolution to be counted")
    for topic in TOPICS:
        expected = sorted((p, o) for t, p, o in sent if t == topic.name)
        assert sorted(await stored_offsets(database, topic.table)) == expected, topic.table


async def test_a_consumer_that_begins_before_what_is_committed_stores_nothing_again(
    broker: Kafka, database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await broker.send(many(300))
    async with running(broker, database):
        await until_stored(database, PROGRESSED.table, 300)
    sent += await broker.send(many(50))
    poll = KafkaSource.poll
    begun = False

    async def from_the_first(source: KafkaSource, seconds: float, rows: int) -> object:
        nonlocal begun
        if source.progress.assigned and not begun:
            begun = True
            source.rewind({Partition(t, p): o for t, p, o in reversed(sent)})
        return await poll(source, seconds, rows)

    monkeypatch.setattr(KafkaSource, "poll", from_the_first)
    async with running(broker, database):
        await until_stored(database, PROGRESSED.table, 350)
        await asyncio.sleep(1)
    assert begun
    expected = sorted((p, o) for _, p, o in sent)
    assert sorted(await stored_offsets(database, PROGRESSED.table)) == expected


async def test_what_was_collected_beside_a_fenced_batch_is_read_again(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    """A commit may fail without a rebalance; the next batch may hold partitions that the failed one lacks."""
    first, others = many(1), many(200)
    await broker.send(first)
    async with running(broker, database) as worker:
        await eventually(lambda: asyncio.sleep(0, worker.waiting_for is None), "the worker to start")
        assert worker.cycle is not None
        cycle, commit, sent = worker.cycle, worker.cycle.source.commit, False

        async def fenced(positions: Any) -> None:
            nonlocal sent
            if not sent:
                sent = True
                await broker.send(others)
                await eventually(lambda: asyncio.sleep(0, cycle.batch.count >= len(others)), "a next batch")
                raise Fenced("somebody else has it")
            await commit(positions)

        cycle.source.commit = fenced  # type: ignore[method-assign]
        await until_stored(database, PROGRESSED.table, 1 + len(others))
    assert sent and len(await stored_offsets(database, PROGRESSED.table)) == 1 + len(others)


@pytest.mark.parametrize("most_at_once", [10_000, 2], ids=["at once", "by pages"])
async def test_what_the_consumer_passes_over_is_read_late(
    broker: Kafka, database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch, most_at_once: int
) -> None:
    monkeypatch.setattr("evometrics.sinks.worker.recovery.SHORT_RANGE", most_at_once)
    await broker.send(many(100))
    sent = await broker.send(many(200))
    poll = KafkaSource.poll
    begun = False

    async def skipping(source: KafkaSource, seconds: float, rows: int) -> object:
        nonlocal begun
        if source.progress.assigned and not begun:
            begun = True
            source.rewind({Partition(t, p): o for t, p, o in sent})  # to the last of each partition
        return await poll(source, seconds, rows)

    monkeypatch.setattr(KafkaSource, "poll", skipping)
    async with running(broker, database):
        await until_stored(database, PROGRESSED.table, 300)
    assert begun and len(await stored_offsets(database, PROGRESSED.table)) == 300


async def test_a_long_gap_within_a_batch_is_stored_page_by_page_in_the_order_of_offsets(
    broker: Kafka, database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evometrics.sinks.worker.recovery.SHORT_RANGE", 3)
    agent = "agent-of-one-partition"
    steps = [
        EvolutionProgressed(**common(agent), evolution_id="e", iteration=i, fitness=0.5) for i in range(60)
    ]
    sent = await broker.send(steps)
    ((topic, partition, first), *_) = sent
    where = Partition(topic, partition)
    poll, commit, read_page = KafkaSource.poll, KafkaSource.commit, KafkaSource.page
    ends: list[int] = []
    kept_back: list[Any] = []

    async def holey(source: KafkaSource, seconds: float, rows: int) -> object:
        """Brings the first 6 and then the last 8 of what is there, as a consumer that has lost its place."""
        if kept_back:
            return {where: [kept_back.pop(0) for _ in range(len(kept_back))]}
        found = dict(await poll(source, seconds, rows))
        mine = found.pop(where, [])  # type: ignore[call-overload]
        head = [m for m in mine if m.offset < first + 6]
        kept_back.extend(m for m in mine if m.offset >= first + 52)
        return found | {where: head} if head else found

    async def noted(source: KafkaSource, positions: Mapping[Partition, Position]) -> None:
        ends.extend(each.offset for each in positions.values())
        await commit(source, positions)

    async def seven(source: KafkaSource, partition: Partition, begin: int, end: int) -> object:
        return await read_page(source, partition, begin, min(end, begin + 7))

    monkeypatch.setattr(KafkaSource, "poll", holey)
    monkeypatch.setattr(KafkaSource, "commit", noted)
    monkeypatch.setattr(KafkaSource, "page", seven)
    async with running(broker, database):
        await until_stored(database, PROGRESSED.table, 60)
    stored = [offset for _, offset in await stored_offsets(database, PROGRESSED.table)]
    assert sorted(stored) == [offset for _, _, offset in sent]
    assert ends == sorted(ends)
    assert {first + 6, first + 13, first + 52, first + 60} <= set(ends)


async def test_what_a_crashed_worker_stored_is_known_beyond_the_next_batch(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    """A large batch was stored but not committed; its successor works in small ones and crashes too."""
    sent = await broker.send(many(300))

    async def crash(sink: SinkSettings, commits_until_killed: int) -> None:
        worker = SinkWorker(broker.settings, database, sink)
        task = asyncio.create_task(worker.run(asyncio.Event()))
        await eventually(lambda: asyncio.sleep(0, worker.waiting_for is None), "the worker to start")
        assert worker.cycle is not None
        source, left = worker.cycle.source, commits_until_killed
        commit = source.commit

        async def dying_commit(positions: dict[object, object]) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise RuntimeError("killed")
            await commit(positions)  # type: ignore[arg-type]

        source.commit = dying_commit  # type: ignore[assignment, method-assign]
        with pytest.raises(RuntimeError, match="killed"):
            await asyncio.wait_for(task, 40)

    await crash(SinkSettings(broker.sink.group, batch_seconds=2), 2)
    await crash(SinkSettings(broker.sink.group, batch_rows=20), 4)
    async with running(broker, database) as worker:

        async def at_end() -> bool:
            ends = {Partition(t, p): max(o for u, q, o in sent if (u, q) == (t, p)) + 1 for t, p, _ in sent}
            if worker.cycle is None or worker.waiting_for is not None:
                return False
            # what the group has: a worker before this one may have finished a partition
            found = await worker.cycle.source.positions(ends)
            return all(p in found and found[p].offset == end for p, end in ends.items())

        await eventually(at_end, "all offsets committed")
    assert sorted(await stored_offsets(database, PROGRESSED.table)) == sorted((p, o) for _, p, o in sent)


@pytest.mark.parametrize("moment", ["before the successors look", "between look and claim", "after all"])
async def test_an_insert_that_a_paused_worker_finishes_late_doubles_nothing(
    broker: Kafka, database: ClickHouseSettings, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its partitions are shared by two successors; the insert holds rows of all of them, in two months."""
    month = 31 * 86_400_000_000
    events = many(600)
    for event in events[::3]:
        event.occurred_at -= month
    sent = await broker.send(events)
    sleeper = SinkWorker(broker.settings, database, SinkSettings(broker.sink.group, batch_seconds=2))
    task = asyncio.create_task(sleeper.run(asyncio.Event()))
    await eventually(lambda: asyncio.sleep(0, sleeper.waiting_for is None), "the worker to start")
    assert sleeper.cycle is not None
    cycle, asleep, late, landed = sleeper.cycle, asyncio.Event(), asyncio.Event(), asyncio.Event()
    insert, stored = cycle.writer.insert, TableWriter.stored_events

    async def sleepy(group: InsertGroup, rows: Sequence[InsertRow], token: str) -> None:
        asleep.set()
        await late.wait()
        await insert(group, rows, token)
        landed.set()

    async def wakes_the_sleeper(writer: TableWriter, *wanted: Any) -> set[tuple[int, bytes]]:
        found = await stored(writer, *wanted)
        if moment == "between look and claim":
            late.set()
            await landed.wait()
        return found

    cycle.writer.insert = sleepy  # type: ignore[method-assign]
    monkeypatch.setattr(TableWriter, "stored_events", wakes_the_sleeper)
    await asyncio.wait_for(asleep.wait(), 30)
    await cycle.source.consumer._coordinator.close()  # the group continues without it
    if moment == "before the successors look":
        late.set()
        await landed.wait()
    async with running(broker, database) as first, running(broker, database) as second:
        await until_stored(database, PROGRESSED.table, len(events))
        for worker in (first, second):
            await eventually(
                lambda worker=worker: asyncio.sleep(0, bool(worker.cycle and worker.cycle.progress.assigned)),
                "both successors to have partitions",
            )
        await broker.send(many(50))
        await until_stored(database, PROGRESSED.table, len(events) + 50)
        late.set()
        await landed.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    found = await stored_offsets(database, PROGRESSED.table)
    assert len(found) == len(set(found)) == len(events) + 50
    assert {(p, o) for _, p, o in sent} <= set(found)


def damaged(event: Event) -> list[tuple[str, bytes | None]]:
    """Return ways in which an event's message can be bad, none of which the framing shows but the last."""
    topic, value = BY_RECORD[event.record].name, WIRE.encode(event)
    bad_id = value.replace(event.event_id.encode(), b"z" * 36)
    endless = value[:10] + b"\xff" * 40
    return [
        (topic, value[:-3]),
        (topic, bad_id),
        (topic, endless),
        (topic, value[:10]),
        (topic, b"\xc3\x01" + bytes(8)),
        (topic, b"not avro"),
        (topic, b""),
        (topic, None),
    ]


async def test_bad_messages_go_to_the_dead_letters_and_all_good_ones_in(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    good = many(200)
    bad = damaged(good[0])
    mixed: list[Event | tuple[str, bytes | None]] = [
        *good[:100],
        *bad[:4],
        *good[100:150],
        *bad[4:],
        *good[150:],
    ]
    sent = await broker.send(mixed)
    async with running(broker, database) as worker:
        await until_stored(database, PROGRESSED.table, len(good))
        await until_stored(database, DEAD_LETTERS.table, len(bad))
        metrics = worker.exposition.text()
    ids = {str(row[0]) for row in await rows(database, f"SELECT event_id FROM {PROGRESSED.table}")}
    assert ids == {e.event_id for e in good}
    found = await rows(
        database,
        "SELECT source_topic, source_partition, source_offset, toString(event_id), "
        "if(isNull(message_value), NULL, hex(message_value)), reason, stage FROM dead_letters",
    )
    expected = {
        place: None if message[1] is None else message[1].hex().upper()
        for place, message in zip(sent, mixed, strict=True)
        if isinstance(message, tuple)
    }
    assert {row[:3]: row[4] for row in found} == expected
    for topic, partition, offset, event_id, _, reason, stage in found:
        assert event_id == derived_id(topic, partition, offset, "sink") and reason and stage == "sink"
    assert f'evometrics_dead_letters_total{{stage="sink",topic="{PROGRESSED.name}"}} {len(bad)}.0' in metrics


async def test_a_bad_dead_letter_does_not_breed(broker: Kafka, database: ClickHouseSettings) -> None:
    ((_, partition, offset),) = await broker.send([(DEAD_LETTERS.name, b"no dead letter at all")])
    letter = one_of_each("agent-1")[-1]
    async with running(broker, database) as worker:
        await broker.send([letter])
        await until_stored(database, DEAD_LETTERS.table, 1)

        async def passed() -> bool:
            committed = {} if worker.cycle is None else worker.cycle.progress.committed
            return committed.get(Partition(DEAD_LETTERS.name, partition), 0) > offset

        await eventually(passed, "the bad dead letter to be passed")
    assert [str(r[0]) for r in await rows(database, "SELECT event_id FROM dead_letters")] == [letter.event_id]


async def test_two_workers_share_the_partitions_and_lose_nothing_as_one_leaves(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    events: Sequence[Event] = many(3000)
    async with running(broker, database):
        async with running(broker, database) as second:
            await broker.send(events[:1000])
            await eventually(
                lambda: asyncio.sleep(0, bool(second.cycle and second.cycle.progress.assigned)),
                "the second worker to get partitions",
            )
            await broker.send(events[1000:2000])
        await broker.send(events[2000:])
        await until_stored(database, PROGRESSED.table, len(events))
    ids = {str(row[0]) for row in await rows(database, f"SELECT event_id FROM {PROGRESSED.table}")}
    assert ids == {e.event_id for e in events}


async def test_a_worker_waits_for_parts_that_are_away_and_says_which(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    nowhere = ClickHouseSettings(url="http://127.0.0.1:9")
    worker, stop = SinkWorker(broker.settings, nowhere, broker.sink), asyncio.Event()
    task = asyncio.create_task(worker.run(stop))
    await asyncio.sleep(0.5)
    assert "http://127.0.0.1:9" in (worker.ready() or "")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    worker = SinkWorker(KafkaSettings(brokers="127.0.0.1:9"), database, broker.sink)
    task = asyncio.create_task(worker.run(stop))
    await eventually(
        lambda: asyncio.sleep(0, "127.0.0.1:9 does" in (worker.ready() or "")), "Kafka's address"
    )
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    stopping = asyncio.Event()
    running_sink = asyncio.create_task(
        run_sink(broker.settings, nowhere, broker.sink, HttpAddress(0), stopping)
    )
    await asyncio.sleep(0.3)
    stopping.set()
    await asyncio.wait_for(running_sink, 30)


async def test_a_sink_whose_group_has_workers_of_another_kind_names_both_settings(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    """The member who is there does not speak the sink's protocol, as a stream worker does not."""
    there = AIOKafkaConsumer(
        PROGRESSED.name,
        bootstrap_servers=broker.settings.brokers,
        group_id=broker.sink.group,
        partition_assignment_strategy=[StickyPartitionAssignor],
    )
    await there.start()
    worker = SinkWorker(broker.settings, database, broker.sink)
    work = asyncio.create_task(worker.run(asyncio.Event()))
    try:

        async def said() -> bool:
            text = str(worker.ready())
            names = "EVOMETRICS_STREAM_GROUP" in text and "EVOMETRICS_SINK_GROUP" in text
            return names and f"can't join consumer group {broker.sink.group!r}" in text

        await eventually(said, "the word")
    finally:
        work.cancel()
        await asyncio.wait({work})
        await there.stop()


async def test_a_rebalance_in_the_moment_in_which_a_sink_stops_ends_the_same_flush_once() -> None:
    cycle = SinkCycle.__new__(SinkCycle)
    stored = asyncio.Event()
    cycle.flushing = flush = asyncio.create_task(stored.wait())  # type: ignore[assignment]
    ends = [asyncio.create_task(cycle.finish_flush()) for _ in range(2)]
    await asyncio.sleep(0)
    stored.set()
    await asyncio.gather(*ends)
    assert flush.done() and cycle.flushing is None
