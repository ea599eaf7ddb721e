"""What a recorder without a broker has recorded of a framework's runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evometrics.schemas.events import EvolutionCompleted, EvolutionProgressed
from tests.frameworks.expected import Candidate
from tests.support.outboxes import left_in


def all_completions(folder: Path) -> list[EvolutionCompleted]:
    """Return every completion that waits, in order."""
    return [event for event in left_in(folder) if isinstance(event, EvolutionCompleted)]


def candidates(folder: Path, run_id: str) -> dict[str, EvolutionCompleted]:
    """Return the completions of a run's candidates, by agent; those with the same event id are one."""
    found = {
        event.event_id: event for event in all_completions(folder) if event.agent_id.startswith(f"{run_id}/")
    }
    by_agent = {event.agent_id: event for event in found.values()}
    assert len(by_agent) == len(found), "a candidate is recorded twice"
    return by_agent


def run_of(folder: Path, run_id: str) -> EvolutionCompleted:
    """Return the newest completion of a run itself."""
    return [each for each in all_completions(folder) if each.evolution_id == run_id][-1]


def progress_of(folder: Path, run_id: str) -> list[EvolutionProgressed]:
    """Return a run's progress, in order."""
    every = left_in(folder)
    return [each for each in every if isinstance(each, EvolutionProgressed) and each.evolution_id == run_id]


def as_expected(events: Iterable[EvolutionCompleted], objective: str) -> set[tuple[Any, ...]]:
    """Return agent, value of the objective and parents of each."""
    return {(each.agent_id, each.post_kpis.get(objective), tuple(each.parent_agent_ids)) for each in events}


def wanted(expected: Iterable[Candidate], objective: str) -> set[tuple[Any, ...]]:
    """Return the same of a framework's own account."""
    return {(each.agent_id, each.kpis.get(objective), each.parents) for each in expected}
