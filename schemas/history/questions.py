"""Arguments and results of the specification's four questions, for ClickHouse and a node's own history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from evometrics.schemas.events import micros

#: Resources that `get_resource_usage_trends` accepts.
RESOURCES = (
    "memory_used_mb",
    "cpu_percent_avg",
    "gpu_memory_mb",
    "network_bytes_transferred",
    "duration_minutes",
)
SECONDS_PER_DAY = 86_400.0
#: Never None in the event class: 0, and named in `unmeasured`, where it is not known.
COUNTED = frozenset(
    {
        *("duration_minutes", "efficiency", "network_bytes_transferred"),
        *("error_count", "warning_count", "convergence_iterations"),
    }
)


def check_text(name: str, value: str) -> str:
    """Return the text; raise `ValueError` naming the argument where it is not text or is empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} {value!r}: give non-empty text")
    return value


def check_time(name: str, seconds: float | None) -> int | None:
    """Return Unix seconds as microseconds; raise `ValueError` naming the argument if they are not a time."""
    if seconds is None:
        return None
    if not is_real(seconds) or not 0 <= seconds < 10_000_000_000:
        raise ValueError(f"{name} {seconds!r}: give Unix seconds (of a datetime: its timestamp())")
    return micros(float(seconds))


def is_real(value: Any) -> bool:
    """Return whether a value is a number, NumPy's too, and no NaN or infinity."""
    return isinstance(value, Real) and math.isfinite(value)


def check_range(start_time: float | None, end_time: float | None) -> tuple[int | None, int | None]:
    """Return a range of time in microseconds; raise `ValueError` where it is invalid."""
    start, end = check_time("start_time", start_time), check_time("end_time", end_time)
    if start is not None and end is not None and start > end:
        raise ValueError(f"start_time {start_time} is after end_time {end_time}")
    return start, end


def check_top(limit: int, time_window_hours: float, now: float) -> int:
    """Return when the window begins, microseconds; raise `ValueError` naming an invalid argument."""
    if not isinstance(limit, Integral) or not 1 <= limit < 2**63:
        raise ValueError(f"limit {limit!r}: give a whole number, at least 1")
    if not is_real(time_window_hours) or not 0 < time_window_hours < 10**6:
        raise ValueError(f"time_window_hours {time_window_hours!r}: give hours, above 0 and below 1000000")
    return max(0, micros(now - 3600 * float(time_window_hours)))


def check_resource(metric: str) -> str:
    """Return the name of a resource; raise `ValueError` naming the known ones."""
    if not isinstance(metric, str) or metric not in RESOURCES:
        raise ValueError(f"metric {metric!r} is unknown: give one of {', '.join(RESOURCES)}")
    return metric


def rate(successes: int, completed: int) -> float:
    """Return successes / completed, NaN where nothing was completed."""
    return float(successes / completed) if completed else math.nan


def trend(agent_id: str, metric: str, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return a resource's figures; `rows`: Unix seconds, evolution_id and value, oldest first."""
    values = [value for _, _, value in rows]
    return {
        "agent_id": agent_id,
        "metric": metric,
        "count": len(values),
        "mean": math.fsum(values) / len(values) if values else None,
        "min": min(values, default=None),
        "max": max(values, default=None),
        "first": values[0] if values else None,
        "last": values[-1] if values else None,
        "slope_per_day": slope([t / SECONDS_PER_DAY for t, _, _ in rows], values),
        "points": [{"timestamp": t, "evolution_id": e, "value": v} for t, e, v in rows],
    }


def slope(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Return the least-squares slope of y over x, None where x does not vary."""
    if not xs:
        return None
    mean_x, mean_y = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    spread = math.fsum((x - mean_x) ** 2 for x in xs)
    if spread == 0:
        return None
    return math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
