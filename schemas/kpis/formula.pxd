# What is C in `formula.py` where it is compiled.

import cython

cdef double ABSENT_RESPONSE_TIME_MS

@cython.locals(response=double)
cdef double weighted(
    double accuracy,
    double success_rate,
    double response_time_ms,
    double throughput_tps,
    double memory_mb,
    double cpu,
    double quality,
    double reliability,
) noexcept

cdef inline double share(double x) noexcept

cdef inline double at_most_1(double x) noexcept

cdef inline double efficiency_of_resources(double throughput, double memory_mb, double cpu) noexcept

@cython.locals(cost=double, found=double)
cpdef double efficiency(double delta, double duration_minutes, double memory_used_mb) noexcept
