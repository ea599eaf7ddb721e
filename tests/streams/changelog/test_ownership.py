"""Taking partitions over on a real broker: late writes, batches that come twice or not at all."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata
from prometheus_client import CollectorRegistry

from evometrics.schemas.kafka.ranges import read_page
from evometrics.schemas.kafka.topic_identity import TopicIdentity, topic_identities
from evometrics.schemas.kafka.topics import answered, delete
from evometrics.schemas.metrics import OF_STREAMS, OFFSETS_GONE, Instruments
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.streams.changelog import ownership
from evometrics.streams.changelog.losses import Losses
from evometrics.streams.changelog.ownership import Ownership
from evometrics.streams.changelog.tables import StateTable
from evometrics.streams.changelog.topics import create_changelogs
from evometrics.streams.producer import Message, OutputProducer, ProducerSpent
from evometrics.streams.sources.topics import SourceTopics
from evometrics.streams.states.incarnations import Places


@dataclass
class Worker:
    """A member of the group, as far as the broker is concerned; `present`: whether it still is."""

    generation: int
    present: bool = True

    async def confirm(self, offsets: Mapping[TopicPartition, int]) -> bool:
        return self.present


class Group:
    """Workers of one group with two tables and one source topic, all of this test's own."""

    def __init__(self, brokers: str) -> None:
        self.name = f"g-{uuid.uuid4().hex[:8]}"
        self.kafka = KafkaSettings(brokers=brokers, partitions=2)
        self.source = f"{self.name}-source"
        self.registry = CollectorRegistry()
        self.losses = Losses(Instruments(self.registry, OF_STREAMS))
        self.places = Places()

    async def sources(self) -> SourceTopics:
        """The source topic as it is now."""
        found: dict[str, TopicIdentity] = {}
        while not found:  # a broker knows of a new topic a moment later
            found = await answered(self.kafka, lambda admin: topic_identities(admin, [self.source]))
        return SourceTopics(self.kafka, found, 2)

    async def create(self) -> None:
        await create_changelogs(self.kafka, [f"{self.name}-{name}" for name in ("sources", "first", "last")])
        await self.make()

    async def make(self) -> None:
        """Make the source topic."""
        await answered(self.kafka, lambda admin: admin.create_topics([NewTopic(self.source, 2, 1)]))

    async def make_anew(self) -> None:
        """Delete the source topic and recreate it."""
        await answered(self.kafka, lambda admin: delete(admin, [self.source]))
        await self.make()

    async def delete_before(self, offset: int) -> None:
        """Delete the records of the source's first partition before an offset, as retention does."""
        before = {TopicPartition(self.source, 0): RecordsToDelete(before_offset=offset)}
        await answered(self.kafka, lambda admin: admin.delete_records(before))

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        """Commit offsets for the group."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka.brokers, group_id=self.name, enable_auto_commit=False
        )
        await consumer.start()
        consumer.assign(list(offsets))
        await consumer.commit(offsets)
        await consumer.stop()

    def gone(self) -> float | None:
        """Return what was counted as gone from the source's first partition."""
        return self.registry.get_sample_value(OFFSETS_GONE.name, {"topic": self.source})

    @asynccontextmanager
    async def worker(self, member: Worker) -> AsyncIterator[Ownership]:
        """A worker's ownership."""
        tables = [StateTable(name, f"{self.name}-{name}") for name in ("first", "last")]
        producer = OutputProducer(self.kafka)
        await producer.start()
        try:
            yield Ownership(
                self.kafka,
                self.name,
                member,
                [self.source],
                StateTable("sources", f"{self.name}-sources"),
                tables,
                producer,
                lambda _: None,
                await self.sources(),
                self.places,
                self.losses,
            )
        finally:
            await producer.stop()

    async def send(self, number: int) -> list[ConsumerRecord]:
        """Send messages to the source's first partition; return them as they are read."""
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka.brokers)
        await producer.start()
        for n in range(number):
            await producer.send_and_wait(self.source, str(n).encode(), key=b"k", partition=0)
        await producer.stop()
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.brokers, auto_offset_reset="earliest")
        await consumer.start()
        tp = TopicPartition(self.source, 0)
        consumer.assign([tp])
        records: list[ConsumerRecord] = []
        while len(records) < number:
            records += (await consumer.getmany(timeout_ms=500)).get(tp, [])
        await consumer.stop()
        return records


