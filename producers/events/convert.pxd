# What is C in `convert.py` where it is compiled.

import cython
from evometrics.producers.events cimport primitives, values

cdef double LIVE, STEPPED
cdef object new, new_tuple

cdef object micros(double seconds)
@cython.locals(agent=str)
cdef str agent_of(value, str record)
cdef object generation(event, dict metadata, left_out)
@cython.locals(i=Py_ssize_t)
cdef bint begins(str insight, str word) except -1
@cython.locals(errors=Py_ssize_t, warnings=Py_ssize_t)
cpdef tuple errors_and_warnings(insights)

@cython.locals(end=double, lasted=double)
cdef set_times(done, event, active, double now, left_out)
@cython.locals(off=double)
cdef bint began_at(double at, double duration, double now) noexcept
@cython.locals(start=double, elapsed=double, end=double, one_object=bint, live=bint, stepped=bint)
cdef set_measured_times(done, active, at, taken, duration, double now, left_out)
cdef set_course(done, event, active, left_out)
cdef set_names(done, event, started, left_out)
cdef object name_or_none(value, str name, left_out)
cdef object run_of(event, left_out)
cdef object direction_of(value, left_out)
@cython.locals(parents=list)
cdef set_parents(done, event, left_out)
@cython.locals(found=str, length=Py_ssize_t)
cdef object parent_of(value, str name, str place, left_out)
cdef set_candidate(done, event, left_out)
cdef set_kpis(done, event, started, left_out)
@cython.locals(won=bint)
cdef set_outcome(done, event, left_out)
cdef object status_of(value, left_out)
cdef set_usage(done, event, usage, left_out)
cdef str phase_of(value, left_out)
