"""Avro's binary encoding (Avro specification, "Binary encoding"): the most frequent work of all.

It handles what our writers write: one block per array or map, integers of at most 64 bits, an event's fields
with the types that reading returns, and finite. Anything else, or what is not Avro at all, raises one of
`UNUSUAL`; the caller then asks fastavro, which implements all of Avro and decides.
tests/schemas/wire/test_codec.py compares the two. `binary.pyx` is the same in C: a change here is one there.

Long because it is the whole encoding, each kind read and written.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Unusual(Exception):
    """Not what is read or written here; fastavro decides whether it is valid."""


#: Exceptions that reading or writing here may raise.
UNUSUAL: tuple[type[Exception], ...] = (
    Unusual,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
)

#: Most fields of a record.
MOST_FIELDS = 128
#: Bytes of a container's sync marker.
SYNC = 16
DOUBLE = struct.Struct("<d")
INT64 = 2**63


# Reading: each takes bytes and a position, and returns the value and where it ends --------------------------


def varint_at(b: bytes, p: int) -> tuple[int, int]:
    """Return the number of at most 64 bits, without sign, at a position, and where it ends."""
    x = shift = 0
    for byte in b[p : p + 10]:
        p += 1
        if shift == 63 and byte > 1:
            break
        x |= (byte & 0x7F) << shift
        if byte < 128:
            if byte == 0 and shift:  # longer than necessary: texts are compared with their lengths
                break
            return x, p
        shift += 7
    raise Unusual


def read_long(b: bytes, p: int) -> tuple[int, int]:
    """Return the number at a position, and where it ends. Raises `UNUSUAL`, as all of these do."""
    check_place(b, p)
    x, p = varint_at(b, p)
    return x >> 1 ^ -(x & 1), p


def read_length(b: bytes, p: int) -> tuple[int, int]:
    """Return the length of what follows, or a block's count, and where it ends.

    A length that extends beyond the end is `Unusual`.
    """
    check_place(b, p)
    x, p = varint_at(b, p)
    if x & 1 or x >> 1 > len(b) - p:
        raise Unusual
    return x >> 1, p


def read_text(b: bytes, p: int) -> tuple[str, int]:
    """Return the text at a position, and where it ends."""
    n, p = read_length(b, p)
    return b[p : p + n].decode(), p + n


def check_place(b: bytes, p: int) -> None:
    """Raise `Unusual` where a position is outside."""
    if not 0 <= p <= len(b):
        raise Unusual


def bytes_at(b: bytes, p: int) -> tuple[bytes, int]:
    """Return the bytes at a position, and where they end."""
    n, p = read_length(b, p)
    return b[p : p + n], p + n


def double_at(b: bytes, p: int) -> tuple[float, int]:
    """Return the finite number at a position, and where it ends."""
    if len(b) - p < 8:
        raise Unusual
    (x,) = DOUBLE.unpack_from(b, p)
    if not isfinite(x):
        raise Unusual
    return x, p + 8


def boolean_at(b: bytes, p: int) -> tuple[bool, int]:
    """Return the truth at a position, and where it ends."""
    if b[p] > 1:
        raise Unusual
    return b[p] == 1, p + 1


def after_block(b: bytes, p: int, n: int) -> int:
    """Return where an array or map of `n` items ends, whose only block, if it has one, ends at a position."""
    if n and b[p]:
        raise Unusual
    return p + 1 if n else p


def texts_at(b: bytes, p: int) -> tuple[list[str], int]:
    """Return the texts at a position, and where they end."""
    n, p = read_length(b, p)
    found = []
    for _ in range(n):
        text, p = read_text(b, p)
        found.append(text)
    return found, after_block(b, p, n)


def doubles_at(b: bytes, p: int) -> tuple[list[float], int]:
    """Return the finite numbers at a position, and where they end."""
    n, p = read_length(b, p)
    if n > len(b) - p >> 3:
        raise Unusual
    found = list(struct.unpack_from(f"<{n}d", b, p))
    if not all(map(isfinite, found)):
        raise Unusual
    return found, after_block(b, p + 8 * n, n)


def text_map_at(b: bytes, p: int) -> tuple[dict[str, str], int]:
    """Return the map of texts at a position, and where it ends."""
    n, p = read_length(b, p)
    found = {}
    for _ in range(n):
        name, p = read_text(b, p)
        found[name], p = read_text(b, p)
    return found, after_block(b, p, n)


def double_map_at(b: bytes, p: int) -> tuple[dict[str, float], int]:
    """Return the map of finite numbers at a position, and where it ends."""
    n, p = read_length(b, p)
    found = {}
    for _ in range(n):
        name, p = read_text(b, p)
        found[name], p = double_at(b, p)
    return found, after_block(b, p, n)


# Writing: each returns a value's bytes ---------------------------------------------------------------------


def varint(x: int) -> bytes:
    """Return a number without sign."""
    if x < 128:
        return ONE_BYTE[x]
    found = bytearray()
    while x > 127:
        found.append(x & 0x7F | 0x80)
        x >>= 7
    found.append(x)
    return bytes(found)


ONE_BYTE = [bytes([x]) for x in range(128)]


def write_long(number: int) -> bytes:
    """Return a number of at most 64 bits, zigzag-coded."""
    if type(number) is not int or not -INT64 <= number < INT64:
        raise Unusual
    return varint(number << 1 if number >= 0 else ~(number << 1))


def write_longs(numbers: Iterable[int]) -> bytes:
    """Return numbers, concatenated."""
    return b"".join(map(write_long, numbers))


def write_block(partition: int, offset: int, timestamp: int, value: bytes, start: int, end: bytes) -> bytes:
    """Return a container's block of one record: three numbers, then `value` from `start` on, then `end`.

    The last 16 bytes of `end` are the sync marker, which is not part of the record.
    """
    if not 0 <= start <= len(value) or len(end) < SYNC:
        raise Unusual
    numbers = write_longs((partition, offset, timestamp))
    size = len(numbers) + len(value) - start + len(end) - SYNC
    return b"".join((write_long(1), write_long(size), numbers, value[start:], end))


def write_bytes(raw: bytes) -> bytes:
    """Return bytes prefixed by their length."""
    if type(raw) is not bytes:
        raise Unusual
    return varint(len(raw) << 1) + raw


def write_text(text: str) -> bytes:
    """Return a text prefixed by its length."""
    if not isinstance(text, str):
        raise Unusual
    raw = str.encode(text)
    return varint(len(raw) << 1) + raw


def write_double(number: float) -> bytes:
    """Return a number, finite or not."""
    if type(number) is not float:
        raise Unusual
    return DOUBLE.pack(number)


def write_boolean(value: bool) -> bytes:
    """Return a truth."""
    if value is not True and value is not False:
        raise Unusual
    return b"\1" if value else b"\0"


def write_list(values: Sequence[Any], write: Callable[[Any], bytes]) -> bytes:
    """Return a list of values, each written by the function."""
    if type(values) is not list:
        raise Unusual
    return b"".join((write_long(len(values)), *map(write, values), b"\0")) if values else b"\0"


def write_map(values: Mapping[str, Any], write: Callable[[Any], bytes]) -> bytes:
    """Return a map, each value written by the function."""
    if type(values) is not dict:
        raise Unusual
    if not values:
        return b"\0"
    parts = [write_long(len(values))]
    for name, value in values.items():
        parts.append(write_text(name))
        parts.append(write(value))
    parts.append(b"\0")
    return b"".join(parts)


def write_texts(texts: list[str]) -> bytes:
    """Return a list of texts."""
    return write_list(texts, write_text)


def write_doubles(numbers: list[float]) -> bytes:
    """Return a list of numbers."""
    return write_list(numbers, write_double)


def write_text_map(texts: dict[str, str]) -> bytes:
    """Return a map of texts."""
    return write_map(texts, write_text)


def write_double_map(numbers: dict[str, float]) -> bytes:
    """Return a map of numbers."""
    return write_map(numbers, write_double)


def fits(kind: str, value: object) -> bool:
    """Return whether a value can be written unchanged as a kind (of `KINDS`)."""
    try:
        WRITERS[KINDS[kind]](value)
    except UNUSUAL:
        return False
    return True


# Records ---------------------------------------------------------------------------------------------------

#: The kinds of fields, by number.
KINDS: dict[str, int] = {
    "string": 0,
    "bytes": 1,
    "long": 2,
    "double": 3,
    "boolean": 4,
    "array of string": 5,
    "array of double": 6,
    "map of string": 7,
    "map of double": 8,
}
#: In the order of the kinds' numbers.
READERS: tuple[Callable[[bytes, int], tuple[Any, int]], ...] = (
    *(read_text, bytes_at, read_long, double_at, boolean_at),
    *(texts_at, doubles_at, text_map_at, double_map_at),
)
WRITERS: tuple[Callable[[Any], bytes], ...] = (
    *(write_text, write_bytes, write_long, write_double, write_boolean),
    *(write_texts, write_doubles, write_text_map, write_double_map),
)


def is_finite(value: object) -> bool:
    """Return whether the numbers in a field's value are finite."""
    if type(value) is float:
        return isfinite(value)
    if type(value) is dict:
        value = list(value.values())
    return type(value) is not list or all(isfinite(each) for each in value if type(each) is float)