@pytest.fixture
async def group(kafka: str) -> Group:
    made = Group(kafka)
    await made.create()
    return made


def values(owner: Ownership, table: int = 0) -> dict[bytes, bytes]:
    return dict(owner.tables[1 + table].partition(0).items())


async def own(owner: Ownership, partitions: list[int]) -> None:
    """Assign partitions to a worker and have it take them over."""
    owner.assigned(partitions)
    await owner.take_over()


async def write(owner: Ownership, **states: bytes) -> None:
    for table in owner.tables:
        await table.write(owner.producer, [(0, {key.encode(): value for key, value in states.items()})])


async def test_an_owner_knows_what_the_one_before_wrote_and_nothing_that_it_wrote_late(group: Group) -> None:
    async with (
        group.worker(Worker(1)) as paused,
        group.worker(Worker(2)) as other,
        group.worker(Worker(3)) as third,
    ):
        await own(paused, [0, 1])
        assert values(paused) == {}
        await write(paused, a=b"1", b=b"1")
        await own(other, [0])
        assert values(other) == values(other, 1) == {b"a": b"1", b"b": b"1"}
        await write(other, a=b"2")
        # the paused one wakes up, and has not heard yet that the partition is another's
        await write(paused, a=b"late", b=b"late", c=b"late")
        await write(other, b=b"2")
        await own(third, [0])
        assert values(third) == values(third, 1) == {b"a": b"2", b"b": b"2"}
        assert third.loaded > 0 and not third.loading


