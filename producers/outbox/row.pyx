# cython: language_level=3
"""A message between its recording and the broker's acknowledgement; compiled because every event has one.

It has no references that could form a cycle, so the garbage collector does not track it. Signatures and
docstrings are in `row.pyi`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_FromObject
from libc.stdint cimport int64_t, uint8_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from xxhash import xxh3_64_intdigest

#: What a row costs besides its value: key, topic, times, and SQLite's own data.
DEF OVERHEAD = 120
ROW_OVERHEAD = OVERHEAD
#: Single-object encoding's header: a marker and a fingerprint.
DEF FRAMING = 10
#: Texts before an event's time: event_id, agent_id, node_id.
DEF TEXTS = 3
#: The topic whose events hold a second time, after evolution_id.
STARTED_TOO = "evometrics.evolution.completed"
#: Checksums of topic names.
cdef dict topics = {}
DEF MOST_TOPICS = 100


cdef double ticks() noexcept:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec * 1e-9


cdef class Row:
    cdef double made
    cdef public long long seq
    cdef public int source
    cdef readonly str topic
    cdef readonly str key
    cdef readonly bytes value

    def __init__(self, long long seq, str topic not None, key, bytes value not None):
        self.seq, self.topic, self.value, self.made = seq, topic, value, ticks()
        self.key = PyUnicode_FromObject(key)  # an application's key may be an instance of a subclass of str

    @property
    def size(self):
        return PyBytes_GET_SIZE(self.value) + OVERHEAD

    def __eq__(self, other):
        if not isinstance(other, Row):
            return NotImplemented
        return parts(self) == parts(<Row>other)

    def __repr__(self):
        return f"Row{parts(self)!r}"


cdef tuple parts(Row row):
    return row.seq, row.topic, row.key, row.value


def size_of(rows):
    cdef Py_ssize_t size = 0
    cdef Row row
    for row in rows:
        size += PyBytes_GET_SIZE(row.value) + OVERHEAD
    return size


def give_numbers(rows, long long first):
    cdef Row row
    for row in rows:
        row.seq = first
        first += 1


def count_waits(rows, tuple bounds, list counts):
    cdef double now = ticks(), wait, total = 0
    cdef Py_ssize_t place, last = len(bounds)
    cdef Row row
    for row in rows:
        wait = now - row.made
        total += wait
        place = 0
        while place < last and <double>bounds[place] < wait:
            place += 1
        counts[place] += 1
    return total


def columns_of(rows, last):
    cdef list found = []
    cdef Row row
    for row in rows:
        found.append(row.seq)
        found.append(row.topic)
        found.append(row.key)
        found.append(row.value)
        found.append(last)
        found.append(checked(row))
    return found


cdef int64_t number_at(const uint8_t* data, Py_ssize_t size, Py_ssize_t* place) noexcept:
    """Read the zigzag-coded number at `place`, which is moved past it; beyond the end where there is none."""
    cdef uint64_t x = 0
    cdef int shift = 0
    while place[0] < size and shift < 64:
        x |= <uint64_t>(data[place[0]] & 0x7F) << shift
        place[0] += 1
        if data[place[0] - 1] < 128:
            return <int64_t>(x >> 1) ^ -<int64_t>(x & 1)
        shift += 7
    place[0] = size + 1
    return 0


cdef int64_t pass_text(const uint8_t* data, Py_ssize_t size, Py_ssize_t* place) noexcept:
    cdef int64_t length = number_at(data, size, place)
    place[0] = size + 1 if length < 0 or length > size - place[0] else place[0] + length
    return 0


cdef int64_t latest_in(Row row) noexcept:
    cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(row.value)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(row.value), place = FRAMING
    cdef int64_t at, started
    cdef int i
    for i in range(TEXTS):
        pass_text(data, size, &place)
    at = number_at(data, size, &place)
    if place <= size and row.topic == STARTED_TOO:
        pass_text(data, size, &place)
        started = number_at(data, size, &place)
        if place <= size and started > at:
            at = started
    return at


def latest_time(Row row not None):
    return latest_in(row)


def any_later(rows, int64_t limit):
    cdef Row row
    for row in rows:
        if latest_in(row) > limit:
            return True
    return False


def checksum_of(Row row not None):
    return checked(row)


def row_of(seq, topic, key, value):
    if isinstance(seq, int) and isinstance(topic, str) and isinstance(key, str) and isinstance(value, bytes):
        return Row(seq, topic, key, value)
    return None


def whole_row(seq, topic, key, value, checksum):
    cdef Row row = row_of(seq, topic, key, value)
    return row if row is not None and checksum == checked(row) else None


cdef object checked(Row row):
    # each part's hash seeds the next; SQLite has room for 63 bits above 0
    seed = topics.get(row.topic)
    if seed is None:
        seed = xxh3_64_intdigest(row.topic.encode())
        if len(topics) < MOST_TOPICS:  # a damaged file may hold any topic
            topics[row.topic] = seed
    return xxh3_64_intdigest(row.value, xxh3_64_intdigest(row.key.encode(), seed ^ <uint64_t>row.seq)) >> 1
