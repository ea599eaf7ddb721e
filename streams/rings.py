"""Which event ids were seen: a ring of the newest for each node, so that a duplicate is known by its id.

A producer sends an event again where it did not hear that the broker has it. Its publisher has at most
4,000 events in its hands that the broker may have without its outbox knowing, so a duplicate lies within
the newest 4,000 ids of its node, in whatever partition and however long the node was away. A ring holds
that many and some more, and there is one for each node and source topic of a partition.

An id is kept with the offset it was first seen at, and an event is a duplicate where its id is known with
another offset. The same offset is the same message again, after a crash: it counts as new, and the fences
of the states that it changes say what of it they hold already. So ids may be written before or after those
states. They are written after them: a batch longer than a ring pushes out ids that its own first events
are duplicates of, and must find them again where it is computed again.

In the changelog a ring is a number of segments in as many slots; a batch writes those it changed. A
segment carries its running number, by which the newest is found again.
"""

from __future__ import annotations

import struct
from itertools import islice

from evometrics.streams.batches import ReadStates

#: Ids in a segment: what a single event rewrites.
SEGMENT_IDS = 64
#: Segments of a ring: 4,096 ids, and one segment more, which is being filled.
SEGMENTS = 65
#: Rings of one source topic in a partition; the one longest unused makes room for another node's. A full one
#: takes about half a megabyte.
RING_LIMIT = 256
NUMBER = struct.Struct(">q")
ENTRY = struct.Struct("<Qq")
MASK = 2**64 - 1
#: An odd number that spreads the id's upper half: ids that differ in either half differ when both are added.
SPREAD = 0x9E37_79B9_7F4A_7C15


def id_number(event_id: str) -> int:
    """Return the 64 bits that an id is known by. Raises ValueError where it is no UUID."""
    whole = int(event_id.replace("-", ""), 16)
    return (whole + (whole >> 64) * SPREAD) & MASK


def segment_key(topic: str, node_id: str, slot: int) -> bytes:
    """Return the key of a slot of a ring."""
    return f"{topic}|{slot}|{node_id}".encode()


class Ring:
    """The newest ids of one node.

    Attributes:
        known: the offset of each id, oldest first.
        number: running number of the segment that is being filled.
        body: its entries, packed.
        used: offset of the last event that was looked up.
    """

    __slots__ = ("body", "known", "number", "used")

    def __init__(self) -> None:
        self.known: dict[int, int] = {}
        self.number = 0
        self.body = bytearray()
        self.used = -1

    def take(self, number: int, body: bytes) -> None:
        """Take in a segment as it was written; the segments come in the order of their numbers."""
        for event, offset in ENTRY.iter_unpack(body):
            self.known[event] = offset
            self.used = max(self.used, offset)
        self.number, self.body = number, bytearray(body)

    def value(self) -> bytes:
        """Return the bytes of the segment that is being filled."""
        return NUMBER.pack(self.number) + self.body

    def add(self, event: int, offset: int) -> None:
        """Remember an id that is not known; the oldest segment's are forgotten where a new one is begun."""
        if len(self.body) == SEGMENT_IDS * ENTRY.size:
            self.number += 1
            self.body = bytearray()
            for old in list(islice(self.known, max(0, len(self.known) - (SEGMENTS - 1) * SEGMENT_IDS))):
                del self.known[old]
        self.known[event] = offset
        self.body += ENTRY.pack(event, offset)


class Rings:
    """The rings of one partition.

    Args:
        stored: their segments, as they were written last.
    """

    def __init__(self, stored: ReadStates) -> None:
        self.rings: dict[tuple[str, str], Ring] = {}
        self.counts: dict[str, int] = {}
        self.changed: dict[bytes, bytes | None] = {}
        self.touched: dict[tuple[str, str], Ring] = {}
        segments = []
        for key, value in stored.items():
            topic, _, node_id = key.decode().split("|", 2)
            segments.append((NUMBER.unpack_from(value)[0], topic, node_id, value[NUMBER.size :]))
        for number, topic, node_id, body in sorted(segments):
            ring = self.rings.get((topic, node_id)) or self.begin(topic, node_id)
            ring.take(number, body)

    def begin(self, topic: str, node_id: str) -> Ring:
        """Begin a node's ring."""
        ring = self.rings[topic, node_id] = Ring()
        self.counts[topic] = self.counts.get(topic, 0) + 1
        return ring

    def new(self, topic: str, node_id: str, event_id: str, offset: int) -> bool:
        """Tell whether a message's event is new, and remember it."""
        ring = self.rings.get((topic, node_id))
        if ring is None:
            if self.counts.get(topic, 0) >= RING_LIMIT:
                self.forget_one(topic)
            ring = self.begin(topic, node_id)
        ring.used = offset
        event = id_number(event_id)
        known = ring.known.get(event)
        if known is not None:
            return known == offset
        number, body = ring.number, ring.body
        ring.add(event, offset)
        if ring.number != number and (topic, node_id) in self.touched:
            slot = segment_key(topic, node_id, number % SEGMENTS)
            self.changed[slot] = NUMBER.pack(number) + body
        self.touched[topic, node_id] = ring
        return True

    def forget_one(self, topic: str) -> None:
        """Forget the ring of a topic that is longest unused."""
        oldest = min((key for key in self.rings if key[0] == topic), key=lambda key: self.rings[key].used)
        ring = self.rings.pop(oldest)
        self.counts[topic] -= 1
        self.touched.pop(oldest, None)
        for slot in range(min(ring.number + 1, SEGMENTS)):
            self.changed[segment_key(*oldest, slot)] = None

    def writes(self) -> dict[bytes, bytes | None]:
        """Return what has changed since this was last asked: segments by slot, None for those to delete."""
        for (topic, node_id), ring in self.touched.items():
            self.changed[segment_key(topic, node_id, ring.number % SEGMENTS)] = ring.value()
        changed, self.changed, self.touched = self.changed, {}, {}
        return changed
