# Values as orchestrators hand them over, turned into what the schemas take, or refused by name.
#
# `convert.pyx` includes it; `convert.pyi` says what each function takes, returns and raises.

import json
from collections.abc import Iterable, Mapping
from numbers import Real

from cpython.dict cimport PyDict_CheckExact, PyDict_Copy, PyDict_Next
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_Check, PyUnicode_GET_LENGTH, PyUnicode_READ_CHAR
from libc.math cimport isfinite

from evometrics.schemas.validation import InvalidEvent


def given(event, *names):
    for name in names:
        value = getattr(event, name, None)
        if value is not None:
            return value
    return None


cdef inline object first_given(event, first, second):
    """What `given` does with two names."""
    value = getattr(event, first, None)
    return getattr(event, second, None) if value is None else value


cpdef object finite(value, record, name):
    if PyFloat_CheckExact(value) and isfinite(PyFloat_AS_DOUBLE(value)):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidEvent(record, name, f"{value!r} is no number") from None
    if not isfinite(PyFloat_AS_DOUBLE(number)):
        raise InvalidEvent(record, name, f"{value!r} is not finite")
    return number


cdef inline object finite_or_none(value, record, name):
    return None if value is None else finite(value, record, name)


cpdef object whole(value, record, name):
    if PyLong_CheckExact(value):
        return value
    number = finite(value, record, name)
    if number != int(number):
        raise InvalidEvent(record, name, f"{value!r} is no whole number")
    return int(number)


cdef inline object text(value):
    """Text as it is and anything else as JSON; None as empty."""
    if PyUnicode_Check(value):
        return value
    return "" if value is None else json.dumps(value, default=str)


cdef inline object plain(value):
    """Any real number as float (`numpy.float32` is none to Avro), anything else unchanged."""
    if PyFloat_CheckExact(value) or isinstance(value, bool) or not isinstance(value, Real):
        return value
    return float(value)


cdef bint all_floats(dict values):
    cdef PyObject *value
    cdef Py_ssize_t place = 0
    while PyDict_Next(values, &place, NULL, &value):
        if not PyFloat_CheckExact(<object>value):
            return False
    return True


cdef bint all_texts(dict values):
    cdef PyObject *name
    cdef PyObject *value
    cdef Py_ssize_t place = 0
    while PyDict_Next(values, &place, &name, &value):
        if not (PyUnicode_Check(<object>name) and PyUnicode_Check(<object>value)):
            return False
    return True


cdef dict numbers(value, record, name):
    """A KPI map with plain floats: numpy's numbers count, anything else is left for validation."""
    if value is None:
        return {}
    if PyDict_CheckExact(value) and all_floats(value):
        return PyDict_Copy(value)
    if not isinstance(value, (dict, Mapping)):
        raise InvalidEvent(record, name, f"{type(value).__name__} is no map of KPI names to numbers")
    return {key: plain(item) for key, item in value.items()}


cdef dict texts(value, record):
    """Metadata as text by name."""
    if value is None:
        return {}
    if PyDict_CheckExact(value) and all_texts(value):
        return PyDict_Copy(value)
    if not isinstance(value, (dict, Mapping)):
        raise InvalidEvent(record, "metadata", f"{type(value).__name__} is no map")
    return {text(key): text(item) for key, item in value.items()}


cdef list items(value, record, name):
    """A list of any iterable but text."""
    if value is None:
        return []
    if isinstance(value, str) or not isinstance(value, (list, Iterable)):
        raise InvalidEvent(record, name, f"{type(value).__name__} is no list")
    return list(value)


cdef list texts_of(value, record, name):
    """A list of texts."""
    cdef list found = items(value, record, name)
    cdef Py_ssize_t i
    for i in range(len(found)):
        if not PyUnicode_Check(<object>PyList_GET_ITEM(found, i)):
            found[i] = text(found[i])
    return found


cdef list numbers_of(value, record, name):
    """A list with plain floats; what is no number is left for validation."""
    cdef list found = items(value, record, name)
    cdef Py_ssize_t i
    for i in range(len(found)):
        if not PyFloat_CheckExact(<object>PyList_GET_ITEM(found, i)):
            found[i] = plain(found[i])
    return found
