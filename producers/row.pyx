# cython: language_level=3
"""A message on its way from its recording to the broker's acknowledgement, compiled: there is one for each event.

It refers to nothing that could refer back, so the garbage collector leaves it alone. What everything takes
and returns is in `row.pyi`.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_FromObject

#: What a row costs beside its value: key, topic, times, and SQLite's own.
DEF OVERHEAD = 120
ROW_OVERHEAD = OVERHEAD


cdef class Row:
    cdef public long long seq
    cdef readonly str topic
    cdef readonly str key
    cdef readonly bytes value

    def __init__(self, long long seq, str topic not None, key, bytes value not None):
        self.seq, self.topic, self.value = seq, topic, value
        self.key = PyUnicode_FromObject(key)  # what an application gives may be of a kind of its own

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


def columns_of(rows, last):
    cdef list found = []
    cdef Row row
    for row in rows:
        found.append(row.seq)
        found.append(row.topic)
        found.append(row.key)
        found.append(row.value)
        found.append(last)
    return found
