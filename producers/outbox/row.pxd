# What is C in `row.py` where it is compiled.

import cython
from libc.stdint cimport int64_t, uint64_t

cdef dict topics
cdef Py_ssize_t FRAMING, TEXTS
cdef uint64_t WORD


cdef class Row:
    cdef double made
    cdef public long long seq
    cdef public int source
    cdef readonly str topic
    cdef readonly str key
    cdef readonly bytes value


cdef tuple parts(Row row)

@cython.locals(row=Row, size=Py_ssize_t)
cpdef Py_ssize_t size_of(rows) except -1

@cython.locals(row=Row)
cpdef give_numbers(rows, long long first)

@cython.locals(row=Row, now=double, wait=double, total=double, place=Py_ssize_t, last=Py_ssize_t, bound=double)
cpdef double count_waits(rows, tuple bounds, list counts) except -1

@cython.locals(value=bytes, place=Py_ssize_t, at=int64_t, started=int64_t, _=int)
cpdef int64_t latest_time(Row row) except? -1

@cython.locals(size=Py_ssize_t, limit=Py_ssize_t)
cdef inline Py_ssize_t after_number(bytes value, Py_ssize_t place) noexcept

@cython.locals(end=Py_ssize_t, x=uint64_t, bits=uint64_t, shift=int)
cdef inline int64_t number_at(bytes value, Py_ssize_t place) noexcept

@cython.locals(length=int64_t, size=Py_ssize_t)
cdef inline Py_ssize_t after_text(bytes value, Py_ssize_t place) noexcept

@cython.locals(row=Row)
cpdef bint any_later(rows, int64_t limit) except -1

@cython.locals(row=Row, found=list)
cpdef list columns_of(rows, last)

cpdef checksum_of(Row row)

cpdef Row row_of(seq, topic, key, value)

@cython.locals(row=Row)
cpdef Row whole_row(seq, topic, key, value, checksum)
