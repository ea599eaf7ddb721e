"""The specification's event objects. The collector takes any object with these attributes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class EvolutionEvent:
    """An evolution begins; times are Unix seconds."""

    agent_id: str
    timestamp: float = field(default_factory=time.time)
    evolution_id: str | None = None
    evolution_type: str = "unknown"
    generation_change: int | tuple[int, int] | None = None
    trigger_reason: str = ""
    pre_evolution_kpis: dict[str, float] = field(default_factory=dict)
    strategy: str = ""
    risk_level: str = ""
    target_gain: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class EvolutionCompletionEvent:
    """An evolution has ended. None = as recorded at its start, or measured by the collector."""

    agent_id: str
    success: bool
    timestamp: float = field(default_factory=time.time)
    evolution_id: str | None = None
    evolution_type: str | None = None
    generation_change: int | tuple[int, int] | None = None
    trigger_reason: str | None = None
    pre_evolution_kpis: dict[str, float] | None = None
    post_evolution_kpis: dict[str, float] = field(default_factory=dict)
    duration_seconds: float | None = None
    strategy: str | None = None
    risk_level: str | None = None
    target_gain: float | None = None
    rollback_performed: bool = False
    status: str | None = None
    convergence_iterations: int | None = None
    fitness_trajectory: list[float] | None = None
    insights: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    parent_agent_id: str | None = None
    cost_usd: float | None = None
