"""Of which phases an evolution's KPIs are the agent's snapshot, for callers that record none of their own."""

from __future__ import annotations

from evometrics.producers.events.open_evolutions import ActiveEvolution
from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted
from evometrics.schemas.rules.validation import POST, PRE

ROLLED_BACK = "rolled_back"


def phases_of_start(started: EvolutionStarted) -> list[str]:
    """Return the phases of a start: where it has KPIs, the one before the evolution."""
    return [PRE] if started.pre_kpis else []


def phases_of_completion(completed: EvolutionCompleted, active: ActiveEvolution | None) -> list[str]:
    """Return the phases of a completion, but for those of which the evolution has a snapshot already.

    Of a completion without a start here there are two. None after a rollback: the agent is not what the KPIs
    after the evolution describe.
    """
    phases = []
    if completed.pre_kpis and (active is None or active.snapshot_of(PRE) is None):
        phases.append(PRE)
    after = completed.post_kpis and completed.status != ROLLED_BACK
    if after and (active is None or active.snapshot_of(POST) is None):
        phases.append(POST)
    return phases
