"""Kafka's side of republishing: what is there already, sending steps, and waiting for the stream.

Each message has a header that names the run it belongs to (one source, one selection) and a mark: a time in
Kafka before which every event of the run had been acknowledged when the message was sent. The topics are all
the memory that a run has. See `Target.progress`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import ConsumerRecord, RecordMetadata

from evometrics.schemas.group_offsets import AIOKafkaAdminClient
from evometrics.schemas.offset_range import range_reader, read_range
from evometrics.schemas.partitions import partition_of
from evometrics.schemas.settings import KafkaSettings
from evometrics.schemas.topic_admin import BrokerUnavailable, answered, partitions_of
from evometrics.schemas.topic_retention import keep_for, own_settings, too_short
from evometrics.schemas.topics import DAY_MS
from evometrics.schemas.validation import MAX_EVENT_BYTES
from evometrics.schemas.wire import UnreadableMessage, WireFormat
from evometrics.sinks.raw_events import RawEvent

HEADER = "evometrics-republished"
CONNECT_SECONDS = 15.0
CLOSE_SECONDS = 5.0
BATCH_BYTES = 262_144
REQUEST_BYTES = 2 * MAX_EVENT_BYTES
#: The ends of the topics count as final when they have stayed the same for so long: what a killed process had
#: handed to the network is in by then.
SETTLE_SECONDS = 1.0
SETTLE_ROUNDS = 10
POLL_SECONDS = 0.2
#: A group that reads nothing for so long is not waited for any longer.
STUCK_SECONDS = 120.0
REMIND_SECONDS = 10.0


class RepublishError(RuntimeError):
    """Republishing can't begin or go on; the message says what was done and the way out."""


class OtherEvents(RepublishError):
    """Topics hold what this run did not send; the message names one."""


class StreamStuck(RepublishError):
    """The stream does not read what it was sent."""


