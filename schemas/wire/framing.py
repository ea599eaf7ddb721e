"""The wire format: how a Kafka message identifies the schema that its Avro datum was written with.

Two framings, both always read, one written per configuration:

- `C3 01` + 8-byte CRC-64-AVRO fingerprint, little-endian: Avro single-object encoding (Avro specification,
  "Single-object encoding"); the default, needs no registry.
- `00` + 4-byte schema id, big-endian: Confluent framing, where a schema registry is configured.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterable
from contextlib import suppress

import fastavro

from evometrics.schemas.events import EVENT_CLASSES, Event
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import TOPICS
from evometrics.schemas.wire import codec
from evometrics.schemas.wire.binary import UNUSUAL
from evometrics.schemas.wire.catalog import WriterSchema, newest, released
from evometrics.schemas.wire.compatibility import IncompatibleSchema, check_compatible
from evometrics.schemas.wire.datum import UnreadableDatum, read_record
from evometrics.schemas.wire.registry import RegistryClient, UnknownSchemaId, open_registry

SINGLE_OBJECT = b"\xc3\x01"
CONFLUENT = b"\x00"
SINGLE_OBJECT_LENGTH = 10
CONFLUENT_LENGTH = 5
#: Seconds for which an id that the registry did not know counts as unknown, and how many are remembered.
UNKNOWN_SECONDS = 30.0
MOST_UNKNOWN = 10_000


class UnreadableMessage(ValueError):
    """A message value that is not an event; `str()` is the reason in words."""


class WireFormat:
    """Encodes events as message values, and decodes them.

    Not bound to a thread or an event loop. With a registry, an id seen for the first time is fetched over
    HTTP (blocking, at most `RegistryClient.timeout` seconds); afterwards it is in memory.
    """

    def __init__(self, registry: RegistryClient | None = None) -> None:
        self.registry = registry
        self.by_fingerprint = {s.fingerprint: s for versions in released().values() for s in versions}
        self.writers = {record: newest(record) for record in released()}
        self.prefixes = {record: SINGLE_OBJECT + s.fingerprint for record, s in self.writers.items()}
        self.known_ids: dict[int, WriterSchema | str] = {}
        self.unknown: dict[int, tuple[float, str]] = {}

    def register(self) -> None:
        """Register every newest schema and write Confluent framing from now on; blocking.

        Raises `RegistryUnavailable`; `IncompatibleSchema`, naming field and reason, where a schema is
        incompatible with the registry's.
        """
        if self.registry is None:
            return
        for topic in TOPICS:
            number = self.registry.register(topic.subject, self.writers[topic.record].source)
            self.prefixes[topic.record] = CONFLUENT + number.to_bytes(4, "big")

    def encode(self, event: Event) -> bytes:
        """Return the framed message value. Raises ValueError/TypeError where a field has a wrong type."""
        return self.encode_exact(event) or self.encode_unusual(event)

    def encode_unusual(self, event: Event) -> bytes:
        """Slow path of `encode`, for events that our codec can't write. Raises like `encode`."""
        out = io.BytesIO()
        out.write(self.prefixes[event.record])
        fastavro.schemaless_writer(out, self.writers[event.record].parsed, event.to_record())
        return out.getvalue()

    def encode_exact(self, event: Event) -> bytes | None:
        """Return the framed value where every field is exactly what decoding would return, else None."""
        try:
            return codec.newest_codec(event.record).write(self.prefixes[event.record], event)
        except UNUSUAL:
            return None

    def locate(self, value: bytes | None) -> tuple[WriterSchema, int]:
        """Return the writer's schema and where the bare datum begins, without decoding the datum.

        Raises `UnreadableMessage`; `RegistryUnavailable` where an id can't be looked up just now.
        """
        if not value:
            raise UnreadableMessage("the message is empty" if value == b"" else "the message has no value")
        if value[:2] == SINGLE_OBJECT:
            schema = self.by_fingerprint.get(value[2:SINGLE_OBJECT_LENGTH])
            if schema is None:
                raise UnreadableMessage(
                    f"unknown schema fingerprint {value[2:SINGLE_OBJECT_LENGTH].hex()}: written by a newer "
                    "version? upgrade this part and retry"
                )
            return schema, SINGLE_OBJECT_LENGTH
        number = confluent_id(value)
        if number is not None:
            return self.by_id(number), CONFLUENT_LENGTH
        raise UnreadableMessage(f"unknown framing: begins with {value[:2].hex()}")

    async def look_up(self, values: Iterable[bytes | None]) -> None:
        """Look up, in a thread, the schemas of values about to be read, so that reading need not wait.

        Raises `RegistryUnavailable`.
        """
        if self.registry is None:
            return
        for number in {confluent_id(value) for value in values}:
            if number is not None and number not in self.known_ids:
                with suppress(UnreadableMessage):  # whoever reads the message reports it
                    await asyncio.to_thread(self.by_id, number)

    def by_id(self, number: int) -> WriterSchema:
        """Return the schema with this registry id.

        An id that the registry does not know is not requested again for `UNKNOWN_SECONDS`: it may be garbage.
        """
        found = self.known_ids.get(number)
        if found is None:
            until, said = self.unknown.get(number, (0.0, ""))
            if time.monotonic() < until:
                raise UnreadableMessage(said)
            found = self.known_ids[number] = self.looked_up(number)
        if isinstance(found, str):
            raise UnreadableMessage(found)
        return found

    def looked_up(self, number: int) -> WriterSchema | str:
        """Return the schema that the registry has under an id, or the reason why it can't be used."""
        if self.registry is None:
            return f"schema id {number}, but no schema registry is configured (registry_url)"
        try:
            schema = self.registry.schema(number)
        except UnknownSchemaId as error:
            if len(self.unknown) >= MOST_UNKNOWN:
                self.unknown.clear()
            self.unknown[number] = time.monotonic() + UNKNOWN_SECONDS, str(error)
            raise UnreadableMessage(str(error)) from None
        newest_known = self.writers.get(schema.record)
        if newest_known is not None:
            try:
                check_compatible(newest_known.source, schema.source)
            except IncompatibleSchema as error:
                return f"schema id {number} is not compatible with v{newest_known.version}: {error}"
        return self.by_fingerprint.get(schema.fingerprint, schema)

    def decode(self, value: bytes | None) -> Event:
        """Return the event, read with the newest version of its record's schema.

        Raises `UnreadableMessage` naming what is wrong; `RegistryUnavailable` like `locate`.
        """
        schema, start = self.locate(value)
        assert value is not None
        return decode(schema, value, start)


