"""A quick look at an event that tells most good ones from those that `validate` must look at.

The types of an event are certain, and its numbers finite, once `decode_exact` has given it or `encode_exact`
has taken it; a few comparisons are enough then. True means that `validate` would pass it; False means
nothing but that it must be asked, for it may be good for all that (names that are long together), and only
`validate` names what is wrong.
"""

from __future__ import annotations

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.validation import (
    MAX_AHEAD_MICROS,
    NAME_CHARACTERS,
    PHASES,
    STATUSES,
    UUID_TEXT,
)


def surely_valid(event: Event, now: int) -> bool:
    """Tell whether an event that is exact surely passes `validate(event, now)`; `now` in microseconds."""
    if not (
        event.agent_id
        and event.node_id
        and 0 <= event.occurred_at <= now + MAX_AHEAD_MICROS
        and UUID_TEXT.fullmatch(event.event_id)
    ):
        return False
    if isinstance(event, EvolutionCompleted):
        return completed(event, now)
    if isinstance(event, EvolutionStarted):
        return started(event)
    return isinstance(event, KpiSnapshot) and snapshot(event)


def completed(e: EvolutionCompleted, now: int) -> bool:
    """What only a completion has."""
    # all names together under the limit of one: then each is
    names = len(e.agent_id) + len(e.node_id) + len(e.evolution_id) + len(e.evolution_type)
    names += len(e.strategy_used) + len(e.risk_level) + len(e.parent_agent_id or "")
    return (
        names <= NAME_CHARACTERS
        and e.evolution_id != ""
        and 0 <= e.started_at <= now + MAX_AHEAD_MICROS
        and e.status in STATUSES
        and e.duration_seconds >= 0
        and e.error_count >= 0
        and e.warning_count >= 0
        and e.convergence_iterations >= 0
        and e.network_bytes_transferred >= 0
        and (e.cost_usd or 0.0) >= 0
    )


def started(e: EvolutionStarted) -> bool:
    """What only a start has."""
    names = len(e.agent_id) + len(e.node_id) + len(e.evolution_id) + len(e.evolution_type)
    names += len(e.strategy) + len(e.risk_level)
    return names <= NAME_CHARACTERS and e.evolution_id != ""


def snapshot(e: KpiSnapshot) -> bool:
    """What only a snapshot has."""
    return (
        len(e.agent_id) + len(e.node_id) + len(e.evolution_id or "") <= NAME_CHARACTERS and e.phase in PHASES
    )