class Mark(NamedTuple):
    """What a message's header says: its run, and a time (milliseconds) before which all was acknowledged."""

    run: str
    time: int

    def header(self) -> tuple[str, bytes]:
        """Return the header."""
        return HEADER, f"{self.run}:{self.time}".encode()

    @classmethod
    def of(cls, record: ConsumerRecord) -> Mark | None:
        """Return a message's mark, None where it has none."""
        for name, value in record.headers:
            run, separator, at = (value or b"").decode(errors="replace").partition(":")
            if name == HEADER and separator and at.isdecimal():
                return cls(run, int(at))
        return None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        time: every event that Kafka had at first before this is there, milliseconds.
        there: ids of the events from then on that are there, by topic.
        ends: the offsets after what is there.
    """

    time: int = 0
    there: dict[str, set[bytes]] = field(default_factory=dict)
    ends: dict[TopicPartition, int] = field(default_factory=dict)

    def missing(self, events: Sequence[RawEvent]) -> list[RawEvent]:
        """Return those of the events, all from `time` on, that are not there."""
        return [event for event in events if event.event_id not in self.there.get(event.topic, ())]


class Target:
    """The topics that are filled. Use it as an async context manager.

    Entering raises `BrokerUnavailable` where no broker answers within seconds, `RepublishError` where a topic
    is missing.
    """

    def __init__(self, kafka: KafkaSettings, wire: WireFormat, run: str, topics: Sequence[str]) -> None:
        self.kafka = kafka
        self.wire = wire
        self.run = run
        self.topics = topics
        self.partitions: dict[str, int] = {}
        self.stack = contextlib.AsyncExitStack()
        self.producer = AIOKafkaProducer(
            bootstrap_servers=kafka.brokers,
            client_id=f"{kafka.client_id}-republish",
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            max_request_size=REQUEST_BYTES,
        )
        self.admin = AIOKafkaAdminClient(
            bootstrap_servers=kafka.brokers, client_id=f"{kafka.client_id}-republish"
        )

    async def __aenter__(self) -> Target:
        self.partitions = await answered(self.kafka, lambda admin: partitions_of(admin, self.topics))
        missing = [topic for topic in self.topics if topic not in self.partitions]
        if missing:
            raise RepublishError(
                f"no topic {', '.join(missing)} at {self.kafka.brokers}: create them with `evometrics topics`"
            )
        try:
            for client in (self.producer, self.admin):
                await asyncio.wait_for(client.start(), CONNECT_SECONDS)
                self.stack.push_async_callback(
                    closed, client.stop if client is self.producer else client.close
                )
        except (TimeoutError, KafkaConnectionError) as error:
            await self.stack.aclose()
            raise BrokerUnavailable(f"no Kafka broker answers at {self.kafka.brokers} ({error!r})") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    async def progress(self, among_others: bool) -> Progress:
        """Return how far this run came before; may take seconds.

        Of the newest messages of the run in each partition, the one with the latest mark tells from where on
        an event may be missing, in whatever partition: all before were acknowledged. What is there from then
        on is read, event by event, so an event is sent again only where it is not. Partitions are filled in
        the order of time, so this is found at their ends.

        Raises `OtherEvents` where a newest message is not of this run, unless `among_others`: then this run's
        are looked for before it.
        """
        async with range_reader(self.kafka, f"{self.kafka.client_id}-republish-range") as consumer:
            own: dict[TopicPartition, int] = {}
            bounds = await self.final_bounds(consumer, among_others)
            for partition, (first, end) in bounds.items():
                mark = await self.newest_mark(consumer, partition, first, end, among_others)
                if mark is not None:
                    own[partition] = mark.time
            if not own:
                return Progress()
            progress = Progress(max(own.values()), ends={place: bounds[place][1] for place in own})
            places = await consumer.offsets_for_times(dict.fromkeys(own, progress.time))
            for partition, place in places.items():
                if place is None:
                    continue
                for record in await read_range(consumer, partition, place.offset, bounds[partition][1]):
                    mark = Mark.of(record)
                    if mark is not None and mark.run == self.run:
                        progress.there.setdefault(partition.topic, set()).add(self.event_id(record))
            return progress

    async def final_bounds(
        self, consumer: AIOKafkaConsumer, among_others: bool
    ) -> dict[TopicPartition, tuple[int, int]]:
        """Return the first offset and the end of each partition, once the ends stay the same.

        Raises `OtherEvents` where they do not, unless `among_others`.
        """
        partitions = [TopicPartition(t, n) for t, number in self.partitions.items() for n in range(number)]
        ends: dict[TopicPartition, int] = {}
        for _ in range(SETTLE_ROUNDS):
            before, ends = ends, await consumer.end_offsets(partitions)
            if ends == before:
                break
            await asyncio.sleep(SETTLE_SECONDS)
        else:
            if not among_others:
                growing = next(place for place in partitions if ends[place] != before.get(place))
                raise OtherEvents(
                    f"topic {growing.topic} at {self.kafka.brokers} is being written to: partition "
                    f"{growing.partition} grows. End what writes to it, another `evometrics republish` too; "
                    "to send all the same, behind what is there, give --among-others. Nothing was sent"
                )
        firsts = await consumer.beginning_offsets(partitions)
        return {partition: (firsts[partition], ends[partition]) for partition in partitions}

    async def newest_mark(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, first: int, end: int, among_others: bool
    ) -> Mark | None:
        """Return the mark of this run's newest message in a partition; None where it has sent none there."""
        number = 1
        while end > first:
            begin = max(first, end - number)
            for record in reversed(await read_range(consumer, partition, begin, end)):
                mark = Mark.of(record)
                if mark is not None and mark.run == self.run:
                    return mark
                if not among_others:
                    raise OtherEvents(self.other_events(record, mark))
            end, number = begin, min(number * 8, 4096)
        return None

    def other_events(self, record: ConsumerRecord, mark: Mark | None) -> str:
        """Return in words that a topic holds others' messages."""
        sender = (
            "that a producer recorded"
            if mark is None
            else "that was republished from another source or selection"
        )
        return (
            f"topic {record.topic} at {self.kafka.brokers} holds other events: partition {record.partition}, "
            f"offset {record.offset} is one {sender}. Where they are the events that ClickHouse has, as in "
            "the cluster that filled it, all would be counted twice. Republish into empty topics; to send it "
            "behind what is there all the same, give --among-others. Nothing was sent"
        )

    def event_id(self, record: ConsumerRecord) -> bytes:
        """Return the id of a message's event."""
        try:
            return self.wire.decode(record.value).event_id.encode()
        except UnreadableMessage as error:
            place = f"{record.topic}[{record.partition}] offset {record.offset}"
            raise RepublishError(f"{place} was republished, but can't be read: {error}") from error

    async def keep(self, oldest: int) -> dict[str, int]:
        """Let the topics keep messages as old as `oldest` (milliseconds), and then as long as new ones.

        Returns the topics that would have deleted them, with what they are kept for now. Raises `KafkaError`.
        """
        age = max(0, time.time_ns() // 1_000_000 - oldest)
        raised = too_short(await own_settings(self.admin, self.topics), age, DAY_MS)
        await keep_for(self.admin, raised)
        return raised

    async def send(self, events: Sequence[RawEvent], mark: int) -> dict[TopicPartition, int]:
        """Send events, each partition's in their order; return the ends after them once all are acknowledged.

        Raises `RepublishError` where they are not, with some of them sent.
        """
        waiting: dict[TopicPartition, list[RawEvent]] = {}
        for event in events:
            number = partition_of(event.key, self.partitions[event.topic])
            waiting.setdefault(TopicPartition(event.topic, number), []).append(event)
        headers = [Mark(self.run, mark).header()]
        sending = [
            asyncio.create_task(self.send_partition(where, of_partition, headers))
            for where, of_partition in waiting.items()
        ]
        try:
            return dict(zip(waiting, await asyncio.gather(*sending), strict=True))
        except KafkaError as error:
            raise RepublishError(
                f"Kafka at {self.kafka.brokers} did not take all events: {error!r}. Run the same command "
                "again once the cause is gone: it goes on with what is missing"
            ) from error
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def send_partition(
        self, where: TopicPartition, events: Sequence[RawEvent], headers: list[tuple[str, bytes]]
    ) -> int:
        """Send one partition's events; return the offset after the last one."""
        under_way: list[tuple[int, asyncio.Future[RecordMetadata]]] = []

        async def hand_over(batch: BatchBuilder) -> None:
            future = await self.producer.send_batch(batch, where.topic, partition=where.partition)
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            under_way.append((batch.record_count(), future))

        batch = self.producer.create_batch()
        for event in events:
            # a batch always takes its first message, whatever its size
            while batch.append(timestamp=event.at, key=event.key, value=event.value, headers=headers) is None:
                await hand_over(batch)
                batch = self.producer.create_batch()
        await hand_over(batch)
        end = 0
        for number, future in under_way:
            end = (await future).offset + number
        return end

    async def until_read(
        self, group: str, ends: Mapping[TopicPartition, int], told: Callable[[str], object]
    ) -> None:
        """Return when a group has read up to the ends; `told` hears where that takes long.

        Raises `StreamStuck` where the group reads nothing for `STUCK_SECONDS`.
        """
        moved = reminded = time.monotonic()
        before = -1
        while True:
            committed = await self.committed(group)
            left = sum(max(0, end - committed.get(partition, 0)) for partition, end in ends.items())
            if not left:
                return
            now = time.monotonic()
            if left != before:
                before, moved = left, now
            if now - moved > STUCK_SECONDS:
                raise StreamStuck(
                    f"group {group} has read nothing for {STUCK_SECONDS:.0f} seconds, {left} messages are "
                    "left: see to its workers (`evometrics stream`), or give --no-wait to send without them. "
                    "Run the same command again then: it goes on with what is missing"
                )
            if now - reminded > REMIND_SECONDS:
                reminded = now
                told(f"waiting for group {group} to read {left} messages before more are sent")
            await asyncio.sleep(POLL_SECONDS)

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        """Return a group's offsets; nothing where its coordinator is away just now."""
        try:
            found = await self.admin.list_consumer_group_offsets(group)
        except KafkaError as error:
            if not error.retriable:
                raise
            return {}
        return {partition: place.offset for partition, place in found.items()}


async def closed(close: Callable[[], object]) -> None:
    """Close a client; a broker that is away is not waited for."""
    closing = close()
    assert asyncio.iscoroutine(closing)
    with contextlib.suppress(KafkaError, TimeoutError, OSError):
        await asyncio.wait_for(closing, CLOSE_SECONDS)
