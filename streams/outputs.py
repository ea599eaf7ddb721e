"""Producing what a batch led to, acknowledged by all in-sync replicas before anything else happens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from evometrics.schemas.settings import KafkaSettings
from evometrics.schemas.validation import MAX_EVENT_BYTES


class Message(NamedTuple):
    """A message to produce; without a partition, the key decides (Kafka's murmur2)."""

    topic: str
    key: bytes
    value: bytes
    partition: int | None = None


class OutputProducer:
    """An idempotent producer: messages of one partition arrive in order and once per `send_all`."""

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

    async def send_all(self, messages: Iterable[Message]) -> None:
        """Produce messages and return once all are acknowledged. Raises `KafkaError` where one is not."""
        assert self.producer is not None, "start() comes first"
        sent = [
            await self.producer.send(topic, value, key=key, partition=partition)
            for topic, key, value, partition in messages
        ]
        await asyncio.gather(*sent)
