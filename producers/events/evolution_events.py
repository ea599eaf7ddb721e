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
        run_id: the run that it belongs to: a night, a study.
        model: the model that makes the candidates, e.g. a language model's name.
        objective: the KPI that is optimized, where that is not the performance.
        direction: maximize, minimize, or pareto where several KPIs are optimized. With an objective or a
            direction the agent is not judged by the KPI thresholds.
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
    run_id: Any = None
    model: Any = None
    objective: Any = None
    direction: Any = None


@dataclass(slots=True, kw_only=True)
class EvolutionCompletionEvent:
    """An evolution has ended. None = as recorded at its start, or measured by the collector.

    Attributes:
        success: whether its result was kept. `status` (succeeded, failed, rolled_back, pruned or rejected)
            takes precedence over `rollback_performed`, and that over `success`.
        timestamp: when it ended.
        duration_seconds: how long it took: seconds or a timedelta.
        insights: what was learned, one text or several; those that begin with "error" and "warn" are counted.
        parent_agent_ids: the agents whose states it was made from, several for a merge or a crossover.
            `parent_agent_id` is the first of them: either is enough.
        cost_usd, tokens_in, tokens_out, evaluations: what it took; None where unknown.
        candidate: text of the program or prompt that was tried; 64 KiB of it are kept.
        candidate_hash: SHA-256 of the whole text; computed where it is not given.
        run_id, model, objective, direction: as of a start.
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
    parent_agent_ids: Any = None
    tokens_in: Any = None
    tokens_out: Any = None
    evaluations: Any = None
    candidate: Any = None
    candidate_hash: Any = None
    run_id: Any = None
    model: Any = None
    objective: Any = None
    direction: Any = None
    event_id: Any = None
