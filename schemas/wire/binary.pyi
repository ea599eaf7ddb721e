"""Signatures of the compiled module, which `binary.pyx` describes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: The kinds of fields, by number.
KINDS: dict[str, int]

class Unusual(Exception):
    """Not what is read or written here; fastavro decides whether it is valid."""

#: Exceptions that reading or writing here may raise.
UNUSUAL: tuple[type[Exception], ...]

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
    ) -> None: ...
    def read(self, b: bytes, start: int) -> T:
        """Return the event of the datum in `b` from `start` to its end. Raises `UNUSUAL`.

        Numbers that are not finite are `Unusual` in this class.
        """

    def write(self, prefix: bytes, event: T) -> bytes:
        """Return the prefix and the event's datum.

        It writes only events that reading could have returned: any type other than the schema's, a number of
        more than 64 bits, a text that UTF-8 can't encode raises one of `UNUSUAL`. So does a codec with
        unnamed fields.
        """

def read_long(b: bytes, p: int) -> tuple[int, int]:
    """Return the number at a position, and where it ends. Raises `UNUSUAL`, as all of these do."""

def read_length(b: bytes, p: int) -> tuple[int, int]:
    """Return the length of what follows, or a block's count, and where it ends.

    A length that extends beyond the end is `Unusual`.
    """

def read_text(b: bytes, p: int) -> tuple[str, int]:
    """Return the text at a position, and where it ends."""

def write_long(number: int) -> bytes:
    """Return a number of at most 64 bits, zigzag-coded."""

def write_longs(numbers: Iterable[int]) -> bytes:
    """Return numbers, concatenated."""

def write_block(partition: int, offset: int, timestamp: int, value: bytes, start: int, end: bytes) -> bytes:
    """Return a container's block of one record: three numbers, then `value` from `start` on, then `end`.

    The last 16 bytes of `end` are the sync marker, which is not part of the record.
    """

def write_bytes(raw: bytes) -> bytes:
    """Return bytes prefixed by their length."""

def write_text(text: str) -> bytes:
    """Return a text prefixed by its length."""

def fits(kind: str, value: object) -> bool:
    """Return whether a value can be written unchanged as a kind (of `KINDS`)."""
