# What is C in `id_rings.py` where it is compiled.

import cython
from libc.stdint cimport int64_t, uint64_t

cdef uint64_t SPREAD, WORD
cdef int DIGITS

@cython.locals(upper=uint64_t, lower=uint64_t, digits=int, digit=uint64_t, c=Py_UCS4)
cpdef uint64_t id_number(str event_id) except? 0

cdef bytes segment_key(str topic, str node_id, int64_t slot)


cdef class Ring:
    cdef readonly dict known
    cdef readonly int64_t number
    cdef list filled
    cdef readonly int64_t used
    cdef bint touched

    cdef take(self, number, bytes body)
    cdef put(self, event, offset)
    cdef bytes value(self)
    cdef int64_t begin_segment(self) except -1


cdef class Rings:
    cdef readonly dict rings
    cdef readonly dict held
    cdef dict changed
    cdef dict touched

    @cython.locals(ring=Ring, before=int64_t)
    cdef load(self, stored)

    @cython.locals(ring=Ring)
    cdef Ring ring_of(self, str topic, str node_id)

    @cython.locals(whose=tuple, ring=Ring)
    cpdef bint new(self, str topic, str node_id, str event_id, offset) except -1

    cdef write(self, tuple whose, Ring ring)

    @cython.locals(ring=Ring)
    cdef forget_one(self, str topic)

    @cython.locals(ring=Ring)
    cpdef dict writes(self)
