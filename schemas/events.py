"""The event classes, one for each Avro record in `avro/`; field meanings and units are in the `.avsc` docs.

Times are integer microseconds since the Unix epoch, UTC. Classes are plain data: `rules.validation.validate`
checks one before it is recorded, `wire` encodes it.

Long because it holds the fields of all ten records, which are the contract.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self


def now_micros() -> int:
    """Return the current time in microseconds since the Unix epoch."""
    return time.time_ns() // 1000


def micros(seconds: float) -> int:
    """Return Unix seconds as microseconds."""
    return round(seconds * 1_000_000)


@dataclass(slots=True, kw_only=True)
class Event:
    """Fields that every event begins with."""

    record: ClassVar[str] = ""

    event_id: str
    agent_id: str
    node_id: str
    occurred_at: int

    def to_record(self) -> dict[str, Any]:
        """Return the fields by name, as fastavro writes them (values are shared, not copied)."""
        return {name: getattr(self, name) for name in field_names(type(self))}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Build the event from fields by name, as fastavro reads them."""
        return cls(**record)

    @property
    def key(self) -> str:
        """The Kafka message key: keeps one agent's events in order."""
        return self.agent_id or self.node_id


_names: dict[type[Any], tuple[str, ...]] = {}


def field_names(cls: type[Any]) -> tuple[str, ...]:
    """Return the names of a dataclass's fields, usually an event's, in order."""
    names = _names.get(cls)
    if names is None:
        names = _names[cls] = tuple(f.name for f in dataclasses.fields(cls))
    return names


@dataclass(slots=True, kw_only=True)
class EvolutionStarted(Event):
    """An evolution of an agent has begun."""

    record: ClassVar[str] = "evolution_started"

    evolution_id: str
    evolution_type: str = "unknown"
    generation: int = 0
    strategy: str = ""
    risk_level: str = ""
    target_gain: float | None = None
    trigger_reason: str = ""
    pre_kpis: dict[str, float] = field(default_factory=dict)
    cpu_percent: float = 0.0
    memory_mb: float = 0.0
    metadata: dict[str, str] = field(default_factory=dict)
    unmeasured: list[str] = field(default_factory=list)
    snapshot_phases: list[str] = field(default_factory=list)
    run_id: str | None = None
    model: str | None = None
    objective: str | None = None
    direction: str | None = None


@dataclass(slots=True, kw_only=True)
class EvolutionProgressed(Event):
    """An evolution reports an iteration."""

    record: ClassVar[str] = "evolution_progressed"

    evolution_id: str
    iteration: int
    fitness: float
    cpu_percent: float = 0.0
    memory_mb: float = 0.0
    unmeasured: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    evaluations: int | None = None
    mean: float | None = None
    front_size: int | None = None
    extras: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class EvolutionCompleted(Event):
    """An evolution has ended; self-contained."""

    record: ClassVar[str] = "evolution_completed"

    evolution_id: str
    started_at: int
    evolution_type: str = "unknown"
    generation: int = 0
    strategy_used: str = ""
    risk_level: str = ""
    target_gain: float | None = None
    trigger_reason: str = ""
    pre_kpis: dict[str, float] = field(default_factory=dict)
    post_kpis: dict[str, float] = field(default_factory=dict)
    success: bool = False
    status: str = "failed"
    duration_seconds: float = 0.0
    error_count: int = 0
    warning_count: int = 0
    memory_used_mb: float = 0.0
    cpu_percent_avg: float = 0.0
    gpu_memory_mb: float | None = None
    network_bytes_transferred: int = 0
    rollback_performed: bool = False
    convergence_iterations: int = 0
    fitness_trajectory: list[float] = field(default_factory=list)
    insights: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    parent_agent_id: str | None = None
    cost_usd: float | None = None
    unmeasured: list[str] = field(default_factory=list)
    progress_share: float | None = None
    snapshot_phases: list[str] = field(default_factory=list)
    parent_agent_ids: list[str] = field(default_factory=list)
    tokens_in: int | None = None
    tokens_out: int | None = None
    evaluations: int | None = None
    model: str | None = None
    candidate: str | None = None
    candidate_hash: str | None = None
    run_id: str | None = None
    objective: str | None = None
    direction: str | None = None


