"""From the objects orchestrators hand over to typed events: pure functions, design section 6.

An orchestrator's event is any object; an attribute that is missing, or None, takes its default.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evometrics.producers.resources import Reading, Usage
from evometrics.producers.values import finite, given, items, numbers, plain, text, texts, whole
from evometrics.schemas.binary import fits
from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted, KpiSnapshot, micros
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.kpis import KPI_NAMES, performance
from evometrics.schemas.validation import InvalidEvent


@dataclass(slots=True)
class ActiveEvolution:
    """An evolution that has started and not completed: its start, and what its progress gave.

    Attributes:
        started: the event that was recorded.
        begun: `time.perf_counter()` when it was recorded.
        fitness: fitness by iteration, from `record_evolution_progress`.
    """

    started: EvolutionStarted
    begun: float
    fitness: list[float] = field(default_factory=list)


def evolution_id(agent_id: str, timestamp: float) -> str:
    """Return the id of an evolution that was given none."""
    return f"{agent_id}-{int(timestamp)}"


def timestamp_of(event: object, record: str) -> float:
    """Return the event's time in Unix seconds, now where it has none."""
    value = getattr(event, "timestamp", None)
    return time.time() if value is None else finite(value, record, "timestamp")


def generation(event: object, record: str) -> int | None:
    """Return the generation an event leads to; `generation_change` is a number, or from and to."""
    value = given(event, "generation", "generation_change")
    if isinstance(value, tuple | list):
        value = value[-1] if value else None
    return None if value is None else whole(value, record, "generation_change")


def errors_and_warnings(insights: Iterable[str]) -> tuple[int, int]:
    """Count the insights that begin with "error", and those that begin with "warn", in any case."""
    beginnings = [insight[:5].lower() for insight in insights]
    return beginnings.count("error"), len([word for word in beginnings if word[:4] == "warn"])


def rounds_to_best(fitness: list[float]) -> int:
    """Return how many iterations it took until the fitness stopped improving."""
    return fitness.index(max(fitness)) + 1 if fitness else 0


def started_event(event: object, node_id: str) -> EvolutionStarted:
    """Build the start of an evolution. Raises `InvalidEvent`; what it lets through, `validate` checks."""
    record = EvolutionStarted.record
    agent, when = getattr(event, "agent_id", None) or "", timestamp_of(event, record)
    target = getattr(event, "target_gain", None)
    return EvolutionStarted(
        event_id=new_event_id(),
        agent_id=agent,
        node_id=node_id,
        occurred_at=micros(when),
        evolution_id=text(getattr(event, "evolution_id", None)) or evolution_id(agent, when),
        evolution_type=getattr(event, "evolution_type", None) or "unknown",
        generation=generation(event, record) or 0,
        strategy=given(event, "strategy", "strategy_used", "strategy_name") or "",
        risk_level=getattr(event, "risk_level", None) or "",
        target_gain=None if target is None else finite(target, record, "target_gain"),
        trigger_reason=text(getattr(event, "trigger_reason", None)),
        pre_kpis=numbers(given(event, "pre_evolution_kpis", "pre_kpis"), record, "pre_kpis"),
        metadata=texts(getattr(event, "metadata", None), record),
    )


def status_of(event: object, success: bool, rolled_back: bool) -> str:
    """Return succeeded, failed or rolled_back; the event's own status where it has one."""
    own = getattr(event, "status", None)
    if own is not None:
        return str(getattr(own, "value", own))
    if rolled_back and not success:
        return "rolled_back"
    return "succeeded" if success else "failed"


