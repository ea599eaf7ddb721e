"""What the compiled module takes and returns; `binary.pyx` says what it is for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: The kinds that a field may have, by number.
KINDS: dict[str, int]

class Unusual(Exception):
    """Not what is read or written here; fastavro decides what it is."""

#: What reading or writing here may raise.
UNUSUAL: tuple[type[Exception], ...]

class RecordCodec(Generic[T]):
    """Reads and writes the datums of one record, from and to objects of a class.

    Args:
        cls: the class, mostly an event's; reading sets its attributes and does not call it.
        fields: name, kind (of `KINDS`) and whether it may be null, in the schema's order; at most 128. What a
            field without a name holds is passed over.
        absent: attributes that no field gives, by name.
    """

    def __init__(
        self,
        cls: type[T],
        fields: Sequence[tuple[str | None, str, bool]],
        absent: Mapping[str, Any],
    ) -> None: ...
    def read(self, b: bytes, start: int) -> T:
        """Return the event of the datum that `b` holds from `start` to its end. Raises `UNUSUAL`.

        Numbers that are not finite are `Unusual`, in this class.
        """

    def write(self, prefix: bytes, event: T) -> bytes:
        """Return the prefix and the event's datum.

        It writes nothing but an event that reading could have given: any other type than the schema's, a
        number of more than 64 bits, a text that UTF-8 can't hold raises one of `UNUSUAL`. So does a codec
        with fields that have no name.
        """

def read_long(b: bytes, p: int) -> tuple[int, int]:
    """Return the number at a position, and where it ends. Raises `UNUSUAL`, as all of these do."""

def read_length(b: bytes, p: int) -> tuple[int, int]:
    """Return the length of what follows, or a block's count, and where it ends.

    A length that reaches over the end is `Unusual`.
    """

def read_text(b: bytes, p: int) -> tuple[str, int]:
    """Return the text at a position, and where it ends."""

def write_long(number: int) -> bytes:
    """Return a number zigzag-coded; of at most 64 bits."""

def write_longs(numbers: Iterable[int]) -> bytes:
    """Return numbers one after another."""

def write_block(partition: int, offset: int, timestamp: int, value: bytes, start: int, end: bytes) -> bytes:
    """Return a container's block of one record: three numbers, then `value` from `start` on, then `end`.

    The last 16 bytes of `end` are the sync marker, which is no part of the record.
    """

def write_bytes(raw: bytes) -> bytes:
    """Return bytes with their length before them."""

def write_text(text: str) -> bytes:
    """Return a text with its length before it."""

def fits(kind: str, value: object) -> bool:
    """Tell whether a value can be written as a kind (of `KINDS`) just as it is."""
