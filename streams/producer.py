"""Produces a batch's results: acknowledged by all in-sync replicas before anything else happens."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import zip_longest
from typing import NamedTuple, TypeAlias, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTimestampError, KafkaError, KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata, TopicPartition

import evometrics.schemas.kafka.client_fixes  # noqa: F401 - fixes how a client finds its cluster
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.partitions import partition_of
from evometrics.schemas.rules.validation import MAX_EVENT_BYTES
from evometrics.schemas.service.backoff import SOON_SECONDS, backoff
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import ended_within
from evometrics.streams.sources.clock import LOG_APPEND_TIME, BrokerClock

log = logging.getLogger(__name__)

#: The largest key and value together: what a topic accepts, less Kafka's overhead per message.
MAX_MESSAGE_BYTES = 2 * MAX_EVENT_BYTES - 1000

#: A broker that hangs holds the client no longer than this.
STOP_SECONDS = 3.0

T = TypeVar("T")


class Message(NamedTuple):
    """A message to produce; without a partition, the key decides (Kafka's murmur2); None is a tombstone."""

    topic: str
    key: bytes
    value: bytes | None
    partition: int | None = None


#: Messages of one partition: their position among all messages, keys and values.
Queue: TypeAlias = list[tuple[int, bytes, bytes | None]]


class PartitionBatch(NamedTuple):
    """Messages of one partition in a record batch, and their positions among all messages."""

    where: TopicPartition
    records: BatchBuilder
    numbers: list[int]


class MessageTooLarge(ValueError):
    """The broker would refuse a message however often it is sent."""


def check_size(message: Message) -> Message:
    """Return the message unchanged. Raises `MessageTooLarge`."""
    size = len(message.key) + len(message.value or b"")
    if size > MAX_MESSAGE_BYTES:
        key = message.key[:100].decode(errors="replace")
        raise MessageTooLarge(
            f"{message.topic}, key {key}: {size} bytes, more than the {MAX_MESSAGE_BYTES} that a topic "
            "accepts"
        )
    return message


class ProducerSpent(EvometricsError, RuntimeError):
    """The broker has refused messages of this producer: the producer can't continue, a restarted worker can.

    An idempotent producer numbers a partition's batches. The numbers of refused batches are used up, so the
    broker accepts none of those that follow (`OutOfOrderSequenceNumber`), however often they are sent.
    """


class OutputProducer:
    """An idempotent producer: messages of one partition arrive in order and once per `send_all`.

    It waits for as long as the broker is unreachable: the library resends a batch until it is acknowledged,
    and batches that it does not accept meanwhile are handed to it again here.

    Args:
        clock: notified of the times that the broker gave to messages.
        failed: called for each attempt that failed.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        clock: BrokerClock | None = None,
        failed: Callable[[], object] = lambda: None,
    ) -> None:
        self.kafka = kafka
        self.failed = failed
        self.clock = clock
        self.producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect. Raises `aiokafka.errors.KafkaConnectionError` if no broker answers."""
        self.producer = AIOKafkaProducer(
            **client_options(self.kafka),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=262_144,
            # a derived event or a state may be larger than the event it came from
            max_request_size=2 * MAX_EVENT_BYTES,
        )
        await self.producer.start()

    async def stop(self) -> None:
        """Disconnect after sending messages in flight, as far as `STOP_SECONDS` allow."""
        if self.producer is not None:
            await ended_within(STOP_SECONDS, "the stream's producer", self.producer.stop())

    async def send_all(self, messages: Iterable[Message]) -> list[int]:
        """Produce messages and return their offsets once all are acknowledged.

        Raises `ProducerSpent` if that is impossible, however long one waits.
        """
        try:
            return await self.acknowledged(messages)
        except KafkaError as error:
            self.failed()
            raise ProducerSpent(f"the broker permanently refused messages: {error!r}{hint(error)}") from error

    async def acknowledged(self, messages: Iterable[Message]) -> list[int]:
        """As `send_all`. Raises `KafkaError` if the broker refuses permanently."""
        total, queues = await self.by_partition(messages)
        batches = [self.batches(where, waiting) for where, waiting in queues.items()]
        sent: list[tuple[PartitionBatch, asyncio.Future[RecordMetadata]]] = []
        # A partition takes its next batch once the previous one is in flight: the first batches of all
        # partitions go first.
        for each in zip_longest(*batches):
            sent += [(batch, await self.hand_over(batch)) for batch in each if batch is not None]
        if sent:
            # not gather: a cancelled wait must not cancel messages that are in flight
            await asyncio.wait([acknowledged for _, acknowledged in sent])
        offsets = [-1] * total
        for batch, acknowledged in sent:
            metadata = acknowledged.result()
            first = metadata.offset
            if self.clock is not None and metadata.timestamp_type == LOG_APPEND_TIME and metadata.timestamp:
                self.clock.stamped(metadata.timestamp)
            for position, number in enumerate(batch.numbers):
                offsets[number] = first + position
        return offsets

    async def by_partition(self, messages: Iterable[Message]) -> tuple[int, dict[TopicPartition, Queue]]:
        """Return the number of messages, and each partition's in order, with their positions."""
        queues: dict[tuple[str, int], Queue] = {}
        partitions: dict[str, int] = {}
        total = 0
        for number, (topic, key, value, partition) in enumerate(messages):
            if partition is None:
                known = partitions.get(topic)
                if known is None:
                    known = partitions[topic] = await self.partitions_of(topic)
                partition = partition_of(key, known)
            queue = queues.get((topic, partition))
            if queue is None:
                queue = queues[topic, partition] = []
            queue.append((number, key, value))
            total = number + 1
        return total, {TopicPartition(*where): queue for where, queue in queues.items()}

    async def partitions_of(self, topic: str) -> int:
        assert self.producer is not None, "call start() first"
        producer = self.producer
        return len(await persevere(topic, lambda: producer.partitions_for(topic), self.failed))

    def batches(self, where: TopicPartition, queue: Queue) -> list[PartitionBatch]:
        """Return a partition's messages in record batches."""
        assert self.producer is not None, "call start() first"
        # for topics that keep their senders' times: the broker's clock, as soon as it is known
        known = self.clock.now() if self.clock is not None else None
        now = time.time_ns() // 1_000_000 if known is None else known // 1000
        found: list[PartitionBatch] = []
        records: BatchBuilder | None = None
        for number, key, value in queue:
            # a new batch accepts its first message, whatever its size
            while records is None or records.append(timestamp=now, key=key, value=value) is None:
                records = self.producer.create_batch()
                found.append(PartitionBatch(where, records, []))
            found[-1].numbers.append(number)
        for batch in found:
            batch.records.close()
        return found

    async def hand_over(self, batch: PartitionBatch) -> asyncio.Future[RecordMetadata]:
        """Hand a batch to the library, repeatedly while it has no room or knows no leader."""
        assert self.producer is not None, "call start() first"
        producer, (topic, partition) = self.producer, batch.where
        return await persevere(
            topic, lambda: producer.send_batch(batch.records, topic, partition=partition), self.failed
        )


def hint(error: KafkaError) -> str:
    """Return the likely cause of an error, and the way out."""
    if isinstance(error, InvalidTimestampError):
        return (
            ". A topic uses its senders' times, and this worker's clock is far from the broker's: set the "
            "clock, or let Kafka timestamp the messages (`evometrics topics`)"
        )
    return ""


async def persevere(topic: str, ask: Callable[[], Awaitable[T]], failed: Callable[[], object]) -> T:
    """Repeat a request to the library until it succeeds. Raises `KafkaError` if waiting can't help."""
    attempt = 0
    while True:
        try:
            return await ask()
        except KafkaError as error:
            # a timeout of the library's own queue is not marked retriable, but is
            if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                raise
            attempt += 1
            failed()
            log.warning("%s accepts no messages (%r); retrying until it does", topic, error)
            await asyncio.sleep(backoff(attempt, SOON_SECONDS))
