# What is C in `values.py` where it is compiled.

import cython
from evometrics.producers.events cimport primitives

cdef Py_ssize_t MOST_NAME, MOST_DIGITS, MOST_ITEMS
cdef double MOST_AHEAD

cdef object attribute(event, str name, left_out)
cdef object first_of(event, str first, str second, left_out)

cdef str numpy_kind(value)
cdef object number(value)
cdef object inner_number(value)
cpdef object number_of(value, str name, left_out)
cdef object amount_of(value, str name, left_out)
cdef object whole_number(value)
cdef object whole_of(value, str name, left_out)
cdef object count_of(value, str name, left_out)
cdef object in_seconds(value)
cdef object seconds_of(value, str name, left_out)
cpdef object truth_of(value, str name, left_out)

cdef str clean(str text)
cpdef str text_of(value)
@cython.locals(found=str)
cdef str name_of(value, str name, left_out)
@cython.locals(found=str)
cpdef str id_of(value)

@cython.locals(at=double)
cdef object moment_of(value, double now, str name, left_out)

@cython.locals(text=str)
cdef inline bint is_plain_text(value) except -1
cdef inline bint is_plain_number(value) except -1
cdef inline bint finite(double x) noexcept
cdef bint plain_numbers(dict values) except -1
cdef bint plain_texts(dict values) except -1
cdef list pairs_of(value, str name, left_out)
@cython.locals(found=dict, plain_map=dict)
cpdef dict numbers_in(value, str name, left_out, str agent=*)
@cython.locals(plain_map=dict)
cpdef dict texts_in(value, str name, left_out)
@cython.locals(found=list)
cdef list items_of(value, str name, left_out)
@cython.locals(found=list, i=Py_ssize_t)
cdef list texts_of(value, str name, left_out)
@cython.locals(found=list, kept=list, i=Py_ssize_t, plain=bint)
cdef list numbers_of(value, str name, left_out)
