# cython: annotation_typing=False, cdivision=True
"""The formulas over KPIs (design section 5, specification section 4); memory in MB, shares 0-1.

One definition for all: compiled, `streams.rows` calls these functions in C. Nothing is rounded in between, so
that every caller gets the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

#: What an absent response time counts as, milliseconds: it adds nothing.
ABSENT_RESPONSE_TIME_MS = 10_000.0
#: What each KPI of the formula counts as where it is absent, in the order of `performance.FORMULA_KPIS`: 0,
#: and for the response time so many ms that it adds nothing.
ABSENT = (0.0, 0.0, ABSENT_RESPONSE_TIME_MS, 0.0, 0.0, 0.0, 0.0, 0.0)


def weighted_performance(kpis: Sequence[float]) -> float:
    """Return the weighted performance, clamped to 0-1, of the formula's KPIs in their order.

    Raises `ValueError` where they are not as many as the formula has.
    """
    if len(kpis) != len(ABSENT):
        raise ValueError(f"the formula has {len(ABSENT)} KPIs, not {len(kpis)}")
    accuracy, success_rate, response_time_ms, throughput, memory_mb, cpu, quality, reliability = kpis
    return weighted(
        accuracy, success_rate, response_time_ms, throughput, memory_mb, cpu, quality, reliability
    )


def weighted(
    accuracy: float,
    success_rate: float,
    response_time_ms: float,
    throughput_tps: float,
    memory_mb: float,
    cpu: float,
    quality: float,
    reliability: float,
) -> float:
    """Return the weighted performance, within 0 and 1, of the formula's KPIs."""
    response = 1.0 - response_time_ms / ABSENT_RESPONSE_TIME_MS
    return share(
        0.25 * accuracy
        + 0.20 * success_rate
        + 0.15 * (response if response > 0.0 else 0.0)
        + 0.10 * at_most_1(throughput_tps / 10.0)
        + 0.10 * efficiency_of_resources(throughput_tps, memory_mb, cpu)
        + 0.10 * quality
        + 0.10 * reliability
    )


def share(x: float) -> float:
    """Return a number clamped to 0-1."""
    return 0.0 if not x > 0.0 else x if x < 1.0 else 1.0


def at_most_1(x: float) -> float:
    """Return a number, 1 for a larger one and for one that is none."""
    return x if x < 1.0 else 1.0


def efficiency_of_resources(throughput: float, memory_mb: float, cpu: float) -> float:
    """Return min(1, throughput / (memory in GB + cpu share)), 0 unless both resources are > 0."""
    if not (memory_mb > 0.0 and cpu > 0.0):
        return 0.0
    return at_most_1(throughput / (memory_mb / 1000.0 + cpu))


def efficiency(delta: float, duration_minutes: float, memory_used_mb: float) -> float:
    """Return delta / (minutes * memory in GB), 0 unless all three are > 0."""
    if not (delta > 0.0 and duration_minutes > 0.0 and memory_used_mb > 0.0):
        return 0.0
    cost = duration_minutes * memory_used_mb / 1000.0
    if not cost > 0.0:
        return 0.0
    found = delta / cost
    return found if found - found == 0.0 else 0.0  # not finite where the cost is next to nothing
