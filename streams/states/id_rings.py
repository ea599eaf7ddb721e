# cython: annotation_typing=False, boundscheck=False, wraparound=False
"""Remembers which event ids were seen: a ring of each node's newest ids, by which duplicates are recognised.

A producer resends an event if it did not hear that the broker has it. Its publisher holds at most 4,000
events that the broker may have without its outbox knowing, so a duplicate lies within the newest 4,000 ids of
its node, in whatever partition and however long the node was unreachable. A ring holds that many and some
more, and there is one for each node and source topic of a partition.

An id is kept with the offset it was first seen at, and an event is a duplicate if its id is known with
another offset. The same offset is the same message again, after a crash: it counts as new, and the fences of
the states that it changes show which of its effects they already hold. So ids may be written before or after
those states. They are written after them: a batch longer than a ring pushes out ids that its own first events
are duplicates of, and must find them again when it is computed again.

In the changelog a ring is a number of segments in as many slots; a batch writes those it changed. A segment
carries its running number, by which the newest is found again.

Compiled, because every event is looked up.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from itertools import islice

from evometrics.streams.states.live import ReadStates

#: Ids in a segment: the unit that a single event rewrites.
SEGMENT_IDS = 64
#: Segments of a ring: 4,096 ids, and one segment more, which is being filled.
SEGMENTS = 65
NUMBER = struct.Struct(">q")
#: An id's number and its offset; and so many of both.
ENTRY = struct.Struct("<Qq")
ENTRIES = [struct.Struct("<" + "Qq" * count) for count in range(SEGMENT_IDS + 1)]
#: An odd number that spreads the id's upper half: ids that differ in either half differ when both are added.
SPREAD = 0x9E37_79B9_7F4A_7C15
#: 64 bits, which C keeps by itself.
WORD = 0xFFFF_FFFF_FFFF_FFFF
#: Hexadecimal digits of a UUID.
DIGITS = 32
HELD = (SEGMENTS - 1) * SEGMENT_IDS
#: What a ring takes besides its ids, in ids: 120 bytes each.
RING_IDS = 16
#: Ids of one source topic in a partition, rings included: 256 full rings of half a megabyte, or the few ids
#: each of thousands of nodes. The rings longest unused make room.
IDS_LIMIT = 256 * (HELD + SEGMENT_IDS + RING_IDS)


def id_number(event_id: str) -> int:
    """Return the 64 bits that identify an id. Raises ValueError if it is not a UUID."""
    upper = lower = digits = 0
    for c in event_id:
        if "0" <= c <= "9":
            digit = ord(c) - 48
        elif "a" <= c <= "f" or "A" <= c <= "F":
            digit = (ord(c) | 32) - 87
        elif c == "-":
            continue
        else:
            raise ValueError(f"not a UUID: {event_id!r}")
        if digits < 16:
            upper = upper << 4 | digit
        elif digits < DIGITS:
            lower = lower << 4 | digit
        digits += 1
    if digits != DIGITS:
        raise ValueError(f"not a UUID: {event_id!r}")
    return lower + upper * SPREAD & WORD


def segment_key(topic: str, node_id: str, slot: int) -> bytes:
    """Return the key of a ring's slot."""
    return f"{topic}|{slot}|{node_id}".encode()


class Ring:
    """The newest ids of one node.

    Attributes:
        known: the offset of each id, oldest first.
        number: running number of the segment that is being filled; `filled` are its ids and their offsets.
        used: offset of the last event that was looked up.
        touched: whether it was changed since it was written.
    """

    def __init__(self) -> None:
        self.known: dict[int, int] = {}
        self.number = 0
        self.filled: list[int] = []
        self.used = -1
        self.touched = False

    def take(self, number: int, body: bytes) -> None:
        """Load a segment as written; segments come in the order of their numbers."""
        if len(body) > SEGMENT_IDS * ENTRY.size:
            raise ValueError(f"a segment of {len(body)} bytes is longer than {SEGMENT_IDS} ids")
        self.number, self.filled = number, []
        for event, offset in ENTRY.iter_unpack(body):
            self.put(event, offset)
            self.used = max(self.used, offset)

    def put(self, event: int, offset: int) -> None:
        """Add an id to the segment that is being filled."""
        self.known[event] = offset
        self.filled.append(event)
        self.filled.append(offset)

    def value(self) -> bytes:
        """Return the bytes of the segment that is being filled."""
        return NUMBER.pack(self.number) + ENTRIES[len(self.filled) >> 1].pack(*self.filled)

    def begin_segment(self) -> int:
        """Begin a new segment; the oldest one's ids are forgotten: returns how many."""
        self.number += 1
        self.filled = []
        forgotten = list(islice(self.known, max(0, len(self.known) - HELD)))
        for old in forgotten:
            del self.known[old]
        return len(forgotten)