class RecordCodec(Generic[T]):
    """Reads and writes the datums of one record, as objects of a class.

    Args:
        cls: the class, usually an event's; reading sets its attributes and does not call it.
        fields: name, kind (of `KINDS`) and nullability, in the schema's order; at most 128. Values of fields
            without a name are skipped.
        absent: attributes that come from no field, by name.
    """

    def __init__(
        self,
        cls: type[T],
        fields: Sequence[tuple[str | None, str, bool]],
        absent: Mapping[str, Any],
    ) -> None:
        if len(fields) > MOST_FIELDS:
            raise ValueError(f"a record of {len(fields)} fields; at most {MOST_FIELDS} are supported")
        self.cls = cls
        self.absent = tuple(absent.items())
        self.readers = [(name, READERS[KINDS[kind]], nullable) for name, kind, nullable in fields]
        self.writers = [(name, WRITERS[KINDS[kind]], nullable) for name, kind, nullable in fields]

    def read(self, b: bytes, start: int) -> T:
        """Return the event of the datum in `b` from `start` to its end. Raises `UNUSUAL`.

        Numbers that are not finite are `Unusual` in this class.
        """
        check_place(b, start)
        p, event = start, object.__new__(self.cls)
        for name, reader, nullable in self.readers:
            value = None
            if nullable:
                branch, p = varint_at(b, p)
                if branch == 2:
                    value, p = reader(b, p)
                elif branch:
                    raise Unusual
            else:
                value, p = reader(b, p)
            if name is not None:
                object.__setattr__(event, name, value)
        if p != len(b):
            raise Unusual
        for name, value in self.absent:
            setattr(event, name, value.copy() if isinstance(value, list | dict) else value)
        return event

    def write(self, prefix: bytes, event: T) -> bytes:
        """Return the prefix and the event's datum.

        It writes only events that reading could have returned: any type other than the schema's, a number of
        more than 64 bits, a text that UTF-8 can't encode raises one of `UNUSUAL`. So does a codec with
        unnamed fields.
        """
        parts = [prefix]
        for name, writer, nullable in self.writers:
            if name is None:
                raise Unusual
            value = getattr(event, name)
            if nullable:
                if value is None:
                    parts.append(b"\0")
                    continue
                parts.append(b"\2")
            written = writer(value)
            if not is_finite(value):
                raise Unusual
            parts.append(written)
        return b"".join(parts)
