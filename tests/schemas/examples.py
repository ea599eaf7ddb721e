"""One full event of each record: every field set, the optional ones too."""

from __future__ import annotations

from evometrics.schemas.events import (
    CustomMetric,
    DeadLetter,
    Event,
    EvolutionCompleted,
    EvolutionMetrics,
    EvolutionProgressed,
    EvolutionStarted,
    KpiDelta,
    KpiSnapshot,
    SuccessRate,
    SystemEvent,
)
from evometrics.schemas.kpis import KPI_NAMES

NOW = 1_780_000_000_000_000
HEAD = {
    "event_id": "01912345-6789-7abc-8def-0123456789ab",
    "agent_id": "agent-ü",
    "node_id": "node-1",
    "occurred_at": NOW,
}
OTHER_ID = "01912345-6789-7abc-8def-0123456789ff"
PLAN = {
    "evolution_id": "e-1",
    "evolution_type": "nightly",
    "generation": 3,
    "risk_level": "low",
    "target_gain": 0.05,
    "trigger_reason": "schedule",
    "metadata": {"why": "because"},
}
COST = {
    "memory_used_mb": 512.5,
    "cpu_percent_avg": 80.0,
    "gpu_memory_mb": 1024.0,
    "network_bytes_transferred": 12345,
    "error_count": 1,
    "warning_count": 2,
    "rollback_performed": False,
    "convergence_iterations": 4,
    "fitness_trajectory": [0.1, 0.2],
}

EXAMPLES: tuple[Event, ...] = (
    EvolutionStarted(
        **HEAD, **PLAN, strategy="tune", pre_kpis={"accuracy": 0.5}, cpu_percent=3.0, memory_mb=90.0
    ),
    EvolutionProgressed(
        **HEAD, evolution_id="e-1", iteration=2, fitness=0.7, cpu_percent=3.0, memory_mb=90.0
    ),
    EvolutionCompleted(
        **HEAD,
        **PLAN,
        **COST,
        started_at=NOW - 60_000_000,
        strategy_used="tune",
        pre_kpis={"accuracy": 0.5},
        post_kpis={"accuracy": 0.6},
        success=True,
        status="succeeded",
        duration_seconds=60.0,
        insights=["warning: slow"],
        parent_agent_id="agent-0",
        cost_usd=1.25,
        unmeasured=["gpu_memory_mb"],
        progress_share=0.5,
    ),
    KpiSnapshot(
        **HEAD,
        evolution_id="e-1",
        phase="baseline",
        **dict.fromkeys(KPI_NAMES, 0.5),
        overall_performance=0.5,
        evaluation_count=7,
        confidence_interval=0.01,
        extra={"novelty": 0.3},
        metadata={"evometrics.left_out": "{}"},
    ),
    SystemEvent(**HEAD, event_type="started", data='{"a": 1}'),
    CustomMetric(
        **HEAD,
        name="loss_nats",
        kind="histogram",
        value=0.25,
        labels={"split": "held-out"},
        unit="nats",
        help="Loss on held-out data.",
    ),
    EvolutionMetrics(
        **HEAD,
        **PLAN,
        **COST,
        source_event_id=OTHER_ID,
        started_at=NOW - 60_000_000,
        strategy_used="tune",
        status="succeeded",
        success=True,
        duration_minutes=1.0,
        performance_score=0.6,
        baseline_performance=0.5,
        improvement_delta=0.1,
        relative_improvement=0.2,
        quality_score=0.9,
        efficiency=0.195,
        kpi_deltas={"accuracy": 0.1},
    ),
    KpiDelta(
        **HEAD,
        snapshot_event_id=OTHER_ID,
        phase="baseline",
        previous_event_id=OTHER_ID,
        previous_at=NOW - 1,
        overall_performance=0.5,
        overall_delta=0.1,
        deltas={"accuracy": 0.1},
        recommendation="retain",
        version=NOW - 1,
    ),
    SuccessRate(
        **HEAD,
        scope="agent",
        scope_value="agent-ü",
        window_seconds=3600,
        window_start=NOW - 3_600_000_000,
        window_end=NOW,
        attempts=4,
        successes=3,
        success_rate=0.75,
        wilson_low=0.3,
        wilson_high=0.95,
        version=4,
    ),
    DeadLetter(
        **HEAD,
        source_topic="t",
        source_partition=1,
        source_offset=2,
        stage="sink",
        reason="bad",
        message_key=b"\xff",
        message_value=b"\x00\x01",
    ),
)
