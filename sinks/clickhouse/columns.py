"""Events as a block of ClickHouse's format Native: column by column, as its tables keep them.

ClickHouse takes such a block with a fraction of the work that it takes to decode the same rows in Avro. A
datum is walked through once, and each field goes to the end of its column. What our writers would not write,
and what a column can't hold, raises one of `UNUSUAL`: the rows are then inserted in Avro, which ClickHouse
decodes, and refuses, itself (`blocks`). tests/sinks/clickhouse/test_columns.py compares the two.

The format (ClickHouse documentation, "Native"): the numbers of columns and of rows, and of each column its
name, its type and its values. A text has its length before it; of a nullable column a byte for each row says
whether it is null; arrays and maps have the number of all items up to and including each row, then the items.

`columns.pyx` is the same in C: a change here is one there.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from math import isfinite
from typing import Any

from evometrics.schemas.wire.binary import KINDS, Unusual, read_length, read_long, write_long

#: Bytes of a UUID as text.
UUID_TEXT = 36
INT32, INT64, FLOAT64 = struct.Struct("<i"), struct.Struct("<q"), struct.Struct("<d")
STRING, BYTES, LONG, DOUBLE, BOOLEAN, STRINGS, DOUBLES, STRING_MAP, DOUBLE_MAP = range(len(KINDS))
#: Most columns of a record's fields.
MOST_COLUMNS = 160


#: Of each row before its event's fields.
PROVENANCE = (("_partition", "Int32"), ("_offset", "Int64"), ("_timestamp", "DateTime64(3, 'UTC')"))


class ColumnValues:
    """The values of a column so far."""

    def __init__(self, column_type: str, kind: str = "long") -> None:
        self.kind = KINDS[kind]
        self.nullable = column_type.startswith("Nullable(")
        self.is_id = column_type in ("UUID", "Nullable(UUID)")
        self.is_short = column_type in ("Int32", "Nullable(Int32)")
        self.nulls, self.ends = bytearray(), bytearray()
        self.names, self.values = bytearray(), bytearray()
        self.items = 0

    def bytes(self) -> bytes:
        """Return them as a block has them."""
        return bytes(self.nulls + self.ends + self.names + self.values)


class EventColumns:
    """A block that grows by a row at a time. After an error it must not be used any more.

    Args:
        fields: of each field of a record, in the order of the writer's schema, its name, the type of its
            column and its kind (of `binary.KINDS`); at most 160. A text whose column is a UUID is one.

    Attributes:
        rows: their number.
    """

    def __init__(self, fields: Sequence[tuple[str, str, str]]) -> None:
        if len(fields) > MOST_COLUMNS:
            raise ValueError(f"a record of {len(fields)} fields; at most {MOST_COLUMNS} are supported")
        self.fields = tuple(fields)
        self.rows = 0
        self.columns = [ColumnValues(kind) for _, kind in PROVENANCE]
        self.columns += [ColumnValues(*types) for _, *types in fields]

    def add(self, value: bytes, start: int, place: Any) -> None:
        """Add the event whose datum is in `value` from `start` to the end. Raises one of `UNUSUAL`.

        `place` has the message's `partition`, `offset` and `timestamp` (milliseconds).
        """
        try:
            numbers = INT32.pack(place.partition), INT64.pack(place.offset), INT64.pack(place.timestamp)
        except struct.error as error:
            raise Unusual from error
        for column, number in zip(self.columns, numbers, strict=False):
            column.values += number
        at = start
        for column in self.columns[len(numbers) :]:
            given = True
            if column.nullable:
                branch, at = read_long(value, at)
                if branch not in (0, 1):
                    raise Unusual
                given = branch == 1
                column.nulls.append(not given)
            at = put(column, value, at) if given else put_nothing(column, at)
        if at != len(value):
            raise Unusual
        self.rows += 1

    def block(self) -> bytes:
        """Return the block."""
        named = (*PROVENANCE, *((name, kind) for name, kind, _ in self.fields))
        parts = [varint(len(named)), varint(self.rows)]
        for (name, kind), column in zip(named, self.columns, strict=True):
            parts += [text(name.encode()), text(kind.encode()), column.bytes()]
        return b"".join(parts)


def varint(x: int) -> bytes:
    """Return a number without sign in as few bytes as it needs: as Avro has the one whose code it is."""
    return write_long(x >> 1 ^ -(x & 1))


def text(raw: bytes) -> bytes:
    """Return a text with its length before it."""
    return varint(len(raw)) + raw


def bytes_at(value: bytes, place: int) -> tuple[bytes, int]:
    """Return the bytes at a place, and where they end."""
    length, place = read_length(value, place)
    return value[place : place + length], place + length


def text_at(value: bytes, place: int) -> tuple[bytes, int]:
    """Return the text at a place as a column has it, and where it ends."""
    raw, place = bytes_at(value, place)
    raw.decode()
    return text(raw), place


def double_at(value: bytes, place: int) -> tuple[bytes, int]:
    """Return the finite number at a place, as it is, and where it ends."""
    raw = value[place : place + FLOAT64.size]
    if len(raw) < FLOAT64.size or not isfinite(*FLOAT64.unpack(raw)):
        raise Unusual
    return raw, place + FLOAT64.size


def put(column: ColumnValues, value: bytes, place: int) -> int:
    """Add the value of a field, which is at a place, to its column; return where it ends."""
    if column.kind >= STRINGS:
        return put_items(column, value, place)
    if column.kind == LONG:
        number, place = read_long(value, place)
        if column.is_short and not -(2**31) <= number < 2**31:
            raise Unusual
        found = (INT32 if column.is_short else INT64).pack(number)
    elif column.kind == DOUBLE:
        found, place = double_at(value, place)
    elif column.kind == BOOLEAN:
        found, place = value[place : place + 1], place + 1
        if found not in (b"\0", b"\1"):
            raise Unusual
    elif column.kind == STRING and not column.is_id:
        found, place = text_at(value, place)
    else:
        raw, place = bytes_at(value, place)
        found = id_of(raw) if column.is_id else text(raw)
    column.values += found
    return place


def put_items(column: ColumnValues, value: bytes, place: int) -> int:
    """Add the items of the array or map at a place; return where it ends."""
    number, place = read_length(value, place)
    if column.kind in (DOUBLES, DOUBLE_MAP) and number > (len(value) - place) // FLOAT64.size:
        raise Unusual
    column.items += number
    column.ends += INT64.pack(column.items)
    for _ in range(number):
        if column.kind in (STRING_MAP, DOUBLE_MAP):
            name, place = text_at(value, place)
            column.names += name
        item, place = (text_at if column.kind in (STRINGS, STRING_MAP) else double_at)(value, place)
        column.values += item
    if number:  # one block only, and its end
        if value[place : place + 1] != b"\0":
            raise Unusual
        place += 1
    return place


def put_nothing(column: ColumnValues, place: int) -> int:
    """Add to the values what stands for null; return the place."""
    if column.is_id:
        size = 16
    elif column.is_short:
        size = INT32.size
    else:
        size = INT64.size if column.kind in (LONG, DOUBLE) else 1
    column.values += bytes(size)
    return place


def id_of(raw: bytes) -> bytes:
    """Return a UUID, given as text, as ClickHouse has it: two numbers of 8 bytes, the first half first."""
    if len(raw) != UUID_TEXT or any(raw[i] != ord("-") for i in (8, 13, 18, 23)):
        raise Unusual
    digits = raw.replace(b"-", b"")
    if len(digits) != UUID_TEXT - 4 or not digits.isalnum():
        raise Unusual
    found = uuid.UUID(hex=digits.decode()).bytes
    return found[7::-1] + found[:7:-1]
