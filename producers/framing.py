"""From the outbox's framing to the broker's.

The outbox keeps Avro single-object encoding whatever the configuration, because recording must not wait for
a schema registry. With a registry, a message gets its Confluent id just before it is sent.
"""

from __future__ import annotations

import asyncio

from evometrics.producers.outbox_file import Row
from evometrics.schemas.registry import RegistryClient
from evometrics.schemas.topics import BY_NAME
from evometrics.schemas.wire import CONFLUENT, SINGLE_OBJECT_LENGTH, WireFormat


class Framing:
    """Gives message values; learns a schema's registry id when it first meets the schema."""

    def __init__(self, registry: RegistryClient | None) -> None:
        self.registry = registry
        self.wire = WireFormat()
        self.prefixes: dict[tuple[str, bytes], bytes] = {}

    async def learn(self, row: Row) -> None:
        """Get ready for a row: registers its schema where it is the first of its kind.

        Raises `RegistryUnavailable`; `UnreadableMessage` where the row's schema is none this package has
        (a newer version wrote it).
        """
        kind = row.topic, row.value[:SINGLE_OBJECT_LENGTH]
        if self.registry is None or kind in self.prefixes:
            return
        schema, _ = self.wire.locate(row.value)
        subject = BY_NAME[row.topic].subject
        number = await asyncio.to_thread(self.registry.register, subject, schema.source)
        self.prefixes[kind] = CONFLUENT + number.to_bytes(4, "big")

    def value(self, row: Row) -> bytes:
        """Return the message value of a row that was learned."""
        if self.registry is None:
            return row.value
        return self.prefixes[row.topic, row.value[:SINGLE_OBJECT_LENGTH]] + row.value[SINGLE_OBJECT_LENGTH:]
