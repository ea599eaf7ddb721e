"""Reads an Avro datum: whole, or field by field, which shows how far damaged bytes can be read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import fastavro

from evometrics.schemas.wire.catalog import WriterSchema


class UnreadableDatum(ValueError):
    """Bytes that are not a datum of their schema, or do not end where it does; `str()` says what is wrong."""


class FieldRead(NamedTuple):
    """One field of a datum: its value, and the place of its bytes in the message (`end` is exclusive)."""

    name: str
    value: Any
    begin: int
    end: int


def read_record(schema: WriterSchema, value: bytes, start: int, reader: Any = None) -> dict[str, Any]:
    """Return the datum that `value` holds from `start` to its end, with parsed schema `reader`.

    A nullable field whose bytes name a branch that it does not have is null: ClickHouse silently reads it so,
    and what is stored must be what every reader sees. Raises `UnreadableDatum`.
    """
    body = io.BytesIO(value)
    body.seek(start)
    try:
        record: Any = fastavro.schemaless_reader(body, schema.readable, reader)
    except Exception as error:
        # fastavro raises whatever the bytes lead to: EOFError, ValueError, UnicodeDecodeError, ...
        raise UnreadableDatum(repr(error)) from error
    if body.tell() != len(value):
        raise UnreadableDatum(f"{len(value) - body.tell()} trailing bytes")
    found: dict[str, Any] = record
    return found


def write_record(schema: WriterSchema, record: dict[str, Any]) -> bytes:
    """Return the datum of a record."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema.parsed, record)
    return out.getvalue()


def read_fields(schema: WriterSchema, value: bytes, start: int) -> Iterator[FieldRead]:
    """Return the fields of the datum in `value` from `start` on, in order; bytes after it are ignored.

    Raises `UnreadableDatum` at the first field that can't be read, with its name and position.
    """
    body = io.BytesIO(value)
    body.seek(start)
    for field in schema.readable["fields"]:
        name, begin = str(field["name"]), body.tell()
        try:
            found = fastavro.schemaless_reader(body, field["type"], None)
        except Exception as error:
            raise UnreadableDatum(f"{name}, at byte {begin}: {error!r}") from error
        yield FieldRead(name, found, begin, body.tell())
