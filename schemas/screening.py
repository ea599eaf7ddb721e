"""A quick look at an event that tells most good ones from those that `validate` must look at.

An event's types are certain once Avro has decoded it, or could be encoded as it is (`encode_exact`), so a
few sums and comparisons are enough. True means that `validate` would pass it; False means nothing but that
it must be asked, for it may be good for all that (a sum of finite numbers that is not finite), and only
`validate` names what is wrong.
"""

from __future__ import annotations

from math import isfinite

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.validation import (
    MAX_AHEAD_MICROS,
    NAME_CHARACTERS,
    PHASES,
    STATUSES,
    UUID_TEXT,
)


def surely_valid(event: Event, now: int) -> bool:
    """Tell whether an event of certain types surely passes `validate(event, now)`; `now` in microseconds."""
    if not (
        event.agent_id
        and event.node_id
        and 0 <= event.occurred_at <= now + MAX_AHEAD_MICROS
        and UUID_TEXT.fullmatch(event.event_id)
    ):
        return False
    if isinstance(event, EvolutionCompleted):
        return completed(event, now)
    if isinstance(event, EvolutionStarted):
        return started(event)
    return isinstance(event, KpiSnapshot) and snapshot(event)


def completed(e: EvolutionCompleted, now: int) -> bool:
    """What only a completion has."""
    # all names together under the limit of one: then each is
    names = len(e.agent_id) + len(e.node_id) + len(e.evolution_id) + len(e.evolution_type)
    names += len(e.strategy_used) + len(e.risk_level) + len(e.parent_agent_id or "")
    numbers = sum(e.pre_kpis.values()) + sum(e.post_kpis.values()) + sum(e.fitness_trajectory)
    numbers += e.duration_seconds + e.memory_used_mb + e.cpu_percent_avg
    cost = e.cost_usd or 0.0
    numbers += (e.target_gain or 0.0) + (e.gpu_memory_mb or 0.0) + cost
    return (
        names <= NAME_CHARACTERS
        and e.evolution_id != ""
        and isfinite(numbers)
        and 0 <= e.started_at <= now + MAX_AHEAD_MICROS
        and e.status in STATUSES
        and e.duration_seconds >= 0
        and e.error_count >= 0
        and e.warning_count >= 0
        and e.convergence_iterations >= 0
        and e.network_bytes_transferred >= 0
        and cost >= 0
    )


def started(e: EvolutionStarted) -> bool:
    """What only a start has."""
    names = len(e.agent_id) + len(e.node_id) + len(e.evolution_id) + len(e.evolution_type)
    names += len(e.strategy) + len(e.risk_level)
    numbers = sum(e.pre_kpis.values()) + e.cpu_percent + e.memory_mb + (e.target_gain or 0.0)
    return names <= NAME_CHARACTERS and e.evolution_id != "" and isfinite(numbers)


def snapshot(e: KpiSnapshot) -> bool:
    """What only a snapshot has."""
    measured = (
        e.accuracy,
        e.response_time_ms,
        e.throughput_tps,
        e.success_rate,
        e.memory_usage_mb,
        e.cpu_utilization,
        e.energy_efficiency,
        e.adaptation_rate,
        e.knowledge_retention,
        e.generalization_ability,
        e.output_quality,
        e.consistency,
        e.reliability,
        e.security_score,
        e.bias_score,
        e.interpretability,
        e.overall_performance,
        e.confidence_interval,
    )
    names = len(e.agent_id) + len(e.node_id) + len(e.evolution_id or "")
    numbers = sum(number for number in measured if number is not None) + sum(e.extra.values())
    return names <= NAME_CHARACTERS and isfinite(numbers) and e.phase in PHASES
