"""Event times of filled topics: all in the past, and the newest close to now."""

from __future__ import annotations

from evometrics.schemas.events import now_micros
from tests.benchmarks.events import SECOND

#: Event time begins at a full one, so that a run's events fill the same steps of the windows each time.
SIX_HOURS = 6 * 3600 * SECOND


def begin_of(count: int, per_second: float = 1000.0) -> int:
    """Return when the first of `count` events is to happen."""
    latest = now_micros() - round(count / per_second * SECOND)
    return latest // SIX_HOURS * SIX_HOURS
