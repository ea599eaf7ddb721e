"""Converts message values from the outbox's framing to the broker's.

The outbox keeps Avro single-object encoding whatever the configuration, because recording must not wait for a
schema registry. With a registry, a message gets its Confluent schema id just before it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

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

    def knows(self, rows: Iterable[Row]) -> bool:
        """Return whether the schemas of all these rows are known, so that `value` can be called for them."""
        return self.registry is None or all(self.prefix(row) in self.prefixes for row in rows)

    async def learn(self, row: Row) -> None:
        """Register a row's schema where it is the first row with it.

        Raises the errors of `ready`; `UnreadableMessage` where this package does not have the row's schema (a
        newer version wrote it).
        """
        if self.knows((row,)):
            return
        schema, _ = self.wire.locate(row.value)
        await self.register(BY_NAME[row.topic], row.value[:SINGLE_OBJECT_LENGTH], schema)

    async def register(self, topic: Topic, framing: bytes, schema: WriterSchema) -> None:
        """Return the id of a schema, registering it the first time."""
        if self.registry is not None and (topic.name, framing) not in self.prefixes:
            number = await asyncio.to_thread(self.registry.register, topic.subject, schema.source)
            self.prefixes[topic.name, framing] = CONFLUENT + number.to_bytes(4, "big")

    def prefix(self, row: Row) -> tuple[str, bytes]:
        """Return what decides a message's framing: its topic and its schema's fingerprint."""
        return row.topic, row.value[:SINGLE_OBJECT_LENGTH]

    def value(self, row: Row) -> bytes:
        """Return the message value of a row whose schema was learned."""
        if self.registry is None:
            return row.value
        return self.prefixes[self.prefix(row)] + row.value[SINGLE_OBJECT_LENGTH:]