def completed_event(
    event: object, node_id: str, active: ActiveEvolution | None, usage: Usage | None
) -> EvolutionCompleted:
    """Build the completion of an evolution; what it leaves out comes from its start and its readings."""
    record = EvolutionCompleted.record
    agent, when = getattr(event, "agent_id", None) or "", timestamp_of(event, record)
    started = active.started if active else None
    duration = getattr(event, "duration_seconds", None)
    if duration is not None:
        duration = finite(duration, record, "duration_seconds")
    elif active is None:
        duration = 0.0
    else:
        # A completion may carry its start's timestamp; then only the clock knows how long it took.
        between = when - active.started.occurred_at / 1e6
        duration = between if between > 0 else time.perf_counter() - active.begun
    began = started.occurred_at if started else max(0, micros(when - duration))
    pre = given(event, "pre_evolution_kpis", "pre_kpis")
    target, level = getattr(event, "target_gain", None), generation(event, record)
    insights = [text(i) for i in items(getattr(event, "insights", None), record, "insights")]
    fitness = items(getattr(event, "fitness_trajectory", None), record, "fitness_trajectory")
    if not fits("array of double", fitness):
        fitness = [plain(f) for f in fitness]
    if not fitness and active:
        fitness = list(active.fitness)
    errors, warnings = errors_and_warnings(insights)
    rounds = getattr(event, "convergence_iterations", None)
    success = bool(getattr(event, "success", None))
    rolled_back = bool(getattr(event, "rollback_performed", None))
    result = EvolutionCompleted(
        event_id=new_event_id(),
        agent_id=agent,
        node_id=node_id,
        occurred_at=micros(when),
        started_at=began,
        evolution_id=(
            started.evolution_id
            if started
            else text(getattr(event, "evolution_id", None)) or evolution_id(agent, began / 1e6)
        ),
        evolution_type=getattr(event, "evolution_type", None)
        or (started.evolution_type if started else "unknown"),
        generation=level if level is not None else started.generation if started else 0,
        strategy_used=given(event, "strategy_used", "strategy", "strategy_name")
        or (started.strategy if started else ""),
        risk_level=getattr(event, "risk_level", None) or (started.risk_level if started else ""),
        trigger_reason=text(getattr(event, "trigger_reason", None))
        or (started.trigger_reason if started else ""),
        pre_kpis=numbers(pre, record, "pre_kpis") or (dict(started.pre_kpis) if started else {}),
        post_kpis=numbers(given(event, "post_evolution_kpis", "post_kpis"), record, "post_kpis"),
        success=success,
        status=status_of(event, success, rolled_back),
        duration_seconds=duration,
        error_count=errors,
        warning_count=warnings,
        rollback_performed=rolled_back,
        convergence_iterations=(
            whole(rounds, record, "convergence_iterations") if rounds is not None else rounds_to_best(fitness)
        ),
        fitness_trajectory=fitness,
        insights=insights,
        metadata=texts(getattr(event, "metadata", None), record),
    )
    result.target_gain = (
        finite(target, record, "target_gain")
        if target is not None
        else started.target_gain
        if started
        else None
    )
    if started and started.metadata:
        result.metadata = {**started.metadata, **result.metadata}
    parent, cost = getattr(event, "parent_agent_id", None), getattr(event, "cost_usd", None)
    result.parent_agent_id = None if parent is None else text(parent)
    result.cost_usd = None if cost is None else finite(cost, record, "cost_usd")
    set_usage(result, event, usage)
    return result


def set_usage(result: EvolutionCompleted, event: object, usage: Usage | None) -> None:
    """Fill in the resources: the event's own figures (an agent that ran elsewhere), else the sampler's."""
    record = result.record
    memory, cpu = getattr(event, "memory_used_mb", None), getattr(event, "cpu_percent_avg", None)
    gpu, network = getattr(event, "gpu_memory_mb", None), getattr(event, "network_bytes_transferred", None)
    if memory is not None:
        result.memory_used_mb = finite(memory, record, "memory_used_mb")
    elif usage:
        result.memory_used_mb = usage.memory_used_mb
    if cpu is not None:
        result.cpu_percent_avg = finite(cpu, record, "cpu_percent_avg")
    elif usage:
        result.cpu_percent_avg = usage.cpu_percent_avg
    if gpu is not None:
        result.gpu_memory_mb = finite(gpu, record, "gpu_memory_mb")
    elif usage:
        result.gpu_memory_mb = usage.gpu_memory_mb
    if network is not None:
        result.network_bytes_transferred = whole(network, record, "network_bytes_transferred")
    elif usage:
        result.network_bytes_transferred = usage.network_bytes_transferred


def set_reading(event: Any, reading: Reading) -> None:
    """Fill in the process's present figures."""
    event.cpu_percent, event.memory_mb = reading.cpu_percent, reading.memory_mb


META_KPIS = ("overall_performance", "confidence_interval")


def kpi_snapshot(
    agent_id: str,
    kpis: Mapping[str, float],
    node_id: str,
    *,
    phase: str,
    evolution_id: str | None,
    timestamp: float | None,
) -> KpiSnapshot:
    """Build a snapshot: standard KPIs into their fields, any other name into `extra`."""
    record = KpiSnapshot.record
    values = numbers(kpis, record, "kpis")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, float):
            raise InvalidEvent(record, str(name), f"{value!r} is not a number; leave the KPI out or give one")
    snapshot = KpiSnapshot(
        event_id=new_event_id(),
        agent_id=agent_id or "",
        node_id=node_id,
        occurred_at=micros(time.time() if timestamp is None else finite(timestamp, record, "timestamp")),
        evolution_id=evolution_id,
        phase=phase,
    )
    for name, value in values.items():
        if name in KPI_NAMES or name in META_KPIS:
            setattr(snapshot, name, value)
        elif name == "evaluation_count":
            snapshot.evaluation_count = whole(value, record, name)
        else:
            snapshot.extra[name] = value
    if snapshot.overall_performance is None:
        snapshot.overall_performance = performance(values)
    return snapshot
