"""From the outbox's framing to the broker's.

The outbox keeps Avro single-object encoding whatever the configuration, because recording must not wait for
a schema registry. With a registry, a message gets its Confluent id just before it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

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

    async def prepare(self, rows: Iterable[Row]) -> None:
        """Register the schemas of these rows, so that `value` knows their ids.

        Raises `RegistryUnavailable`; `UnreadableMessage` where a row was written by a newer version of us.
        """
        if self.registry is None:
            return
        for row in rows:
            known = (row.topic, row.value[:SINGLE_OBJECT_LENGTH])
            if known not in self.prefixes:
                schema, _ = self.wire.locate(row.value)
                subject = BY_NAME[row.topic].subject
                number = await asyncio.to_thread(self.registry.register, subject, schema.source)
                self.prefixes[known] = CONFLUENT + number.to_bytes(4, "big")

    def value(self, row: Row) -> bytes:
        """Return the message value of a prepared row."""
        if self.registry is None:
            return row.value
        head = row.value[:SINGLE_OBJECT_LENGTH]
        return self.prefixes[row.topic, head] + row.value[SINGLE_OBJECT_LENGTH:]
