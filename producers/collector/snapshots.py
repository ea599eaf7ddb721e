"""Phases for which an evolution's KPIs become the agent's snapshot, where the caller records none itself."""

from __future__ import annotations

from collections.abc import Mapping

from evometrics.producers.events.open_evolutions import ActiveEvolution
from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.kpis.performance import scored
from evometrics.schemas.rules.validation import POST, PRE, PRUNED, REJECTED, ROLLED_BACK

#: Outcomes after which the KPIs do not describe the agent: it has its earlier state, or never had this one.
NOT_THE_AGENTS = frozenset({ROLLED_BACK, PRUNED, REJECTED})


def phases_of_start(started: EvolutionStarted) -> list[str]:
    """Return the phases of a start: the one before the evolution, if it has KPIs."""
    return [PRE] if started.pre_kpis else []


def phases_of_completion(completed: EvolutionCompleted, active: ActiveEvolution | None) -> list[str]:
    """Return the phases of a completion, except those that the evolution already has a snapshot of.

    A completion whose start was not recorded here has two. KPIs after the evolution that do not describe the
    agent give none: after a rollback, and those of a candidate that was pruned or rejected.
    """
    phases = []
    if completed.pre_kpis and (active is None or active.snapshot_of(PRE) is None):
        phases.append(PRE)
    after = completed.post_kpis and completed.status not in NOT_THE_AGENTS
    if after and (active is None or active.snapshot_of(POST) is None):
        phases.append(POST)
    return phases


def take_objective(snapshot: KpiSnapshot, started: EvolutionStarted, kpis: Mapping[str, float]) -> None:
    """Let a snapshot of an open evolution be of what that optimizes."""
    snapshot.objective, snapshot.direction = started.objective, started.direction
    if "overall_performance" not in kpis:
        snapshot.overall_performance = scored(kpis, started.objective, started.direction)
