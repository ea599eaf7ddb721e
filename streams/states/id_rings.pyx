# cython: language_level=3, boundscheck=False, wraparound=False
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

Compiled, because every event is looked up; arguments and results are described in `id_rings.pyi`.
"""

import struct
from itertools import islice

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

DEF IDS = 64
DEF HEX_DIGITS = 32
SEGMENT_IDS = IDS
SEGMENTS = 65
RING_LIMIT = 256
NUMBER = struct.Struct(">q")
ENTRY = struct.Struct("<Qq")
#: An odd number that spreads the id's upper half: ids that differ in either half differ when both are added.
DEF SPREAD = 0x9E37_79B9_7F4A_7C15

cdef Py_ssize_t HELD = (SEGMENTS - 1) * SEGMENT_IDS


cdef struct Entry:
    #: An id's number and its offset, as encoded: little-endian.
    uint64_t event
    int64_t offset


cdef uint64_t number_of(str event_id) except? 0:
    cdef Py_ssize_t size, i
    cdef const char* text = PyUnicode_AsUTF8AndSize(event_id, &size)
    cdef uint64_t halves[2]
    cdef int digits = 0
    cdef uint8_t c
    halves[0] = halves[1] = 0
    for i in range(size):
        c = <uint8_t>text[i]
        if c == 45:  # a hyphen
            continue
        if 48 <= c <= 57:
            c -= 48
        elif 97 <= (c | 32) <= 102:
            c = (c | 32) - 87
        else:
            raise ValueError(f"not a UUID: {event_id!r}")
        if digits < HEX_DIGITS:
            halves[digits >> 4] = halves[digits >> 4] << 4 | c
        digits += 1
    if digits != HEX_DIGITS:
        raise ValueError(f"not a UUID: {event_id!r}")
    return halves[1] + halves[0] * <uint64_t>SPREAD


def id_number(str event_id not None):
    return number_of(event_id)


def segment_key(topic, node_id, slot):
    return f"{topic}|{slot}|{node_id}".encode()


cdef class Ring:
    """The newest ids of one node.

    known: the offset of each id, oldest first. number: of the segment that is being filled; `filled` of its
    entries are used. used: offset of the last event that was looked up. touched: whether it was changed since
    it was written.
    """

    cdef readonly dict known
    cdef readonly int64_t number
    cdef Entry entries[IDS]
    cdef Py_ssize_t filled
    cdef readonly int64_t used
    cdef bint touched

    def __cinit__(self):
        self.known = {}
        self.used = -1

    cdef take(self, int64_t number, bytes body):
        """Load a segment as written; segments come in the order of their numbers."""
        if len(body) > IDS * sizeof(Entry):
            raise ValueError(f"a segment of {len(body)} bytes is longer than {IDS} ids")
        self.number, self.filled = number, 0
        for event, offset in ENTRY.iter_unpack(body):
            self.put(event, offset)
            self.used = max(self.used, <int64_t>offset)

    cdef put(self, uint64_t event, int64_t offset):
        self.known[event] = offset
        self.entries[self.filled].event, self.entries[self.filled].offset = event, offset
        self.filled += 1

    cdef bytes value(self):
        """Return the bytes of the segment that is being filled."""
        return NUMBER.pack(self.number) + PyBytes_FromStringAndSize(
            <const char*>self.entries, self.filled * sizeof(Entry)
        )

    cdef begin_segment(self):
        """Begin a new segment; the oldest one's ids are forgotten."""
        self.number += 1
        self.filled = 0
        for old in list(islice(self.known, max(0, len(self.known) - HELD))):
            del self.known[old]


cdef class Rings:
    cdef readonly dict rings
    cdef dict counts
    cdef dict changed
    cdef dict touched

    def __init__(self, stored):
        self.rings, self.counts, self.changed, self.touched = {}, {}, {}, {}
        cdef Ring ring
        segments = []
        for key, value in stored.items():
            topic, _, node_id = key.decode().split("|", 2)
            segments.append((NUMBER.unpack_from(value)[0], topic, node_id, value[NUMBER.size :]))
        for number, topic, node_id, body in sorted(segments):
            ring = self.rings.get((topic, node_id))
            if ring is None:
                ring = self.begin(topic, node_id)
            ring.take(number, body)

    cdef Ring begin(self, topic, node_id):
        ring = self.rings[topic, node_id] = Ring()
        self.counts[topic] = self.counts.get(topic, 0) + 1
        return ring

    def new(self, str topic not None, str node_id not None, str event_id not None, int64_t offset):
        cdef uint64_t event = number_of(event_id)
        cdef tuple whose = (topic, node_id)
        cdef Ring ring = self.rings.get(whose)
        if ring is None:
            if self.counts.get(topic, 0) >= RING_LIMIT:
                self.forget_one(topic)
            ring = self.begin(topic, node_id)
        ring.used = offset
        known = ring.known.get(event)
        if known is not None:
            return <int64_t>known == offset
        if ring.filled == IDS:
            if ring.touched:
                self.write(whose, ring)
            ring.begin_segment()
        ring.put(event, offset)
        if not ring.touched:
            ring.touched = True
            self.touched[whose] = ring
        return True

    cdef write(self, tuple whose, Ring ring):
        """Store the bytes of the segment that is being filled."""
        self.changed[segment_key(whose[0], whose[1], ring.number % SEGMENTS)] = ring.value()

    cdef forget_one(self, topic):
        """Drop a topic's least recently used ring."""
        cdef Ring ring
        oldest, used = None, 0
        for whose, ring in self.rings.items():
            if whose[0] == topic and (oldest is None or ring.used < used):
                oldest, used = whose, ring.used
        ring = self.rings.pop(oldest)
        self.counts[topic] -= 1
        self.touched.pop(oldest, None)
        for slot in range(min(ring.number + 1, SEGMENTS)):
            self.changed[segment_key(*oldest, slot)] = None

    def writes(self):
        cdef Ring ring
        for whose, ring in self.touched.items():
            self.write(whose, ring)
            ring.touched = False
        changed, self.changed, self.touched = self.changed, {}, {}
        return changed