@pytest.mark.parametrize("paused_before", ["confirm", "marks"])
async def test_a_worker_paused_while_it_takes_over_does_not_shut_out_the_owner(
    group: Group, paused_before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused_member = Worker(1)
    async with group.worker(Worker(1)) as first, group.worker(paused_member) as paused:
        await own(first, [0])
        await write(first, a=b"1")
        async with group.worker(Worker(2)) as owner:

            async def moved(*_: object) -> bool:
                # the group continues without the paused one
                await own(owner, [0])
                await write(owner, a=b"2")
                paused_member.present, paused_member.generation = False, 2
                return paused_before == "marks"

            monkeypatch.setattr(paused_member, "confirm", moved)
            await own(paused, [0])
            assert not paused.owns(0)
            await write(owner, b=b"2")
        async with group.worker(Worker(3)) as third:
            await own(third, [0])
            assert values(third) == values(third, 1) == {b"a": b"2", b"b": b"2"}


async def test_a_cancellation_inside_a_library_is_tried_again(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "backoff", lambda attempt, longest: 0.01)
    member = Worker(1)
    asked = 0

    async def closed(_: object) -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            waiting = asyncio.get_running_loop().create_future()
            waiting.cancel()
            await waiting
        return True

    monkeypatch.setattr(member, "confirm", closed)
    async with group.worker(member) as owner:
        await own(owner, [0])
        assert asked == 2
        assert owner.owns(0)


async def test_states_are_kept_over_consecutive_generations_only(group: Group) -> None:
    member = Worker(4)
    async with group.worker(member) as owner:
        await own(owner, [0, 1])
        await write(owner, a=b"1")
        member.generation = 5
        owner.assigned([0])
        assert owner.owns(0) and not owner.owns(1)
        loaded = owner.loaded
        await owner.take_over()
        assert owner.loaded == loaded
        member.generation = 7  # another worker may have had it in generation 6
        owner.assigned([0])
        assert not owner.owns(0)
        with pytest.raises(KeyError):
            values(owner)
        await owner.take_over()
        assert values(owner) == {b"a": b"1"}


async def test_a_batch_that_comes_twice_is_dropped_and_what_was_passed_over_is_read(group: Group) -> None:
    records = await group.send(30)
    async with group.worker(Worker(1)) as owner:
        await own(owner, [0])
        late = await owner.unread(records[20:25])
        assert [record.offset for record in late] == list(range(25))
        assert [record.value for record in late] == [record.value for record in records[:25]]
        assert await owner.unread(records[10:22]) == []
        assert await owner.unread(records[22:28]) == records[25:28]
        assert await owner.unread(records[28:]) == records[28:]


async def test_a_long_gap_comes_by_pages_and_the_rest_of_it_with_the_batch(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def seven(consumer: Any, tp: TopicPartition, first: int, end: int) -> Any:
        return await read_page(consumer, tp, first, min(first + 7, end))

    monkeypatch.setattr("evometrics.streams.changelog.ownership.SHORT_RANGE", 4)
    monkeypatch.setattr("evometrics.streams.changelog.ownership.read_page", seven)
    records = await group.send(30)
    async with group.worker(Worker(1)) as owner:
        await own(owner, [0])
        pages = [page async for page in owner.late(records[28:])]
        assert [len(page) for page in pages] == [7, 7, 7, 7]
        rest = await owner.unread(records[28:])
        assert [r.offset for page in [*pages, rest] for r in page] == list(range(30))
        assert [page async for page in owner.late(records[28:])] == []


async def test_a_group_goes_on_where_it_committed(group: Group) -> None:
    records = await group.send(6)
    await group.commit({TopicPartition(group.source, 0): OffsetAndMetadata(4, "")})
    async with group.worker(Worker(1)) as owner:
        await own(owner, [0])
        assert await owner.unread(records) == records[4:]


async def test_what_the_broker_has_no_more_is_passed_over(group: Group) -> None:
    records = await group.send(10)
    async with group.worker(Worker(1)) as owner:
        await own(owner, [0])
        assert await owner.unread(records[:2]) == records[:2]
        await group.delete_before(5)
        assert await owner.unread(records[7:]) == records[5:]
        assert group.gone() == 3
        assert "offsets 2 to 4: 3 records" in next(iter(group.losses.notes()))


async def test_what_the_broker_has_no_more_is_counted_once_though_nothing_comes_after_it(
    group: Group,
) -> None:
    await group.send(9)
    await group.commit({TopicPartition(group.source, 0): OffsetAndMetadata(4, "")})
    await group.delete_before(9)
    for generation in (1, 2):
        async with group.worker(Worker(generation)) as owner:
            await own(owner, [0])
            assert owner.next_offsets[TopicPartition(group.source, 0)] == 9
    assert group.gone() == 5


async def test_places_of_a_topic_that_was_made_anew_lie_behind_those_of_the_old_one(group: Group) -> None:
    records = await group.send(20)
    async with group.worker(Worker(1)) as owner:
        await own(owner, [0, 1])
        assert [group.places.of(record) for record in records] == list(range(20))
    await group.make_anew()
    again = await group.send(5)
    for generation in (2, 3):  # the second one finds it written
        async with group.worker(Worker(generation)) as owner:
            await own(owner, [0, 1])
            assert await owner.unread(again) == again
            places = [group.places.of(record) for record in again]
            assert places == [(1 << 40) + number for number in range(5)]
    await group.make_anew()
    async with group.worker(Worker(4)) as owner:
        await own(owner, [0])
        assert group.places.of((await group.send(1))[0]) == 2 << 40


async def test_an_offset_that_was_committed_late_for_a_deleted_topic_does_not_count(group: Group) -> None:
    tp = TopicPartition(group.source, 0)
    await group.send(20)
    before = (await group.sources()).ids[group.source]
    await group.make_anew()
    records = await group.send(30)
    await group.commit({tp: OffsetAndMetadata(20, before)})
    async with group.worker(Worker(1)) as owner:
        await own(owner, [0])
        assert await owner.unread(records[25:]) == records
    now = (await group.sources()).ids[group.source]
    await group.commit({tp: OffsetAndMetadata(20, now)})
    async with group.worker(Worker(2)) as owner:
        await own(owner, [0])
        assert await owner.unread(records[25:]) == records[20:]


async def test_batches_of_a_partition_that_is_not_owned_are_left_to_its_owner(group: Group) -> None:
    records = await group.send(3)
    async with group.worker(Worker(1)) as owner:
        assert await owner.unread(records) == []


async def test_a_try_that_repeats_the_one_before_is_no_progress(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "backoff", lambda attempt, longest: 0.01)
    async with group.worker(Worker(1)) as first:
        await own(first, [0])
        await write(first, a=b"1", b=b"1")
    member = Worker(2)
    async with group.worker(member) as owner:
        seen: list[int] = []

        async def refused(_: object) -> bool:
            # as its own earlier tries do: they mark the changelogs
            marks = [ownership.marker(table.topic, 100 + len(seen), 0) for table in owner.tables]
            await owner.producer.send_all(marks)
            seen.append(owner.loaded)
            if len(seen) % 3 == 0:  # the group has rebalanced
                member.generation += 1
            return False

        monkeypatch.setattr(member, "confirm", refused)
        await own(owner, [0])
        await own(owner, [0])
        assert len(seen) == 6 and not owner.owns(0)
        assert seen[0] > 0 and len(set(seen)) == 1, "no try has come further than the first"


async def test_a_partition_that_is_given_away_while_it_is_taken_over_is_not_owned(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with group.worker(Worker(1)) as first:
        await own(first, [0])
        await write(first, a=b"1")
    member = Worker(2)
    async with group.worker(member) as owner:

        async def given_away(_: object) -> bool:
            member.generation += 1
            owner.assigned([])
            return True

        monkeypatch.setattr(member, "confirm", given_away)
        await own(owner, [0])
        assert not owner.owns(0)


async def test_between_a_new_generation_and_its_partitions_nothing_is_taken_over(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's thread knows of the one before this worker is told of the others."""
    member = Worker(1)
    asked: list[set[int]] = []

    async def confirm(offsets: Mapping[TopicPartition, int]) -> bool:
        asked.append({tp.partition for tp in offsets})
        return asked[-1] == {0}

    monkeypatch.setattr(member, "confirm", confirm)
    async with group.worker(member) as owner:
        owner.assigned([0, 1])
        member.generation = 2
        async with asyncio.timeout(60):
            assert not await owner.take_over()
            owner.assigned([0])
            assert await owner.take_over()
        assert asked == [{0}] and owner.owns(0)
        assert not await owner.take_over()


async def test_a_producer_that_is_spent_is_not_tried_again(group: Group) -> None:
    async with group.worker(Worker(1)) as first:
        await own(first, [0])
    async with group.worker(Worker(2)) as owner:
        # as after a batch that the broker has refused
        inner = owner.producer.producer
        assert inner is not None
        place = TopicPartition(owner.tables[0].topic, 0)
        await owner.producer.send_all([Message(place.topic, b"epoch--1k", b"v", 0)])
        inner._txn_manager.increment_sequence_number(place, 7)
        with pytest.raises(ProducerSpent, match="OutOfOrderSequenceNumber"):
            await own(owner, [0])


async def test_where_retention_has_passed_a_partition_it_is_read_to_its_end(group: Group) -> None:
    await group.send(10)
    async with group.worker(Worker(1)) as owner:
        await own(owner, [0])
        assert await owner.read_to_the_end([0]) == []
        await group.delete_before(10)
        assert await owner.read_to_the_end([0]) == [0]
