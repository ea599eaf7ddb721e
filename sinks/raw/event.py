"""Raw events on their way out of ClickHouse or Kafka, cut out of their containers.

There is one object for each event that is replayed or republished. `event.pyx` is the same in C: a change
here is one there.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass

from evometrics.schemas.wire.binary import Unusual, read_length, read_long

#: Bytes before each datum of a container: the message's time in Kafka (milliseconds, 8 bytes), its event time
#: (microseconds, 8), its partition (4) and its offset there (8), little-endian.
HEAD_BYTES = 28
HEAD = struct.Struct("<qqiq")
UUID_BYTES = 36
#: Bytes of a container's sync marker.
SYNC = 16


@dataclass(slots=True, repr=False)
class RawEvent:
    """One event as it is sent; a `reading.Record` as well.

    Attributes:
        timestamp: the message's time in Kafka, milliseconds.
        occurred_at: event time, microseconds.
        value: the message value, framed.
        partition, offset: its original partition and offset, 0 if they are not needed; a stream offline gives
            it another offset (`OfflineStream`).
    """

    timestamp: int
    occurred_at: int
    topic: str
    event_id: bytes
    key: bytes
    value: bytes
    partition: int = 0
    offset: int = 0

    def __repr__(self) -> str:
        return f"RawEvent{astuple(self)!r}"


def take_id(b: bytes, p: int) -> tuple[bytes, int]:
    """Return the id at a position, and where it ends."""
    n, p = read_length(b, p)
    if n != UUID_BYTES:
        raise Unusual
    return b[p : p + n], p + n


def take_key(b: bytes, p: int) -> tuple[bytes, int]:
    """Return the key of the event whose agent and node are at a position: the agent, else the node."""
    n, p = read_length(b, p)
    agent, p = b[p : p + n], p + n
    n, p = read_length(b, p)
    return agent or b[p : p + n], p + n


def read_head(value: bytes, position: int) -> tuple[bytes, bytes, int]:
    """Return the id, the key and the event time (microseconds) of the datum at a position.

    Of any version: all begin with ids of event, agent and node, and the time. Raises `binary.Unusual` if they
    are missing.
    """
    event_id, place = take_id(value, position)
    key, place = take_key(value, place)
    return event_id, key, read_long(value, place)[0]


def cut_events(container: bytes, place: int, topic: str, prefix: bytes) -> list[RawEvent]:
    """Return the events of a container of one-record blocks, whose first begins at a place, each once.

    They are in the order of time, partition and offset.

    Each record is a head of `HEAD_BYTES`, then a datum of the topic's schema, which `prefix` frames. Raises
    `ValueError` if a block holds more or is cut, `binary.Unusual` if a record is something else.
    """
    if not 0 <= place <= len(container):
        raise Unusual
    found: dict[tuple[int, int, int, bytes], RawEvent] = {}
    while place < len(container):
        count, place = read_length(container, place)
        size, place = read_length(container, place)
        end = place + size
        if count > 1 or len(container) - end < SYNC:
            raise ValueError("a block of ClickHouse's Avro container is truncated or has more than one row")
        if count:  # there is a block even for zero rows
            event = event_of(container, place, end, topic, prefix)
            found.setdefault((event.timestamp, event.partition, event.offset, event.event_id), event)
        place = end + SYNC
    return [found[place_of] for place_of in sorted(found)]


def event_of(b: bytes, place: int, end: int, topic: str, prefix: bytes) -> RawEvent:
    """Return the event of the record from a position to its end: a head, then a datum."""
    if end - place < HEAD_BYTES:
        raise Unusual
    timestamp, occurred_at, partition, offset = HEAD.unpack_from(b, place)
    place += HEAD_BYTES
    event_id, after = take_id(b, place)
    key, after = take_key(b, after)
    if after > end:
        raise Unusual
    return RawEvent(timestamp, occurred_at, topic, event_id, key, prefix + b[place:end], partition, offset)
