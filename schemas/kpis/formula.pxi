# The formulas of design section 5 in C: `formula.pyx` exposes them to Python, compiled modules include them.
#
# One definition for all: a change here applies everywhere. Nothing is rounded in between, so that every
# caller gets the same bits.

from libc.math cimport isfinite

#: The formula's KPIs, in the order of `performance.FORMULA_KPIS`.
cdef enum:
    ACCURACY, SUCCESS_RATE, RESPONSE_TIME_MS, THROUGHPUT_TPS, MEMORY_USAGE_MB, CPU_UTILIZATION, OUTPUT_QUALITY,
    RELIABILITY, IN_FORMULA

#: What an absent response time counts as: it adds nothing.
DEF ABSENT_RESPONSE_TIME_MS = 10_000.0


cdef inline double share(double x) noexcept nogil:
    """x clamped to 0-1."""
    return 0.0 if not x > 0.0 else x if x < 1.0 else 1.0


cdef inline double at_most_1(double x) noexcept nogil:
    return x if x < 1.0 else 1.0


cdef inline double efficiency_of_resources(double throughput, double memory_mb, double cpu) noexcept nogil:
    """min(1, throughput / (memory in GB + cpu share)), 0 unless both resources are > 0."""
    if not (memory_mb > 0.0 and cpu > 0.0):
        return 0.0
    return at_most_1(throughput / (memory_mb / 1000 + cpu))


cdef inline double absent(Py_ssize_t kpi) noexcept nogil:
    """What a KPI of the formula counts as where it was not measured."""
    return ABSENT_RESPONSE_TIME_MS if kpi == RESPONSE_TIME_MS else 0.0


cdef inline double weighted(const double* kpis) noexcept nogil:
    """The weighted performance, within 0 and 1, of the `IN_FORMULA` KPIs in their order above."""
    cdef double response = 1 - kpis[RESPONSE_TIME_MS] / ABSENT_RESPONSE_TIME_MS
    return share(
        0.25 * kpis[ACCURACY]
        + 0.20 * kpis[SUCCESS_RATE]
        + 0.15 * (response if response > 0.0 else 0.0)
        + 0.10 * at_most_1(kpis[THROUGHPUT_TPS] / 10)
        + 0.10 * efficiency_of_resources(
            kpis[THROUGHPUT_TPS], kpis[MEMORY_USAGE_MB], kpis[CPU_UTILIZATION]
        )
        + 0.10 * kpis[OUTPUT_QUALITY]
        + 0.10 * kpis[RELIABILITY]
    )


cdef inline double gain_per_cost(double delta, double minutes, double memory_mb) noexcept nogil:
    """delta / (minutes * memory in GB), 0 unless all three are > 0 (specification, section 4)."""
    cdef double cost, found
    if not (delta > 0.0 and minutes > 0.0 and memory_mb > 0.0):
        return 0.0
    cost = minutes * memory_mb / 1000
    if not cost > 0.0:
        return 0.0
    found = delta / cost
    return found if isfinite(found) else 0.0
