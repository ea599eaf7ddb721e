# cython: language_level=3, boundscheck=False, wraparound=False
"""Sums over the steps of a window, compiled: each completion changes steps in five scopes' windows.

Arguments and results are described in `steps.pyi`.
"""

from cpython.dict cimport PyDict_GetItem, PyDict_Next, PyDict_Size
from cpython.object cimport PyObject
from libc.stdint cimport int64_t


def affected_steps(window, dict totals not None, changed):
    cdef int64_t start, step, span = window.steps
    cdef set steps
    if PyDict_Size(totals) == 1:
        return [each for each in changed if each in totals]
    steps = set()
    for each in changed:
        start = each
        if PyDict_Size(totals) > span:
            for step in range(start, start + span):
                if step in totals:
                    steps.add(step)
        else:
            for key in totals:
                if start <= <int64_t>key < start + span:
                    steps.add(key)
    return sorted(steps)


def within(window, dict totals not None, int64_t last_step):
    cdef int64_t step, span = window.steps, first_step = last_step - span + 1, attempts = 0, successes = 0
    cdef PyObject* key
    cdef PyObject* known
    cdef Py_ssize_t place = 0
    if PyDict_Size(totals) > span:
        for step in range(first_step, last_step + 1):
            key_object = step
            known = PyDict_GetItem(totals, key_object)
            if known != NULL:
                attempts += <int64_t>(<tuple>known)[0]
                successes += <int64_t>(<tuple>known)[1]
    else:
        while PyDict_Next(totals, &place, &key, &known):
            if first_step <= <int64_t>(<object>key) <= last_step:
                attempts += <int64_t>(<tuple>known)[0]
                successes += <int64_t>(<tuple>known)[1]
    return attempts, successes
