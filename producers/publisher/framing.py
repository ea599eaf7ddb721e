"""Converts message values from the outbox's framing to the broker's.

The outbox keeps Avro single-object encoding whatever the configuration, because recording must not wait for a
schema registry. With a registry, a message gets its Confluent schema id just before it is sent.
"""

from __future__ import annotations

import asyncio

from evometrics.producers.outbox.row import Row
from evometrics.schemas.topics import BY_NAME, RAW_TOPICS, Topic
from evometrics.schemas.wire.catalog import WriterSchema
from evometrics.schemas.wire.framing import CONFLUENT, SINGLE_OBJECT, SINGLE_OBJECT_LENGTH, WireFormat
from evometrics.schemas.wire.registry import RegistryClient


class Framing:
    """Returns message values; learns a schema's registry id when it first meets the schema."""

    def __init__(self, registry: RegistryClient | None) -> None:
        self.registry = registry
        self.wire = WireFormat()
        self.prefixes: dict[tuple[str, bytes], bytes] = {}

    async def ready(self) -> None:
        """Register all schemas that this package writes, so that the registry may be unreachable later.

        Raises `RegistryUnavailable`; `IncompatibleSchema` where a schema can't be registered.
        """
        for topic in RAW_TOPICS:
            schema = self.wire.writers[topic.record]
            await self.register(topic, SINGLE_OBJECT + schema.fingerprint, schema)

    def knows(self, row: Row) -> bool:
        """Return whether a row's schema is known, so that `value` can be called for it."""
        return self.registry is None or (row.topic, row.value[:SINGLE_OBJECT_LENGTH]) in self.prefixes

    async def learn(self, row: Row) -> None:
        """Register a row's schema where it is the first row with it.

        Raises the errors of `ready`; `UnreadableMessage` where this package does not have the row's schema (a
        newer version wrote it).
        """
        if self.knows(row):
            return
        schema, _ = self.wire.locate(row.value)
        await self.register(BY_NAME[row.topic], row.value[:SINGLE_OBJECT_LENGTH], schema)

    async def register(self, topic: Topic, framing: bytes, schema: WriterSchema) -> None:
        """Return the id of a schema, registering it the first time."""
        if self.registry is not None and (topic.name, framing) not in self.prefixes:
            number = await asyncio.to_thread(self.registry.register, topic.subject, schema.source)
            self.prefixes[topic.name, framing] = CONFLUENT + number.to_bytes(4, "big")

    def value(self, row: Row) -> bytes:
        """Return the message value of a row whose schema was learned."""
        if self.registry is None:
            return row.value
        return self.prefixes[row.topic, row.value[:SINGLE_OBJECT_LENGTH]] + row.value[SINGLE_OBJECT_LENGTH:]
