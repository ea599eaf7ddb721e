"""The snapshots made from an evolution's KPIs before and after it.

An evolution's events name the phases for which no separate snapshot is recorded (`snapshot_phases`). The
stream, a node's own history and its metrics make these from the events; their ids are derived from the
event's, so that each makes the same ones, however often.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.ids import derived_id
from evometrics.schemas.kpis.performance import KPI_NAMES, scored
from evometrics.schemas.rules.validation import INT64, POST, PRE

#: KPIs with a field of their own; all others are in `extra`.
STANDARD = frozenset((*KPI_NAMES, "overall_performance", "confidence_interval"))
EVALUATIONS = "evaluation_count"


def snapshots_of(event: Event) -> Iterator[KpiSnapshot]:
    """Yield the snapshots made from an event's KPIs, the one before the evolution first."""
    if isinstance(event, EvolutionStarted):
        if PRE in event.snapshot_phases:
            yield snapshot(event, PRE, event.occurred_at, event.pre_kpis)
    elif isinstance(event, EvolutionCompleted):
        if PRE in event.snapshot_phases:
            yield snapshot(event, PRE, event.started_at, event.pre_kpis)
        if POST in event.snapshot_phases:
            yield snapshot(event, POST, event.occurred_at, event.post_kpis)


def snapshot_id(source_event_id: str, phase: str) -> str:
    """Return the id of the snapshot made from an event's KPIs for a phase."""
    return derived_id(KpiSnapshot.record, source_event_id, phase)


def snapshot(
    source: EvolutionStarted | EvolutionCompleted, phase: str, occurred_at: int, kpis: Mapping[str, float]
) -> KpiSnapshot:
    """Return the snapshot made from an evolution's KPIs."""
    found = KpiSnapshot(
        event_id=snapshot_id(source.event_id, phase),
        agent_id=source.agent_id,
        node_id=source.node_id,
        occurred_at=occurred_at,
        evolution_id=source.evolution_id,
        phase=phase,
        source_event_id=source.event_id,
        objective=source.objective,
        direction=source.direction,
    )
    fill(found, kpis)
    return found


def fill(found: KpiSnapshot, kpis: Mapping[str, float]) -> None:
    """Put KPIs into a snapshot: each into its field, or into `extra`, and the resulting performance."""
    for name, value in kpis.items():
        if name in STANDARD:
            setattr(found, name, value)
        elif name == EVALUATIONS and is_count(value):
            found.evaluation_count = int(value)
        else:
            found.extra[name] = value
    if found.overall_performance is None:
        found.overall_performance = scored(kpis, found.objective, found.direction)


def is_count(value: float) -> bool:
    """Return whether a number is a whole number of at most 64 bits."""
    return -INT64 <= value < INT64 and value == int(value)
