"""The snapshots that an evolution's KPIs before and after are, for callers that record none of their own."""

from __future__ import annotations

from collections.abc import Iterator

from evometrics.producers.active import ActiveEvolution
from evometrics.producers.convert import evolution_snapshot
from evometrics.producers.left_out import LeftOut
from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted, KpiSnapshot

PRE, POST = "pre_evolution", "post_evolution"
ROLLED_BACK = "rolled_back"


def evolution_snapshots(
    source: EvolutionStarted | EvolutionCompleted, active: ActiveEvolution | None
) -> Iterator[tuple[KpiSnapshot, LeftOut]]:
    """Give the snapshots that an event's KPIs are, but for phases of which the evolution has one already.

    Of a completion without a start here there are two. None after a rollback: the agent is not what the KPIs
    after the evolution describe. Ids are derived from the event's.
    """
    known = {} if active is None else active.snapshots
    if isinstance(source, EvolutionStarted):
        phases = [(PRE, source.occurred_at, source.pre_kpis)]
    else:
        phases = [(PRE, source.started_at, source.pre_kpis)]
        if source.status != ROLLED_BACK:
            phases.append((POST, source.occurred_at, source.post_kpis))
    for phase, when, kpis in phases:
        if kpis and phase not in known:
            left_out = LeftOut()
            snapshot = evolution_snapshot(source, source.evolution_id, phase, when, kpis, left_out)
            known[phase] = dict(kpis), snapshot.event_id
            yield snapshot, left_out