class Rings:
    """The rings of one partition.

    Args:
        stored: their segments as last written.

    Attributes:
        rings: by source topic, each node's, the longest unused first.
        held: by source topic, how many ids they take.

    Raises ValueError or `struct.error` if a segment's bytes are invalid.
    """

    def __init__(self, stored: ReadStates) -> None:
        self.rings: dict[str, OrderedDict[str, Ring]] = {}
        self.held: dict[str, int] = {}
        self.changed: dict[bytes, bytes | None] = {}
        self.touched: dict[tuple[str, str], Ring] = {}
        self.load(stored)

    def load(self, stored: ReadStates) -> None:
        """Make the rings of stored segments."""
        segments = []
        for key, value in stored.items():
            topic, _, node_id = key.decode().split("|", 2)
            segments.append((NUMBER.unpack_from(value)[0], topic, node_id, value[NUMBER.size :]))
        for number, topic, node_id, body in sorted(segments):
            ring = self.ring_of(topic, node_id)
            before = len(ring.known)
            ring.take(number, body)
            self.held[topic] += len(ring.known) - before
        for topic, rings in self.rings.items():
            self.rings[topic] = OrderedDict(sorted(rings.items(), key=used_at))

    def ring_of(self, topic: str, node_id: str) -> Ring:
        """Return a node's ring, by now the one last used."""
        rings = self.rings.get(topic)
        if rings is None:
            rings = self.rings[topic] = OrderedDict()
            self.held[topic] = 0
        ring = rings.get(node_id)
        if ring is None:
            ring = rings[node_id] = Ring()
            self.held[topic] += RING_IDS
        else:
            rings.move_to_end(node_id)
        return ring

    def new(self, topic: str, node_id: str, event_id: str, offset: int) -> bool:
        """Return whether a message's event is new, and remember it. Raises ValueError as `id_number` does."""
        event = id_number(event_id)
        whose = (topic, node_id)
        ring = self.ring_of(topic, node_id)
        ring.used = offset
        known = ring.known.get(event)
        if known is not None:
            return known == offset
        if len(ring.filled) == 2 * SEGMENT_IDS:
            if ring.touched:
                self.write(whose, ring)
            self.held[topic] -= ring.begin_segment()
        ring.put(event, offset)
        self.held[topic] += 1
        if not ring.touched:
            ring.touched = True
            self.touched[whose] = ring
        while self.held[topic] > IDS_LIMIT:
            self.forget_one(topic)
        return True

    def write(self, whose: tuple[str, str], ring: Ring) -> None:
        """Store the bytes of the segment that is being filled."""
        self.changed[segment_key(whose[0], whose[1], ring.number % SEGMENTS)] = ring.value()

    def forget_one(self, topic: str) -> None:
        """Drop a topic's least recently used ring."""
        node_id, ring = self.rings[topic].popitem(last=False)
        self.held[topic] -= len(ring.known) + RING_IDS
        self.touched.pop((topic, node_id), None)
        for slot in range(min(ring.number + 1, SEGMENTS)):
            self.changed[segment_key(topic, node_id, slot)] = None

    def writes(self) -> dict[bytes, bytes | None]:
        """Return the changes since the last call: segments by slot, None for those to delete."""
        for whose, ring in self.touched.items():
            self.write(whose, ring)
            ring.touched = False
        changed, self.changed, self.touched = self.changed, {}, {}
        return changed


def used_at(item: tuple[str, Ring]) -> int:
    """Return the offset of the last event that was looked up in a node's ring."""
    return item[1].used
