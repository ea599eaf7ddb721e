"""Kafka's side of republishing: sending events, keeping them, and waiting until the stream has read them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.offsets import AIOKafkaAdminClient
from evometrics.schemas.kafka.partitions import partition_of
from evometrics.schemas.kafka.retention import too_short
from evometrics.schemas.kafka.topic_settings import BROKER_TIME, RETENTION, SENDER_TIME, change, own_settings
from evometrics.schemas.kafka.topics import answered, partitions_of, unavailable
from evometrics.schemas.rules.validation import MAX_EVENT_BYTES
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import ended_within
from evometrics.schemas.topics import DAY_MS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.raw.event import RawEvent
from evometrics.sinks.republish.progress import Progress, ProgressMark, ProgressReader, RepublishError

CONNECT_SECONDS = 15.0
CLOSE_SECONDS = 5.0
BATCH_BYTES = 262_144
REQUEST_BYTES = 2 * MAX_EVENT_BYTES
POLL_SECONDS = 0.2
#: A group that reads nothing for this long is not waited for any longer.
STUCK_SECONDS = 120.0
REMIND_SECONDS = 10.0


#: In an acknowledgement: the broker has given the messages its own time.
LOG_APPEND_TIME = 1


class TimesGiven(RepublishError):
    """The broker has given events its own time."""


class StreamStuck(RepublishError):
    """The stream does not read the events sent to it."""


class TopicTarget:
    """The topics that are filled. Use it as an async context manager.

    Entering raises `BrokerUnavailable` if no broker answers within seconds, `RepublishError` if a topic is
    missing.
    """

    def __init__(self, kafka: KafkaSettings, wire: WireFormat, run: str, topics: Sequence[str]) -> None:
        self.kafka = kafka
        self.wire = wire
        self.run = run
        self.topics = topics
        self.partitions: dict[str, int] = {}
        self.stack = contextlib.AsyncExitStack()
        self.producer = AIOKafkaProducer(
            **client_options(kafka),
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            max_request_size=REQUEST_BYTES,
        )
        self.admin = AIOKafkaAdminClient(**client_options(kafka))

    async def __aenter__(self) -> TopicTarget:
        # a client is to be closed also where it was never started
        for close in (self.producer.stop, self.admin.close):
            self.stack.push_async_callback(closed, close)
        try:
            await self.start()
        except BaseException as error:
            await self.stack.aclose()
            if isinstance(error, TimeoutError | KafkaConnectionError):
                raise await unavailable(self.kafka, error) from error
            raise
        return self

    async def start(self) -> None:
        self.partitions = await answered(self.kafka, lambda admin: partitions_of(admin, self.topics))
        missing = [topic for topic in self.topics if topic not in self.partitions]
        if missing:
            raise RepublishError(
                f"no topic {', '.join(missing)} at {self.kafka.brokers}: create them with `evometrics topics`"
            )
        for start in (self.producer.start, self.admin.start):
            await asyncio.wait_for(start(), CONNECT_SECONDS)

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    async def progress(self, among_others: bool) -> Progress:
        """Return how far this run has come. Raises as `ProgressReader.read`."""
        return await ProgressReader(self.kafka, self.wire, self.run, self.partitions, among_others).read()

    async def take_times(self, oldest: int) -> dict[str, int]:
        """Let the topics accept messages with their own times, as old as `oldest` (milliseconds).

        Such messages are kept as long as new ones. Applies until `give_times`; otherwise Kafka gives messages
        its own time. Returns the topics that would have deleted them, with their present retention. Raises
        `KafkaError`.
        """
        age = max(0, time.time_ns() // 1_000_000 - oldest)
        raised = too_short(await own_settings(self.admin, self.topics), age, DAY_MS)
        longer = {topic: {RETENTION: str(milliseconds)} for topic, milliseconds in raised.items()}
        await change(self.admin, {topic: SENDER_TIME | longer.get(topic, {}) for topic in self.topics})
        return raised

    async def give_times(self) -> None:
        """Let Kafka give messages its own time, as it does except while republishing. Raises `KafkaError`."""
        await change(self.admin, dict.fromkeys(self.topics, BROKER_TIME))

    async def send(self, events: Sequence[RawEvent], mark: int) -> dict[TopicPartition, int]:
        """Send events, each partition's in order; return the ends after them once all are acknowledged.

        Raises `RepublishError` if they are not, with some of them sent.
        """
        waiting: dict[TopicPartition, list[RawEvent]] = {}
        for event in events:
            number = partition_of(event.key, self.partitions[event.topic])
            waiting.setdefault(TopicPartition(event.topic, number), []).append(event)
        headers = [ProgressMark(self.run, mark).header()]
        sending = [
            asyncio.create_task(self.send_partition(where, of_partition, headers))
            for where, of_partition in waiting.items()
        ]
        try:
            return dict(zip(waiting, await asyncio.gather(*sending), strict=True))
        except KafkaError as error:
            raise RepublishError(
                f"Kafka at {self.kafka.brokers} did not accept all events: {error!r}. Run the same command "
                "again once the cause is fixed: it continues with the missing events"
            ) from error
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def send_partition(
        self, where: TopicPartition, events: Sequence[RawEvent], headers: list[tuple[str, bytes]]
    ) -> int:
        """Send one partition's events; return the offset after the last one.

        Raises `TimesGiven` if they have not kept their times.
        """
        under_way: list[tuple[int, asyncio.Future[RecordMetadata]]] = []

        async def hand_over(batch: BatchBuilder) -> None:
            future = await self.producer.send_batch(batch, where.topic, partition=where.partition)
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            under_way.append((batch.record_count(), future))

        batch = self.producer.create_batch()
        for event in events:
            # a batch always takes its first message, whatever its size
            while (
                batch.append(timestamp=event.timestamp, key=event.key, value=event.value, headers=headers)
                is None
            ):
                await hand_over(batch)
                batch = self.producer.create_batch()
        await hand_over(batch)
        end = 0
        for number, future in under_way:
            metadata = await future
            if metadata.timestamp_type == LOG_APPEND_TIME:
                raise TimesGiven(
                    f"topic {where.topic} was set to the broker's time meanwhile, as `evometrics topics` and "
                    f"`evometrics up` do: {number} events of partition {where.partition}, from offset "
                    f"{metadata.offset} on, have the current time. Run neither before this has ended. To "
                    "correct these as well, delete the topics, create them again, and republish from the "
                    "start"
                )
            end = metadata.offset + number
        return end

    async def until_read(
        self, group: str, ends: Mapping[TopicPartition, int], told: Callable[[str], object]
    ) -> None:
        """Return once a group has read up to the ends; `told` is called if that takes long.

        Raises `StreamStuck` if the group reads nothing for `STUCK_SECONDS`.
        """
        moved = reminded = time.monotonic()
        before = -1
        while True:
            committed = await self.committed(group, list(ends))
            left = sum(max(0, end - committed.get(partition, 0)) for partition, end in ends.items())
            if not left:
                return
            now = time.monotonic()
            if left != before:
                before, moved = left, now
            if now - moved > STUCK_SECONDS:
                raise StreamStuck(
                    f"group {group} has read nothing for {STUCK_SECONDS:.0f} seconds, {left} messages are "
                    "left: check its workers (`evometrics stream`), or give --no-wait to send without them. "
                    "Then run the same command again: it continues with the missing events"
                )
            if now - reminded > REMIND_SECONDS:
                reminded = now
                told(f"waiting for group {group} to read {left} messages before more are sent")
            await asyncio.sleep(POLL_SECONDS)

    async def committed(self, group: str, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Return a group's offsets, empty while its coordinator is unreachable."""
        try:
            found = await self.admin.list_consumer_group_offsets(group, partitions=partitions)
        except KafkaError as error:
            if not error.retriable:
                raise
            return {}
        return {partition: place.offset for partition, place in found.items() if place.offset >= 0}


async def closed(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Close a client without waiting for an unreachable broker."""
    with contextlib.suppress(KafkaError, TimeoutError, OSError):
        await ended_within(CLOSE_SECONDS, "a Kafka client", close())
