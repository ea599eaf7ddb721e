# What is C in `ids.py` where it is compiled.

import cython

@cython.locals(digits=str, variant=str)
cdef str uuid_text(bytes raw, int version)
