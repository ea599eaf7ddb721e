# What is C in `ids.py` where it is compiled.

import cython

@cython.locals(digits=str, variant=str)
cpdef str uuid_text(bytes raw, int version)
