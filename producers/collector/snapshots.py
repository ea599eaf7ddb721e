"""Phases for which an evolution's KPIs become the agent's snapshot, where the caller records none itself."""

from __future__ import annotations

from evometrics.producers.events.open_evolutions import ActiveEvolution
from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted
from evometrics.schemas.rules.validation import POST, PRE

ROLLED_BACK = "rolled_back"


def phases_of_start(started: EvolutionStarted) -> list[str]:
    """Return the phases of a start: the one before the evolution, if it has KPIs."""
    return [PRE] if started.pre_kpis else []


def phases_of_completion(completed: EvolutionCompleted, active: ActiveEvolution | None) -> list[str]:
    """Return the phases of a completion, except those that the evolution already has a snapshot of.

    A completion whose start was not recorded here has two. After a rollback the KPIs after the evolution give
    none: they do not describe the agent.
    """
    phases = []
    if completed.pre_kpis and (active is None or active.snapshot_of(PRE) is None):
        phases.append(PRE)
    after = completed.post_kpis and completed.status != ROLLED_BACK
    if after and (active is None or active.snapshot_of(POST) is None):
        phases.append(POST)
    return phases
