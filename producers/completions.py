"""The completions of the last moments, so that the very same one given twice counts once."""

from __future__ import annotations

from typing import Any

from evometrics.producers.active import Clues
from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.wire import WireFormat

#: So many of the last completions are remembered, and up to twice as many: no more than the history keeps.
GENERATION = 500


class RecentCompletions:
    """Remembers what completions said of themselves, and the event that each became, as it was encoded."""

    def __init__(self, wire: WireFormat) -> None:
        self.wire = wire
        # Two generations: to forget the oldest one by one would cost as much as to remember.
        self.newer: dict[tuple[Any, ...], bytes] = {}
        self.older: dict[tuple[Any, ...], bytes] = {}

    def same(self, clues: Clues, completed: EvolutionCompleted) -> str | None:
        """Return the id of the event that the very same completion became before; None where it is new.

        One that names neither its evolution nor its time can't be told from another, and is new.
        """
        known = self.newer.get(clues) or self.older.get(clues)
        if known is None:
            return None
        before = self.wire.decode(known)
        assert isinstance(before, EvolutionCompleted)
        return before.event_id if outcome(before) == outcome(completed) else None

    def add(self, clues: Clues, value: bytes) -> None:
        """Remember one that was recorded; `value`: the event as it was encoded."""
        if clues.evolution_id or clues.at is not None:
            # a plain tuple: Python's garbage collector does not look through one of texts and numbers again
            self.newer[tuple(clues)] = value
            if len(self.newer) == GENERATION:
                self.older, self.newer = self.newer, {}

    def forget(self, clues: Clues) -> None:
        """Forget one that did not come to be on disk."""
        self.newer.pop(clues, None)
        self.older.pop(clues, None)


def outcome(completed: EvolutionCompleted) -> tuple[Any, ...]:
    """Return what a completion says came of the evolution."""
    # not what its start lent it, which only the first of them had
    return completed.status, completed.post_kpis, completed.insights
