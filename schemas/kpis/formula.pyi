"""The formulas over KPIs (design section 5, specification section 4); memory in MB, shares 0-1."""

#: What an absent response time counts as, ms: it adds nothing.
RESPONSE_TIME_OF_NONE: float

def weighted_performance(
    accuracy: float,
    success_rate: float,
    response_time_ms: float,
    throughput_tps: float,
    memory_usage_mb: float,
    cpu_utilization: float,
    output_quality: float,
    reliability: float,
) -> float:
    """Return the weighted performance, clamped to 0-1.

    A KPI that is absent is 0, an absent response time `RESPONSE_TIME_OF_NONE`.
    """

def efficiency(delta: float, duration_minutes: float, memory_used_mb: float) -> float:
    """Return delta / (minutes * memory in GB), 0 unless all three are > 0."""
