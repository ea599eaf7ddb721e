# cython: language_level=3, cdivision=True
"""The formulas over KPIs for Python; `formula.pxi` defines them, `formula.pyi` has the signatures."""

include "formula.pxi"

RESPONSE_TIME_OF_NONE = ABSENT_RESPONSE_TIME_MS


def weighted_performance(
    double accuracy,
    double success_rate,
    double response_time_ms,
    double throughput_tps,
    double memory_usage_mb,
    double cpu_utilization,
    double output_quality,
    double reliability,
):
    return weighted(
        accuracy,
        success_rate,
        response_time_ms,
        throughput_tps,
        memory_usage_mb,
        cpu_utilization,
        output_quality,
        reliability,
    )


def efficiency(double delta, double duration_minutes, double memory_used_mb):
    return gain_per_cost(delta, duration_minutes, memory_used_mb)