def confluent_id(value: bytes | None) -> int | None:
    """Return the schema id of a value in Confluent framing, None for any other value."""
    if value is None or value[:1] != CONFLUENT or len(value) < CONFLUENT_LENGTH:
        return None
    return int.from_bytes(value[1:CONFLUENT_LENGTH], "big")


def decode_exact(schema: WriterSchema, value: bytes, start: int) -> Event | None:
    """Fast path of `decode`: None where our codec can't read the datum. Its numbers are finite."""
    return codec.read_exact(codec.codec_of(schema), value, start)


def decode(schema: WriterSchema, value: bytes, start: int) -> Event:
    """Return the event of the datum in `value` from `start` on, read with its record's newest schema.

    Raises `UnreadableMessage` where the bytes are not such a datum or it does not end where `value` does.
    """
    event = decode_exact(schema, value, start)
    return event if event is not None else decode_unusual(schema, value, start)


def decode_unusual(schema: WriterSchema, value: bytes, start: int) -> Event:
    """Slow path of `decode`, for datums that our codec can't read. Raises like `decode`."""
    cls = EVENT_CLASSES.get(schema.record)
    if cls is None:
        raise UnreadableMessage(f"record {schema.record} is not one of our event types")
    reader = newest(schema.record)
    try:
        record = read_record(schema, value, start, None if reader is schema else reader.parsed)
    except UnreadableDatum as error:
        raise UnreadableMessage(f"not a valid {schema.record} v{schema.version}: {error}") from error
    return cls.from_record(record)


def wire_of(kafka: KafkaSettings) -> WireFormat:
    """Return the wire format that the settings ask for, to read messages; nothing is registered."""
    return WireFormat(open_registry(kafka))


async def open_wire(kafka: KafkaSettings) -> WireFormat:
    """Return the wire format that the settings ask for, with schemas registered where there is a registry."""
    wire = wire_of(kafka)
    await asyncio.to_thread(wire.register)
    return wire
