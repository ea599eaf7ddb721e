"""A quick check that recognizes most valid events; the others need `validate`.

Once `decode_exact` has returned an event or `encode_exact` has accepted it, its types are certain and its
numbers finite; a few comparisons are then enough. `screening.pyx` is the same in C, which reads attributes by
their place: a change here is one there.
"""

from __future__ import annotations

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.kpis.performance import DIRECTIONS
from evometrics.schemas.rules.validation import (
    EVOLUTION_PHASES,
    HASH_TEXT,
    MAX_AHEAD_MICROS,
    NAME_CHARACTERS,
    PHASES,
    STATUSES,
    UUID_TEXT,
)

#: Times are microseconds of 64 bits.
MOST_NOW = 2**63 - 1 - MAX_AHEAD_MICROS


def surely_valid(event: Event, now: int) -> bool:
    """Return whether an exactly typed event certainly passes `validate(event, now)`; `now` in microseconds.

    False only means that `validate` must be asked: the event may still be valid (for example with names that
    are long together), and only `validate` names what is wrong.
    """
    if not isinstance(event, Event):
        return False
    # of any size: `now` may come from a message
    latest = min(max(now, -MAX_AHEAD_MICROS), MOST_NOW) + MAX_AHEAD_MICROS
    if not (event.agent_id and event.node_id and 0 <= event.occurred_at <= latest and is_id(event.event_id)):
        return False
    names = len(event.agent_id) + len(event.node_id)
    if isinstance(event, EvolutionCompleted):
        return completed(event, latest, names)
    if isinstance(event, EvolutionStarted):
        return started(event, names)
    return isinstance(event, KpiSnapshot) and snapshot(event, names)


def completed(e: EvolutionCompleted, latest: int, names: int) -> bool:
    """Checks for completions only."""
    counts = (e.error_count, e.warning_count, e.convergence_iterations, e.network_bytes_transferred)
    given = (e.evolution_type, e.strategy_used, e.risk_level, e.parent_agent_id, e.run_id, e.model)
    return (
        all(count >= 0 for count in counts)
        and all(count is None or count >= 0 for count in (e.tokens_in, e.tokens_out, e.evaluations))
        and are_short(e.evolution_id, (*given, e.objective), names)
        and 0 <= e.started_at <= latest
        and e.duration_seconds >= 0
        and e.status in STATUSES
        and (e.cost_usd is None or e.cost_usd >= 0)
        and (e.progress_share is None or 0 <= e.progress_share <= 1)
        and EVOLUTION_PHASES.issuperset(e.snapshot_phases)
        and all(0 < len(parent) <= NAME_CHARACTERS for parent in e.parent_agent_ids)
        and is_direction(e.direction)
        and (e.candidate_hash is None or HASH_TEXT.fullmatch(e.candidate_hash) is not None)
    )


def started(e: EvolutionStarted, names: int) -> bool:
    """Checks for starts only."""
    given = (e.evolution_type, e.strategy, e.risk_level, e.run_id, e.model, e.objective)
    return (
        are_short(e.evolution_id, given, names)
        and EVOLUTION_PHASES.issuperset(e.snapshot_phases)
        and is_direction(e.direction)
    )


def snapshot(e: KpiSnapshot, names: int) -> bool:
    """Checks for snapshots only."""
    return (
        names + len(e.evolution_id or "") + len(e.objective or "") <= NAME_CHARACTERS
        and is_direction(e.direction)
        and e.phase in PHASES
        and (e.source_event_id is None or is_id(e.source_event_id))
    )


def are_short(own_id: str, names: tuple[str | None, ...], others: int) -> bool:
    """Return whether an evolution's id is not empty, and no name is too long.

    The total length of all names, `others` included, is below the limit of one: then each is.
    """
    return bool(own_id) and others + len(own_id) + sum(len(name or "") for name in names) <= NAME_CHARACTERS


def is_direction(text: str | None) -> bool:
    """Return whether a direction is one of the three, or not given."""
    return text is None or text in DIRECTIONS


def is_id(text: str) -> bool:
    """Return whether a text is a UUID."""
    return UUID_TEXT.fullmatch(text) is not None
