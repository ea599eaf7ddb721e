"""Avro's primitives, read and written as fast as Python can (Avro specification, "Binary encoding").

They know what writers write: one block to an array or map, numbers of at most 64 bits. Whatever
is not like that, or is no Avro at all, raises one of `UNUSUAL`; the caller asks fastavro then, which knows
all of Avro, and whose word counts.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache


class Unusual(Exception):
    """Not what is read or written here; fastavro decides what it is."""


#: What reading or writing here may raise.
UNUSUAL = (Unusual, LookupError, struct.error, ValueError, TypeError, AttributeError, OverflowError)

DOUBLE = struct.Struct("<d")
FLOAT = frozenset({float})
#: A number of eight bytes: seven of them say that another one follows. Times in microseconds are such.
EIGHT, EIGHT_MASK = 0x0080_8080_8080_8080, 0x8080_8080_8080_8080
SHAPES = 256


def read_long(b: bytes, p: int) -> tuple[int, int]:
    """Return the zigzag-coded number at a position, and where it ends."""
    x = int.from_bytes(b[p : p + 8], "little")
    if x & EIGHT_MASK == EIGHT:
        x = (x & 0x007F_007F_007F_007F) | (x & 0x7F00_7F00_7F00_7F00) >> 1
        x = (x & 0x0000_3FFF_0000_3FFF) | (x & 0x3FFF_0000_3FFF_0000) >> 2
        return (x & 0x0FFF_FFFF) | (x & 0x0FFF_FFFF_0000_0000) >> 4, p + 8
    x, shift, start = 0, 0, p
    while True:
        byte = b[p]
        p += 1
        x |= (byte & 0x7F) << shift
        if byte < 128 and x < 2**64:
            return x, p
        shift += 7
        if p - start > 9:
            raise Unusual


def write_long(n: int) -> bytes:
    """Return a number zigzag-coded."""
    if type(n) is not int:
        raise Unusual
    if 0 <= n < SHORT:
        return ENDS[n << 1]
    x = n << 1 if n >= 0 else ~(n << 1)
    if x >= 2**64:
        raise Unusual
    return write_varint(x)


#: Two bytes of a number's groups at a time: as its end, and as two that others follow.
PAIR = 1 << 14
#: Of a text or bytes shorter than this the length takes two bytes at most.
SHORT = PAIR >> 1
ENDS = [bytes((n,) if n < 128 else (n & 0x7F | 0x80, n >> 7)) for n in range(PAIR)]
FOLLOWED = [bytes((n & 0x7F | 0x80, n >> 7 | 0x80)) for n in range(PAIR)]


def write_varint(x: int) -> bytes:
    """Return a number that is not negative in groups of seven bits, lowest first."""
    if x < PAIR:
        return ENDS[x]
    if x < PAIR * PAIR:
        return FOLLOWED[x & PAIR - 1] + ENDS[x >> 14]
    return FOLLOWED[x & PAIR - 1] + FOLLOWED[x >> 14 & PAIR - 1] + upper_groups(x >> 28)


@lru_cache(SHAPES)
def upper_groups(x: int) -> bytes:
    """Return the groups of a number above its lower 28 bits: of times they stay the same for minutes."""
    return write_varint(x)


def write_bytes(raw: bytes) -> bytes:
    """Return bytes with their length before them."""
    if type(raw) is not bytes:
        raise Unusual
    return (ENDS[len(raw) << 1] if len(raw) < SHORT else write_varint(len(raw) << 1)) + raw


def write_text(text: str) -> bytes:
    """Return a text with its length before it."""
    raw = text.encode()
    return (ENDS[len(raw) << 1] if len(raw) < SHORT else write_varint(len(raw) << 1)) + raw


def read_text(b: bytes, p: int) -> tuple[str, int]:
    """Return the text at a position, and where it ends."""
    n, p = read_length(b, p)
    return b[p : p + n].decode(), p + n


def read_length(b: bytes, p: int) -> tuple[int, int]:
    """Return a length or a block's count, and where it ends."""
    n = b[p]
    if n < 128:
        p += 1
    else:
        n, p = read_long(b, p)
    if n & 1:
        raise Unusual
    return n >> 1, p


def read_end(b: bytes, p: int) -> int:
    """Return where a map or array ends whose only block was read."""
    if b[p]:
        raise Unusual
    return p + 1


def read_texts(b: bytes, p: int) -> tuple[list[str], int]:
    """Return the array of text at a position, and where it ends."""
    n, p = read_length(b, p)
    found = []
    for _ in range(n):
        text, p = read_text(b, p)
        found.append(text)
    return found, read_end(b, p) if n else p


