"""The formulas over KPIs (design section 5, specification section 4); memory in MB, shares 0-1."""

from collections.abc import Sequence

#: What each KPI of the formula counts as where it is absent, in the order of `performance.FORMULA_KPIS`: 0,
#: and for the response time so many ms that it adds nothing.
ABSENT: tuple[float, ...]

def weighted_performance(kpis: Sequence[float]) -> float:
    """Return the weighted performance, clamped to 0-1, of the formula's KPIs in their order.

    Raises `ValueError` where they are not as many as the formula has.
    """

def efficiency(delta: float, duration_minutes: float, memory_used_mb: float) -> float:
    """Return delta / (minutes * memory in GB), 0 unless all three are > 0."""
