"""The bytes of a dead message: a hex dump, the schema that they name, and how far they can be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evometrics.schemas.wire.catalog import WriterSchema
from evometrics.schemas.wire.datum import UnreadableDatum, read_fields
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat

DUMP_WIDTH = 16


@dataclass(frozen=True, slots=True)
class LetterReading:
    """How far a value can be read.

    Attributes:
        schema: `<record> v<number>` that its framing names; None if that can't be determined.
        fields: the fields that were read, in order, by name.
        read_bytes: how many bytes of the value they and the framing take.
        problem: what is wrong with the remaining bytes; None if there are none.
    """

    schema: str | None
    fields: dict[str, Any]
    read_bytes: int
    problem: str | None


def reading(wire: WireFormat, value: bytes | None) -> LetterReading:
    """Read a value as far as possible. Raises `RegistryUnavailable` as `WireFormat.locate` does."""
    try:
        schema, position = wire.locate(value)
    except UnreadableMessage as error:
        return LetterReading(None, {}, 0, str(error))
    assert value is not None
    return datum_reading(schema, value, position)


def datum_reading(schema: WriterSchema, value: bytes, position: int) -> LetterReading:
    """Read a located datum as far as possible."""
    name = f"{schema.record} v{schema.version}" if schema.version else f"{schema.record}, from the registry"
    fields: dict[str, Any] = {}
    problem = None
    try:
        for field in read_fields(schema, value, position):
            fields[field.name] = field.value
            position = field.end
        if position < len(value):
            problem = f"{len(value) - position} trailing bytes"
    except UnreadableDatum as error:
        problem = str(error)
    return LetterReading(name, fields, position, problem)


def dump(value: bytes, limit: int) -> Iterator[str]:
    """Yield the lines of a hex dump of the first `limit` bytes: position, bytes, text."""
    for place in range(0, min(len(value), limit), DUMP_WIDTH):
        part = value[place : min(place + DUMP_WIDTH, limit)]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        yield f"{place:08x}  {part.hex(' '):<{3 * DUMP_WIDTH - 1}}  {text}"
    if len(value) > limit:
        yield f"... {len(value) - limit} more bytes; --json prints all of them"