def read_text_map(b: bytes, p: int) -> tuple[dict[str, str], int]:
    """Return the map of text at a position, and where it ends."""
    n, p = read_length(b, p)
    found = {}
    for _ in range(n):
        name, p = read_text(b, p)
        found[name], p = read_text(b, p)
    return found, read_end(b, p) if n else p


def read_doubles(b: bytes, p: int) -> tuple[list[float], int]:
    """Return the array of doubles at a position, and where it ends."""
    n, p = read_length(b, p)
    if not n:
        return [], p
    if n > len(b) >> 3:
        raise Unusual
    return list(struct.unpack_from(f"<{n}d", b, p)), read_end(b, p + 8 * n)


def write_texts(texts: Sequence[str]) -> bytes:
    """Return an array of text."""
    if type(texts) is not list:
        raise Unusual
    if not texts:
        return b"\0"
    return b"".join([write_long(len(texts)), *map(write_text, texts), b"\0"])


def write_text_map(texts: Mapping[str, str]) -> bytes:
    """Return a map of text."""
    if type(texts) is not dict:
        raise Unusual
    if not texts:
        return b"\0"
    return b"".join([write_long(len(texts)), *[write_text(t) for pair in texts.items() for t in pair], b"\0"])


@lru_cache(SHAPES)
def doubles_form(count: int) -> tuple[bytes, struct.Struct]:
    """Return what an array of so many doubles begins with, and how they are packed."""
    return write_long(count), struct.Struct(f"<{count}d")


def write_doubles(numbers: Sequence[float]) -> bytes:
    """Return an array of doubles."""
    if type(numbers) is not list:
        raise Unusual
    if not numbers:
        return b"\0"
    if not FLOAT.issuperset(map(type, numbers)):
        raise Unusual
    count, form = doubles_form(len(numbers))
    return count + form.pack(*numbers) + b"\0"


class Shape:
    """A map of doubles with certain names in a certain order: its bytes but for the numbers never change.

    Those bytes are looked at all at once, as one large number under a mask.

    Attributes:
        form: the numbers, and nothing where the other bytes are.
        size: bytes altogether.
        frame: the other bytes (count and names, each with its length), and 0 where the numbers are.
        mask: every bit of the other bytes.
    """

    __slots__ = ("form", "frame", "mask", "names", "size")

    def __init__(self, names: tuple[str, ...]) -> None:
        first, *others = map(write_text, names)
        marks = (write_long(len(names)) + first, *others, b"\0")
        self.names = names
        self.form = struct.Struct("<" + "d".join(f"{len(mark)}x" for mark in marks))
        self.size = self.form.size
        self.frame = int.from_bytes(bytes(8).join(marks), "little")
        self.mask = int.from_bytes(bytes(8).join(b"\xff" * len(mark) for mark in marks), "little")


@lru_cache(SHAPES)
def shape_of(names: tuple[str, ...]) -> Shape:
    """Return the shape of maps with these names."""
    return Shape(names)


def write_double_map(numbers: Mapping[str, float]) -> bytes:
    """Return a map of doubles."""
    if type(numbers) is not dict:
        raise Unusual
    if not numbers:
        return b"\0"
    if not FLOAT.issuperset(map(type, numbers.values())):
        raise Unusual
    shape = shape_of(tuple(numbers))
    packed = int.from_bytes(shape.form.pack(*numbers.values()), "little")
    return (packed | shape.frame).to_bytes(shape.size, "little")


class DoubleMaps:
    """Reads maps of doubles; those with the names of the one before at once."""

    def __init__(self) -> None:
        self.shape: Shape | None = None
        self.before: tuple[str, ...] = ()

    def read(self, b: bytes, p: int) -> tuple[dict[str, float], int]:
        """Return the map at a position, and where it ends."""
        shape = self.shape
        if shape is not None:
            end = p + shape.size
            # what ends too early has no 0 at its end, or is refused by the form
            if int.from_bytes(b[p:end], "little") & shape.mask == shape.frame:
                return dict(zip(shape.names, shape.form.unpack_from(b, p), strict=True)), end
        n, p = read_length(b, p)
        if not n:
            return {}, p
        found: dict[str, float] = {}
        for _ in range(n):
            name, p = read_text(b, p)
            (found[name],) = DOUBLE.unpack_from(b, p)
            p += 8
        names = tuple(found)
        if names == self.before and len(names) == n:
            self.shape = shape_of(names)
        self.before = names
        return found, read_end(b, p)
