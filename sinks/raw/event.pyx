# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Raw events on their way out of ClickHouse or Kafka, cut out of their containers, compiled.

There is one object for each event that is replayed or republished. It refers to nothing that could refer
back, so the garbage collector does not track it. Arguments, results and errors are described in `event.py`.
"""

from evometrics.schemas.wire.binary import Unusual

include "../../schemas/wire/avro.pxi"

from libc.stdint cimport int32_t
from libc.stdlib cimport qsort

DEF UUID_BYTES = 36
DEF SYNC = 16
#: Before each datum, little-endian: time in Kafka (8 bytes), event time (8), partition (4), offset (8).
DEF HEAD = 28
HEAD_BYTES = HEAD


cdef class RawEvent:
    cdef public int64_t timestamp
    cdef public int64_t occurred_at
    cdef public str topic
    cdef public bytes event_id
    cdef public bytes key
    cdef public bytes value
    cdef public int32_t partition
    cdef public int64_t offset

    def __init__(
        self,
        int64_t timestamp,
        int64_t occurred_at,
        str topic not None,
        bytes event_id not None,
        bytes key not None,
        bytes value not None,
        int32_t partition=0,
        int64_t offset=0,
    ):
        self.timestamp, self.occurred_at, self.partition, self.offset = timestamp, occurred_at, partition, offset
        self.topic, self.event_id, self.key, self.value = topic, event_id, key, value

    def __eq__(self, other):
        if not isinstance(other, RawEvent):
            return NotImplemented
        return parts(self) == parts(<RawEvent>other)

    def __repr__(self):
        return f"RawEvent{parts(self)!r}"

    def __reduce__(self):
        return RawEvent, parts(self)


cdef tuple parts(RawEvent e):
    return e.timestamp, e.occurred_at, e.topic, e.event_id, e.key, e.value, e.partition, e.offset


cdef inline bytes part(In* source, Py_ssize_t begin, Py_ssize_t size):
    return PyBytes_FromStringAndSize(<const char*>source.data + begin, size)


cdef bytes take_key(In* source):
    """Return the key of the event whose agent and node come next: the agent, else the node."""
    cdef Py_ssize_t agent = get_length(source), begin = source.place, node
    source.place += agent
    node = get_length(source)
    if not agent:
        agent, begin = node, source.place
    source.place += node
    return part(source, begin, agent)


cdef bytes take_id(In* source):
    """Return the id that comes next."""
    cdef Py_ssize_t begin
    if get_length(source) != UUID_BYTES:
        raise Unusual
    begin = source.place
    source.place += UUID_BYTES
    return part(source, begin, UUID_BYTES)


def read_head(bytes value not None, Py_ssize_t position):
    cdef In source
    open_in(&source, value, position)
    event_id = take_id(&source)
    key = take_key(&source)
    return event_id, key, get_long(&source)


def cut_events(bytes container not None, Py_ssize_t place, str topic not None, bytes prefix not None):
    cdef In source
    cdef list found = []
    cdef Py_ssize_t count, size, end
    open_in(&source, container, place)
    while source.place < source.size:
        count = get_length(&source)
        size = get_length(&source)
        end = source.place + size
        if count > 1 or source.size - end < SYNC:
            raise ValueError("a block of ClickHouse's Avro container is truncated or has more than one row")
        if count:  # there is a block even for zero rows
            found.append(event_of(&source, end, topic, prefix))
        source.place = end + SYNC
    return in_order(found)


cdef struct Placed:
    #: The sort key of an event, and its index.
    int64_t at
    int32_t partition
    int64_t offset
    const char* event_id
    Py_ssize_t number


cdef list in_order(list events):
    """Return the events sorted by time, partition, offset and id, without duplicates."""
    cdef Py_ssize_t i, n = len(events)
    cdef RawEvent event
    cdef list found = []
    cdef Placed* places = <Placed*>PyMem_Malloc((n + 1) * sizeof(Placed))
    if places == NULL:
        raise MemoryError
    try:
        for i in range(n):
            event = <RawEvent>events[i]
            places[i].at, places[i].partition, places[i].offset = event.timestamp, event.partition, event.offset
            places[i].event_id, places[i].number = PyBytes_AS_STRING(event.event_id), i
        qsort(places, n, sizeof(Placed), &compare)
        for i in range(n):
            if i == 0 or compare(&places[i - 1], &places[i]):
                found.append(events[places[i].number])
    finally:
        PyMem_Free(places)
    return found


cdef int compare(const void* one, const void* other) noexcept nogil:
    """Return a number below, at or above 0 if the one event comes before, with or after the other."""
    cdef const Placed* a = <const Placed*>one
    cdef const Placed* b = <const Placed*>other
    if a.at != b.at:
        return -1 if a.at < b.at else 1
    if a.partition != b.partition:
        return -1 if a.partition < b.partition else 1
    if a.offset != b.offset:
        return -1 if a.offset < b.offset else 1
    return memcmp(a.event_id, b.event_id, UUID_BYTES)


cdef RawEvent event_of(In* source, Py_ssize_t end, str topic, bytes prefix):
    """Return the event of the record that ends at a position: a head, then a datum."""
    cdef RawEvent event = RawEvent.__new__(RawEvent)
    cdef const uint8_t* head = source.data + source.place
    cdef Py_ssize_t framing = PyBytes_GET_SIZE(prefix), datum
    cdef bytes value
    if end - source.place < HEAD:
        raise Unusual
    memcpy(&event.timestamp, head, 8)
    memcpy(&event.occurred_at, head + 8, 8)
    memcpy(&event.partition, head + 16, 4)
    memcpy(&event.offset, head + 20, 8)
    source.place += HEAD
    datum = end - source.place
    value = PyBytes_FromStringAndSize(NULL, framing + datum)
    memcpy(PyBytes_AS_STRING(value), PyBytes_AS_STRING(prefix), framing)
    memcpy(PyBytes_AS_STRING(value) + framing, head + HEAD, datum)
    event.topic, event.value = topic, value
    event.event_id = take_id(source)
    event.key = take_key(source)
    if source.place > end:
        raise Unusual
    return event
