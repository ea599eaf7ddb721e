# What is C in `steps.py` where it is compiled.

import cython
from libc.stdint cimport int64_t

@cython.locals(start=int64_t, step=int64_t, span=int64_t, found=set)
cpdef list affected_steps(window, dict totals, changed)

@cython.locals(
    span=int64_t, first_step=int64_t, attempts=int64_t, successes=int64_t, step=int64_t, known=tuple, counted=tuple
)
cpdef tuple within(window, dict totals, int64_t last_step)
