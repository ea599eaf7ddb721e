# cython: language_level=3, cdivision=True
"""The formulas over KPIs for Python; `formula.pxi` defines them, `formula.pyi` has the signatures."""

include "formula.pxi"

#: What each KPI of the formula counts as where it is absent, in their order.
ABSENT = tuple([absent(i) for i in range(IN_FORMULA)])


def weighted_performance(kpis):
    cdef double values[IN_FORMULA]
    cdef Py_ssize_t i
    if len(kpis) != IN_FORMULA:
        raise ValueError(f"the formula has {IN_FORMULA} KPIs, not {len(kpis)}")
    for i in range(IN_FORMULA):
        values[i] = kpis[i]
    return weighted(values)


def efficiency(double delta, double duration_minutes, double memory_used_mb):
    return gain_per_cost(delta, duration_minutes, memory_used_mb)
