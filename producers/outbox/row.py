# cython: annotation_typing=False, boundscheck=False, wraparound=False
"""A message between its recording and the broker's acknowledgement; compiled because every event has one.

Compiled, a row has no references that could form a cycle, so the garbage collector does not track it.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from xxhash import xxh3_64_intdigest

#: What a row costs besides its value: key, topic, times, and SQLite's own data.
ROW_OVERHEAD = 120
#: Single-object encoding's header: a marker and a fingerprint.
FRAMING = 10
#: Texts before an event's time: event_id, agent_id, node_id.
TEXTS = 3
#: The topic whose events hold a second time, after evolution_id.
STARTED_TOO = "evometrics.evolution.completed"
#: Checksums of topic names.
topics: dict[str, int] = {}
MOST_TOPICS = 100
#: 64 bits, which C keeps by itself.
WORD = 0xFFFF_FFFF_FFFF_FFFF


class Row:
    """One message to be sent: `value` is the event in Avro single-object encoding.

    Attributes:
        seq: its place in its outbox, from 1; 0 until it is to be committed.
        source: the number of the outbox that it was read from; 0 = this collector's own.
    """

    __slots__ = ("key", "made", "seq", "source", "topic", "value")

    def __init__(self, seq: int, topic: str, key: str, value: bytes) -> None:
        self.made = monotonic()
        self.seq = seq
        self.source = 0
        self.topic = topic
        self.key = str.__str__(key)  # an application's key may be an instance of a subclass of str
        self.value = value

    @property
    def size(self) -> int:
        """Bytes that count towards the outbox's limit."""
        return len(self.value) + ROW_OVERHEAD

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Row):
            return NotImplemented
        return parts(self) == parts(other)

    def __repr__(self) -> str:
        return f"Row{parts(self)!r}"


def parts(row: Row) -> tuple[int, str, str, bytes]:
    """Return what a row consists of."""
    return row.seq, row.topic, row.key, row.value


def size_of(rows: Iterable[Row]) -> int:
    """Return the bytes by which rows count towards the outbox's limit."""
    size = 0
    for row in rows:
        size += len(row.value) + ROW_OVERHEAD
    return size


def give_numbers(rows: Iterable[Row], first: int) -> None:
    """Number rows consecutively from `first`."""
    for row in rows:
        row.seq = first
        first += 1


def count_waits(rows: Iterable[Row], bounds: tuple[float, ...], counts: list[int]) -> float:
    """Add the ages of rows to `counts`, by the lowest bound not below each; return their sum, seconds.

    The last of `counts` is the +Inf bucket.
    """
    now = monotonic()
    total = 0.0
    last = len(bounds)
    for row in rows:
        wait = now - row.made
        total += wait
        place = 0
        while place < last and bounds[place] < wait:
            place += 1
        counts[place] += 1
    return total


def latest_time(row: Row) -> int:
    """Return the latest time in a row's event, microseconds; 0 where it has none.

    That is `occurred_at`, or `started_at` of a completion, read at the place where every version of the
    schemas has them.
    """
    value = row.value
    place = FRAMING
    for _ in range(TEXTS):
        place = after_text(value, place)
    at = number_at(value, place)
    if row.topic == STARTED_TOO:
        place = after_text(value, after_number(value, place))
        started = number_at(value, place)
        if started > at and after_number(value, place) <= len(value):
            return started
    return at


def after_number(value: bytes, place: int) -> int:
    """Return where the zigzag-coded number at a place ends; beyond the value's end where there is none."""
    size = len(value)
    limit = place + 10
    while place < size and place < limit:
        place += 1
        if value[place - 1] < 128:
            return place
    return size + 1


def number_at(value: bytes, place: int) -> int:
    """Return the zigzag-coded number at a place; 0 where there is none."""
    end = after_number(value, place)
    if end > len(value):
        return 0
    x = shift = 0
    while place < end:
        bits = value[place] & 0x7F
        x |= bits << shift
        shift += 7
        place += 1
    x &= WORD
    return x >> 1 ^ -(x & 1)


def after_text(value: bytes, place: int) -> int:
    """Return where the text at a place ends; beyond the value's end where there is none."""
    length = number_at(value, place)
    place = after_number(value, place)
    size = len(value)
    return size + 1 if length < 0 or length > size - place else place + length


def any_later(rows: Iterable[Row], limit: int) -> bool:
    """Return whether one of the rows holds a time after `limit`, microseconds."""
    for row in rows:
        if latest_time(row) > limit:
            return True
    return False


def columns_of(rows: Iterable[Row], last: int) -> list[int | str | bytes]:
    """Return the parameters that a statement binds for rows: each one's columns, `last`, and its checksum."""
    found: list[int | str | bytes] = []
    for row in rows:
        found.append(row.seq)
        found.append(row.topic)
        found.append(row.key)
        found.append(row.value)
        found.append(last)
        found.append(checksum_of(row))
    return found


def checksum_of(row: Row) -> int:
    """Return a 63-bit checksum of number, topic, key and value, by which damage on disk is found."""
    # each part's hash seeds the next; SQLite has room for 63 bits above 0
    seed = topics.get(row.topic)
    if seed is None:
        seed = xxh3_64_intdigest(row.topic.encode())
        if len(topics) < MOST_TOPICS:  # a damaged file may hold any topic
            topics[row.topic] = seed
    return xxh3_64_intdigest(row.value, xxh3_64_intdigest(row.key.encode(), seed ^ row.seq & WORD)) >> 1


def row_of(seq: object, topic: object, key: object, value: object) -> Row | None:
    """Return the row that columns hold, None where they have other types."""
    if isinstance(seq, int) and isinstance(topic, str) and isinstance(key, str) and isinstance(value, bytes):
        return Row(seq, topic, key, value)
    return None


def whole_row(seq: object, topic: object, key: object, value: object, checksum: object) -> Row | None:
    """Return the row that columns hold, None where it is damaged."""
    row = row_of(seq, topic, key, value)
    return row if row is not None and checksum == checksum_of(row) else None
