# The functions of `primitives.py` in C, for the compiled modules that cimport them.

from libc.math cimport fabs, rint

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)


cdef inline bint is_ascii(str text) noexcept:
    return PyUnicode_IS_ASCII(text)


cdef inline object nearest(double x):
    # a larger number has no fraction, and may not fit 64 bits
    return <long long>rint(x) if fabs(x) < 9.0e18 else round(x)
