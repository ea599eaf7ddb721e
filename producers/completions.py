"""The completions of the last moments, so that the very same one given twice counts once."""

from __future__ import annotations

from typing import Any

from evometrics.producers.active import Clues
from evometrics.schemas.events import EvolutionCompleted

#: So many of the last completions are remembered, and up to twice as many: no more than the history keeps.
GENERATION = 500


class RecentCompletions:
    """Remembers what completions said of themselves, and the event that each became."""

    def __init__(self) -> None:
        # Two generations: to forget the oldest one by one would cost as much as to remember.
        self.newer: dict[Clues, EvolutionCompleted] = {}
        self.older: dict[Clues, EvolutionCompleted] = {}

    def same(self, clues: Clues, completed: EvolutionCompleted) -> str | None:
        """Return the id of the event that the very same completion became before; None where it is new.

        One that names neither its evolution nor its time can't be told from another, and is new.
        """
        before = self.newer.get(clues) or self.older.get(clues)
        return before.event_id if before is not None and outcome(before) == outcome(completed) else None

    def add(self, clues: Clues, completed: EvolutionCompleted) -> None:
        """Remember one that was recorded."""
        if clues.evolution_id or clues.at is not None:
            self.newer[clues] = completed
            if len(self.newer) == GENERATION:
                self.older, self.newer = self.newer, {}


def outcome(completed: EvolutionCompleted) -> tuple[Any, ...]:
    """Return what a completion says came of the evolution."""
    # not what its start lent it, which only the first of them had
    return completed.status, completed.post_kpis, completed.insights