@dataclass(slots=True, kw_only=True)
class KpiSnapshot(Event):
    """An agent's KPIs, measured at one moment."""

    record: ClassVar[str] = "kpi_snapshot"

    evolution_id: str | None = None
    phase: str = "continuous"
    accuracy: float | None = None
    response_time_ms: float | None = None
    throughput_tps: float | None = None
    success_rate: float | None = None
    memory_usage_mb: float | None = None
    cpu_utilization: float | None = None
    energy_efficiency: float | None = None
    adaptation_rate: float | None = None
    knowledge_retention: float | None = None
    generalization_ability: float | None = None
    output_quality: float | None = None
    consistency: float | None = None
    reliability: float | None = None
    security_score: float | None = None
    bias_score: float | None = None
    interpretability: float | None = None
    overall_performance: float | None = None
    evaluation_count: int | None = None
    confidence_interval: float | None = None
    extra: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    source_event_id: str | None = None
    objective: str | None = None
    direction: str | None = None


@dataclass(slots=True, kw_only=True)
class SystemEvent(Event):
    """Something about a node or the system; `agent_id` is empty where it is about no agent."""

    record: ClassVar[str] = "system_event"

    event_type: str
    data: str = "{}"


@dataclass(slots=True, kw_only=True)
class CustomMetric(Event):
    """One observation of a metric that a node's own code has registered; `agent_id` may be empty."""

    record: ClassVar[str] = "custom_metric"

    name: str
    kind: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)
    unit: str = ""
    help: str = ""


@dataclass(slots=True, kw_only=True)
class EvolutionMetrics(Event):
    """What one evolution achieved and cost."""

    record: ClassVar[str] = "evolution_metrics"

    source_event_id: str
    evolution_id: str
    started_at: int
    evolution_type: str
    generation: int
    strategy_used: str
    risk_level: str
    target_gain: float | None
    trigger_reason: str
    status: str
    success: bool
    duration_minutes: float
    performance_score: float | None = None
    baseline_performance: float | None = None
    improvement_delta: float | None = None
    relative_improvement: float | None = None
    quality_score: float | None = None
    efficiency: float = 0.0
    kpi_deltas: dict[str, float] = field(default_factory=dict)
    memory_used_mb: float | None = None
    cpu_percent_avg: float | None = None
    gpu_memory_mb: float | None = None
    network_bytes_transferred: int = 0
    error_count: int = 0
    warning_count: int = 0
    rollback_performed: bool = False
    convergence_iterations: int = 0
    fitness_trajectory: list[float] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    unmeasured: list[str] = field(default_factory=list)
    version: int = 0
    parent_agent_ids: list[str] = field(default_factory=list)
    cost_usd: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    evaluations: int | None = None
    model: str | None = None
    run_id: str | None = None
    objective: str | None = None
    direction: str | None = None
    candidate_hash: str | None = None

    def calculate_efficiency(self) -> float:
        """Return the specification's efficiency score, as computed by the stream."""
        return self.efficiency


@dataclass(slots=True, kw_only=True)
class KpiDelta(Event):
    """The difference between a KPI snapshot and the previous one in event time."""

    record: ClassVar[str] = "kpi_delta"

    snapshot_event_id: str
    phase: str
    previous_event_id: str | None
    previous_at: int | None
    overall_performance: float | None
    overall_delta: float | None
    deltas: dict[str, float]
    recommendation: str
    version: int


@dataclass(slots=True, kw_only=True)
class SuccessRate(Event):
    """Rolling success rate over one window of one scope."""

    record: ClassVar[str] = "success_rate"

    scope: str
    scope_value: str
    window_seconds: int
    window_start: int
    window_end: int
    attempts: int
    successes: int
    success_rate: float
    wilson_low: float
    wilson_high: float
    version: int

    @property
    def key(self) -> str:
        """The agent for the scope agent, otherwise scope and value."""
        return self.agent_id or f"{self.scope}|{self.scope_value}"


@dataclass(slots=True, kw_only=True)
class DeadLetter(Event):
    """A message that could not be read or inserted."""

    record: ClassVar[str] = "dead_letter"

    source_topic: str
    source_partition: int
    source_offset: int
    stage: str
    reason: str
    message_key: bytes | None
    message_value: bytes | None

    @property
    def key(self) -> str:
        """The message's origin, so that one partition's dead letters stay in order."""
        return f"{self.source_topic}|{self.source_partition}"


EVENT_CLASSES: dict[str, type[Event]] = {
    cls.record: cls
    for cls in (
        EvolutionStarted,
        EvolutionProgressed,
        EvolutionCompleted,
        KpiSnapshot,
        SystemEvent,
        CustomMetric,
        EvolutionMetrics,
        KpiDelta,
        SuccessRate,
        DeadLetter,
    )
}
