"""What an evolution achieved and cost: pure functions of its events (design section 4).

One definition for the stream, for replays and for a node's own history file, so that all produce equal rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evometrics.schemas.events import EvolutionCompleted, EvolutionMetrics, EvolutionStarted
from evometrics.schemas.ids import derived_id
from evometrics.schemas.kpis import formula
from evometrics.schemas.kpis.performance import improvement, scored

ABANDONED = "abandoned"
#: Event time after which an evolution that has started and sent nothing since counts as abandoned.
ABANDONED_AFTER_SECONDS = 86_400
#: Beginning of the identity of a completion's row; the completion's event id follows.
METRICS_IDENTITY = "evolution_metrics"
MICROS_PER_MINUTE = 60_000_000
#: Figures of a completion that its row has, with their names in the row.
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
#: What efficiency is computed from besides the gain.
COSTS = frozenset({"duration_minutes", "memory_used_mb"})


def kpi_differences(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Return after minus before for the KPIs in both maps."""
    return {name: value - before[name] for name, value in after.items() if name in before}


def difference(after: float | None, before: float | None) -> float | None:
    """Return after minus before, None where either is unknown."""
    return None if after is None or before is None else after - before


def relative(delta: float | None, baseline: float | None) -> float | None:
    """Return delta / |baseline|, so positive where it got better; None where it is 0 or either is unknown."""
    return delta / abs(baseline) if delta is not None and baseline else None


def efficiency(delta: float | None, duration_minutes: float, memory_used_mb: float) -> float:
    """Return delta / (minutes * memory in GB), 0 unless all three are > 0 (specification, section 4)."""
    return 0.0 if delta is None else formula.efficiency(delta, duration_minutes, memory_used_mb)


def unmeasured_in_row(unmeasured: Iterable[str], memory_used_mb: float) -> list[str]:
    """Return the figures that are unknown in a completion's row, from those unmeasured in the completion.

    A process never uses 0 MB: earlier versions wrote that where memory was not measured.
    """
    names = list(dict.fromkeys(CARRIED[name] for name in unmeasured if name in CARRIED))
    return [*names, EFFICIENCY] if memory_used_mb == 0 or not COSTS.isdisjoint(names) else names


def parents_of(done: EvolutionCompleted) -> list[str]:
    """Return all agents from whose states an agent was made; earlier versions named the first alone."""
    if done.parent_agent_ids or done.parent_agent_id is None:
        return done.parent_agent_ids
    return [done.parent_agent_id]


def evolution_metrics(done: EvolutionCompleted) -> EvolutionMetrics:
    """Return the row of a completion: what the evolution achieved and cost, from the completion alone.

    Stream workers write the same row straight from a completion's bytes (`put_row` in
    `streams/rows/rows.pyx`): a change here is one there. `test_metrics_rows.py` holds the two equal.
    """
    after = scored(done.post_kpis, done.objective, done.direction)
    before = scored(done.pre_kpis, done.objective, done.direction)
    delta = improvement(after, before, done.direction)
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
        parent_agent_ids=parents_of(done),
        cost_usd=done.cost_usd,
        tokens_in=done.tokens_in,
        tokens_out=done.tokens_out,
        evaluations=done.evaluations,
        model=done.model,
        run_id=done.run_id,
        objective=done.objective,
        direction=done.direction,
        candidate_hash=done.candidate_hash,
    )


def abandoned_metrics(start: EvolutionStarted, timeout_micros: int) -> EvolutionMetrics:
    """Return the report of an evolution that began and sent nothing more within the timeout."""
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
        baseline_performance=scored(start.pre_kpis, start.objective, start.direction),
        metadata=start.metadata,
        model=start.model,
        run_id=start.run_id,
        objective=start.objective,
        direction=start.direction,
    )
