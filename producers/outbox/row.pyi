"""What the compiled module takes and returns; `row.pyx` says what it is for."""

from collections.abc import Iterable

#: What a row costs beside its value: key, topic, times, and SQLite's own.
ROW_OVERHEAD: int

class Row:
    """One message to be sent: `value` is the event in Avro single-object encoding.

    Attributes:
        seq: its place in its outbox, from 1; 0 until it is to be committed.
    """

    seq: int
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
    """Return the bytes that rows count with towards the outbox's limit."""

def give_numbers(rows: Iterable[Row], first: int) -> None:
    """Number rows on from `first`."""

def count_waits(rows: Iterable[Row], bounds: tuple[float, ...], counts: list[int]) -> float:
    """Count how long ago rows were made, by the lowest bound that is not less; return the sum, seconds.

    The last of `counts` is that above all bounds.
    """

def latest_time(row: Row) -> int:
    """Return the latest time that a row's event holds, microseconds; 0 where it is none.

    That is `occurred_at`, and `started_at` of a completion, read where every version of the schemas has them.
    """

def any_later(rows: Iterable[Row], limit: int) -> bool:
    """Tell whether one of the rows holds a time after `limit`, microseconds."""

def columns_of(rows: Iterable[Row], last: int) -> list[int | str | bytes]:
    """Return what a statement binds for rows: each one's columns, `last`, and its checksum."""

def checksum_of(row: Row) -> int:
    """Return 63 bits that a row which was damaged on disk no longer has: of number, topic, key and value."""

def row_of(seq: object, topic: object, key: object, value: object) -> Row | None:
    """Return the row that columns hold, None where they are of other types."""

def whole_row(seq: object, topic: object, key: object, value: object, checksum: object) -> Row | None:
    """Return the row that columns hold, None where they are not as they were written."""
