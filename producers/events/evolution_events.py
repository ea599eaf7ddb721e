"""The specification's event objects; the collector accepts any object, mapping or keywords like them.

Ids and names may be text, numbers, UUIDs, Enums or paths. Times are Unix seconds or datetimes (local time if
without a zone). KPIs are a map of names to numbers, or an object that provides one (`to_dict()`, a
dataclass).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class EvolutionEvent:
    """An evolution begins. None = unknown.

    Attributes:
        timestamp: when it began.
        generation: the generation that it leads to.
        generation_change: the generations from and to; or the size of the change (kept in the metadata).
        pre_evolution_kpis: KPIs measured before.
        target_gain: improvement of performance aimed at (0-1).
    """

    agent_id: Any
    timestamp: Any = field(default_factory=time.time)
    evolution_id: Any = None
    evolution_type: Any = "unknown"
    generation: Any = None
    generation_change: Any = None
    trigger_reason: Any = ""
    pre_evolution_kpis: Any = None
    strategy: Any = ""
    risk_level: Any = ""
    target_gain: Any = None
    metadata: Any = None


@dataclass(slots=True, kw_only=True)
class EvolutionCompletionEvent:
    """An evolution has ended. None = as recorded at its start, or measured by the collector.

    Attributes:
        success: whether its result was kept. `status` (succeeded, failed, rolled_back) takes precedence over
            `rollback_performed`, and that over `success`.
        timestamp: when it ended.
        duration_seconds: how long it took: seconds or a timedelta.
        insights: what was learned, one text or several; those that begin with "error" and "warn" are counted.
        event_id: a UUID, where the same completion may be recorded again, by another process or later: it
            then counts once. Only in an object of this class.
    """

    agent_id: Any
    success: Any = None
    timestamp: Any = field(default_factory=time.time)
    evolution_id: Any = None
    evolution_type: Any = None
    generation: Any = None
    generation_change: Any = None
    trigger_reason: Any = None
    pre_evolution_kpis: Any = None
    post_evolution_kpis: Any = None
    duration_seconds: Any = None
    strategy: Any = None
    risk_level: Any = None
    target_gain: Any = None
    rollback_performed: Any = None
    status: Any = None
    convergence_iterations: Any = None
    fitness_trajectory: Any = None
    insights: Any = None
    metadata: Any = None
    parent_agent_id: Any = None
    cost_usd: Any = None
    event_id: Any = None
