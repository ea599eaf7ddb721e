"""What is computed from one event, or from two: pure functions over events (design section 4).

Used by the stream and by replay alike, so that both give equal rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import NamedTuple

from evometrics.schemas import formula
from evometrics.schemas.events import (
    EvolutionCompleted,
    EvolutionMetrics,
    EvolutionStarted,
    KpiDelta,
    KpiSnapshot,
)
from evometrics.schemas.ids import derived_id
from evometrics.schemas.kpis import KPI_NAMES, KpiThresholds, performance, recommended

ABANDONED = "abandoned"
#: What the identity of a completion's row begins with; the completion's event id follows.
METRICS_IDENTITY = "evolution_metrics"
#: Standard normal quantile of 97.5 %, for two-sided 95 % intervals.
Z_95 = 1.959963984540054
MICROS_PER_MINUTE = 60_000_000
#: Figures of a completion that its row has, by the names they have there.
CARRIED = {
    "duration_seconds": "duration_minutes",
    **{
        name: name
        for name in (
            *(
                "memory_used_mb",
                "cpu_percent_avg",
                "gpu_memory_mb",
                "network_bytes_transferred",
            ),
            *("error_count", "warning_count", "convergence_iterations"),
        )
    },
}
EFFICIENCY = "efficiency"
#: What efficiency is computed from, besides the gain.
COSTS = frozenset({"duration_minutes", "memory_used_mb"})
#: Takes a snapshot's KPIs in the order of `KPI_NAMES`.
values_of = attrgetter(*KPI_NAMES)


def kpi_differences(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Return after minus before for the KPIs in both maps."""
    return {name: value - before[name] for name, value in after.items() if name in before}


def difference(after: float | None, before: float | None) -> float | None:
    """Return after minus before, None where either is unknown."""
    return None if after is None or before is None else after - before


def relative(delta: float | None, baseline: float | None) -> float | None:
    """Return delta / baseline, None where the baseline is 0 or either is unknown."""
    return delta / baseline if delta is not None and baseline else None


def efficiency(delta: float | None, duration_minutes: float, memory_used_mb: float) -> float:
    """Return delta / (minutes * memory in GB), 0 unless all three are > 0 (specification, section 4)."""
    return 0.0 if delta is None else formula.efficiency(delta, duration_minutes, memory_used_mb)


def unmeasured_in_row(unmeasured: Iterable[str], memory_used_mb: float) -> list[str]:
    """Return the figures that are unknown in a completion's row, from those unmeasured in the completion.

    A process never takes 0 MB: earlier versions wrote it where memory was not measured.
    """
    names = list(dict.fromkeys(CARRIED[name] for name in unmeasured if name in CARRIED))
    return [*names, EFFICIENCY] if memory_used_mb == 0 or not COSTS.isdisjoint(names) else names


def evolution_metrics(done: EvolutionCompleted) -> EvolutionMetrics:
    """Return the row of a completion: what the evolution achieved and cost, from its completion alone."""
    after, before = performance(done.post_kpis), performance(done.pre_kpis)
    delta = difference(after, before)
    unmeasured = unmeasured_in_row(done.unmeasured, done.memory_used_mb)
    minutes = 0.0 if "duration_minutes" in unmeasured else done.duration_seconds / 60
    memory = None if "memory_used_mb" in unmeasured else done.memory_used_mb or None
    return EvolutionMetrics(
        event_id=derived_id(METRICS_IDENTITY, done.event_id),
        agent_id=done.agent_id,
        node_id=done.node_id,
        occurred_at=done.occurred_at,
        source_event_id=done.event_id,
        evolution_id=done.evolution_id,
        started_at=done.started_at,
        evolution_type=done.evolution_type,
        generation=done.generation,
        strategy_used=done.strategy_used,
        risk_level=done.risk_level,
        target_gain=done.target_gain,
        trigger_reason=done.trigger_reason,
        status=done.status,
        success=done.success,
        duration_minutes=minutes,
        performance_score=after,
        baseline_performance=before,
        improvement_delta=delta,
        relative_improvement=relative(delta, before),
        quality_score=done.post_kpis.get("output_quality"),
        efficiency=efficiency(delta, minutes, memory or 0.0),
        kpi_deltas=kpi_differences(done.post_kpis, done.pre_kpis),
        memory_used_mb=memory,
        cpu_percent_avg=None if "cpu_percent_avg" in unmeasured else done.cpu_percent_avg,
        gpu_memory_mb=done.gpu_memory_mb,
        network_bytes_transferred=done.network_bytes_transferred,
        error_count=done.error_count,
        warning_count=done.warning_count,
        rollback_performed=done.rollback_performed,
        convergence_iterations=done.convergence_iterations,
        fitness_trajectory=done.fitness_trajectory,
        metadata=done.metadata,
        unmeasured=unmeasured,
    )


def abandoned_metrics(start: EvolutionStarted, timeout_micros: int) -> EvolutionMetrics:
    """Return the report of an evolution that began and was not heard of again within the timeout."""
    return EvolutionMetrics(
        event_id=derived_id("evolution_abandoned", start.event_id),
        agent_id=start.agent_id,
        node_id=start.node_id,
        occurred_at=start.occurred_at + timeout_micros,
        source_event_id=start.event_id,
        evolution_id=start.evolution_id,
        started_at=start.occurred_at,
        evolution_type=start.evolution_type,
        generation=start.generation,
        strategy_used=start.strategy,
        risk_level=start.risk_level,
        target_gain=start.target_gain,
        trigger_reason=start.trigger_reason,
        status=ABANDONED,
        success=False,
        duration_minutes=timeout_micros / MICROS_PER_MINUTE,
        baseline_performance=performance(start.pre_kpis),
        metadata=start.metadata,
    )


class Measured(NamedTuple):
    """A snapshot as it is compared with the ones before and after it.

    Attributes:
        kpis: what it measured (`kpis_of`).
        overall: its performance.
    """

    snapshot: KpiSnapshot
    kpis: dict[str, float]
    overall: float | None


def kpis_of(snapshot: KpiSnapshot) -> dict[str, float]:
    """Return what a snapshot measured, by name, the extra KPIs and overall_performance included."""
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
    return Measured(snapshot, kpis, performance(kpis))


def kpi_delta(now: Measured, before: Measured | None, thresholds: KpiThresholds | None = None) -> KpiDelta:
    """Return a snapshot minus the agent's snapshot before it in event time (None for its first)."""
    snapshot, kpis, overall = now
    previous = before.snapshot if before is not None else None
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
        overall_delta=difference(overall, before.overall) if before is not None else None,
        deltas=kpi_differences(kpis, before.kpis) if before is not None else {},
        recommendation=recommended(kpis, overall, thresholds),
        version=previous.occurred_at if previous is not None else 0,
    )


def wilson_interval(successes: int, attempts: int) -> tuple[float, float]:
    """Return the Wilson 95 % score interval of a proportion (E. B. Wilson, JASA 22, 1927).

    Raises ValueError without at least one attempt.
    """
    if attempts <= 0:
        raise ValueError("a success rate needs at least one attempt")
    share, z2 = successes / attempts, Z_95 * Z_95
    centre = share + z2 / (2 * attempts)
    spread = Z_95 * math.sqrt(share * (1 - share) / attempts + z2 / (4 * attempts * attempts))
    scale = 1 + z2 / attempts
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
