"""Producing what a batch led to, acknowledged by all in-sync replicas before anything else happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.structs import RecordMetadata

import evometrics.schemas.bootstrap  # noqa: F401 - mends how a client finds its cluster
from evometrics.schemas.settings import KafkaSettings
from evometrics.schemas.validation import MAX_EVENT_BYTES

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
#: The largest key and value together: what a topic takes, less what Kafka adds to a message.
MAX_MESSAGE_BYTES = 2 * MAX_EVENT_BYTES - 1000


class Message(NamedTuple):
    """A message to produce; without a partition, the key decides (Kafka's murmur2); None is a tombstone."""

    topic: str
    key: bytes
    value: bytes | None
    partition: int | None = None


class MessageTooLarge(ValueError):
    """The broker would refuse a message however often it is sent."""


def check_size(message: Message) -> Message:
    """Return the message. Raises `MessageTooLarge`."""
    size = len(message.key) + len(message.value or b"")
    if size > MAX_MESSAGE_BYTES:
        key = message.key[:100].decode(errors="replace")
        raise MessageTooLarge(
            f"{message.topic}, key {key}: {size} bytes, more than the {MAX_MESSAGE_BYTES} a topic takes"
        )
    return message


class OutputProducer:
    """An idempotent producer: messages of one partition arrive in order and once per `send_all`.

    An outage of the broker is waited for, however long it is: the library sends a batch again until it is
    acknowledged, and what it does not take meanwhile is handed to it again here.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self.kafka = kafka
        self.producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect. Raises `aiokafka.errors.KafkaConnectionError` where no broker answers."""
        self.producer = AIOKafkaProducer(
            bootstrap_servers=self.kafka.brokers,
            client_id=f"{self.kafka.client_id}-stream",
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=262_144,
            # a derived event or a state may be larger than the event it came from
            max_request_size=2 * MAX_EVENT_BYTES,
        )
        await self.producer.start()

    async def stop(self) -> None:
        """Disconnect after sending what is under way."""
        if self.producer is not None:
            await self.producer.stop()

    async def send_all(self, messages: Iterable[Message]) -> list[int]:
        """Produce messages and return their offsets once all are acknowledged.

        Raises `KafkaError` where that can't be, however long one waits: this producer was fenced, or its
        sequence of messages is broken. The worker must start anew then.
        """
        sent = [await self.send(message) for message in messages]
        if sent:
            # not gather: a cancelled wait must not cancel messages that are on their way
            await asyncio.wait(sent)
        return [acknowledged.result().offset for acknowledged in sent]

    async def send(self, message: Message) -> asyncio.Future[RecordMetadata]:
        """Hand one message to the library, again and again while it has no room or knows no leader."""
        assert self.producer is not None, "start() comes first"
        topic, key, value, partition = message
        while True:
            try:
                sent: asyncio.Future[RecordMetadata] = await self.producer.send(
                    topic, value, key=key, partition=partition
                )
                return sent
            except KafkaError as error:
                # a timeout of the library's own queue is not marked as one that can be retried, but is
                if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                    raise
                log.warning("%s takes no messages (%r); trying again until it does", topic, error)
                await asyncio.sleep(RETRY_SECONDS)
