"""Calculations on KPI snapshots and attempts: pure functions (design section 4).

Used by both the stream and replay, so that they give equal rows. Calculations on evolutions are in
`schemas.evolutions.outcome`.
"""

from __future__ import annotations

import math
from operator import attrgetter
from typing import NamedTuple

from evometrics.schemas.events import KpiDelta, KpiSnapshot
from evometrics.schemas.evolutions.outcome import difference, kpi_differences
from evometrics.schemas.ids import derived_id
from evometrics.schemas.kpis.performance import (
    KPI_NAMES,
    RETAIN,
    KpiThresholds,
    judged,
    recommended,
    scored,
)

#: Standard normal quantile of 97.5 %, for two-sided 95 % intervals.
Z_95 = 1.959963984540054
#: Takes a snapshot's KPIs in the order of `KPI_NAMES`.
values_of = attrgetter(*KPI_NAMES)


class Measured(NamedTuple):
    """A snapshot in the form in which it is compared with its predecessor and successor.

    Attributes:
        kpis: its measurements (`kpis_of`).
        overall: its performance.
    """

    snapshot: KpiSnapshot
    kpis: dict[str, float]
    overall: float | None


def kpis_of(snapshot: KpiSnapshot) -> dict[str, float]:
    """Return a snapshot's measurements by name, including the extra KPIs and overall_performance."""
    kpis = dict(snapshot.extra)
    for name, value in zip(KPI_NAMES, values_of(snapshot), strict=True):
        if value is not None:
            kpis[name] = value
    if snapshot.overall_performance is not None:
        kpis["overall_performance"] = snapshot.overall_performance
    return kpis


def measured(snapshot: KpiSnapshot) -> Measured:
    """Return a snapshot with its KPIs and performance."""
    kpis = kpis_of(snapshot)
    return Measured(snapshot, kpis, scored(kpis, snapshot.objective, snapshot.direction))


def kpi_delta(now: Measured, before: Measured | None, thresholds: KpiThresholds | None = None) -> KpiDelta:
    """Return a snapshot minus the agent's previous snapshot in event time (None for its first).

    A stated objective is not judged by the thresholds, and performances are compared where it is the same.
    """
    snapshot, kpis, overall = now
    previous = before.snapshot if before is not None else None
    aim = snapshot.objective, snapshot.direction
    return KpiDelta(
        event_id=derived_id("kpi_delta", snapshot.event_id),
        agent_id=snapshot.agent_id,
        node_id=snapshot.node_id,
        occurred_at=snapshot.occurred_at,
        snapshot_event_id=snapshot.event_id,
        phase=snapshot.phase,
        previous_event_id=previous.event_id if previous is not None else None,
        previous_at=previous.occurred_at if previous is not None else None,
        overall_performance=overall,
        overall_delta=(
            difference(overall, before.overall)
            if before is not None and aim == (before.snapshot.objective, before.snapshot.direction)
            else None
        ),
        deltas=kpi_differences(kpis, before.kpis) if before is not None else {},
        recommendation=recommended(kpis, overall, thresholds) if judged(*aim) else RETAIN,
        version=previous.occurred_at if previous is not None else 0,
    )


def wilson_interval(successes: int, attempts: int) -> tuple[float, float]:
    """Return the Wilson 95 % score interval of a proportion (E. B. Wilson, JASA 22, 1927).

    Raises ValueError unless there is at least one attempt.
    """
    if attempts <= 0:
        raise ValueError("a success rate needs at least one attempt")
    share, z2 = successes / attempts, Z_95 * Z_95
    centre = share + z2 / (2 * attempts)
    spread = Z_95 * math.sqrt(share * (1 - share) / attempts + z2 / (4 * attempts * attempts))
    scale = 1 + z2 / attempts
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
