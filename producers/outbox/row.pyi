"""Signatures of the compiled module, which `row.pyx` describes."""

from collections.abc import Iterable

#: What a row costs besides its value: key, topic, times, and SQLite's own data.
ROW_OVERHEAD: int

class Row:
    """One message to be sent: `value` is the event in Avro single-object encoding.

    Attributes:
        seq: its place in its outbox, from 1; 0 until it is to be committed.
        source: the number of the outbox that it was read from; 0 = this collector's own.
    """

    seq: int
    source: int
    @property
    def topic(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def value(self) -> bytes: ...
    @property
    def size(self) -> int:
        """Bytes that count towards the outbox's limit."""

    def __init__(self, seq: int, topic: str, key: str, value: bytes) -> None: ...

def size_of(rows: Iterable[Row]) -> int:
    """Return the bytes by which rows count towards the outbox's limit."""

def give_numbers(rows: Iterable[Row], first: int) -> None:
    """Number rows consecutively from `first`."""

def count_waits(rows: Iterable[Row], bounds: tuple[float, ...], counts: list[int]) -> float:
    """Add the ages of rows to `counts`, by the lowest bound not below each; return their sum, seconds.

    The last of `counts` is the +Inf bucket.
    """

def latest_time(row: Row) -> int:
    """Return the latest time in a row's event, microseconds; 0 where it has none.

    That is `occurred_at`, or `started_at` of a completion, read at the place where every version of the
    schemas has them.
    """

def any_later(rows: Iterable[Row], limit: int) -> bool:
    """Return whether one of the rows holds a time after `limit`, microseconds."""

def columns_of(rows: Iterable[Row], last: int) -> list[int | str | bytes]:
    """Return the parameters that a statement binds for rows: each one's columns, `last`, and its checksum."""

def checksum_of(row: Row) -> int:
    """Return a 63-bit checksum of number, topic, key and value, by which damage on disk is found."""

def row_of(seq: object, topic: object, key: object, value: object) -> Row | None:
    """Return the row that columns hold, None where they have other types."""

def whole_row(seq: object, topic: object, key: object, value: object, checksum: object) -> Row | None:
    """Return the row that columns hold, None where it is damaged."""
