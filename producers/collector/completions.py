"""The completions of the last moments, so that the very same one given twice counts once."""

from __future__ import annotations

from typing import Any

from evometrics.producers.events.open_evolutions import Clues
from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.wire.framing import WireFormat

#: So many of the last completions are remembered, and up to twice as many: no more than the history keeps.
GENERATION = 500
#: What no completion is remembered by.
UNNAMED = 0


class RecentCompletions:
    """Remembers what completions said of themselves, and the event that each became, as it was encoded."""

    def __init__(self, wire: WireFormat) -> None:
        self.wire = wire
        # Two generations: to forget the oldest one by one would cost as much as to remember.
        self.newer: dict[int, bytes] = {}
        self.older: dict[int, bytes] = {}

    def same(self, mark: int, completed: EvolutionCompleted) -> str | None:
        """Return the id of the event that the very same completion became before; None where it is new.

        `mark`: what `mark_of` gives.
        """
        known = self.newer.get(mark) or self.older.get(mark)
        if known is None:
            return None
        before = self.wire.decode(known)
        assert isinstance(before, EvolutionCompleted)
        return before.event_id if outcome(before) == outcome(completed) else None

    def add(self, mark: int, value: bytes) -> None:
        """Remember one that was recorded; `value`: the event as it was encoded."""
        if mark != UNNAMED:
            self.newer[mark] = value
            if len(self.newer) == GENERATION:
                self.older, self.newer = self.newer, {}

    def forget(self, mark: int) -> None:
        """Forget one that did not come to be on disk."""
        self.newer.pop(mark, None)
        self.older.pop(mark, None)


def mark_of(clues: Clues) -> int:
    """Return what a completion is remembered by: a number of 64 bits, cheaper to keep than the clues.

    One that names neither its evolution nor its time can't be told from another: `UNNAMED`.
    """
    return hash(clues) if clues.evolution_id or clues.at is not None else UNNAMED


def outcome(completed: EvolutionCompleted) -> tuple[Any, ...]:
    """Return whose evolution it was, and what a completion says came of it."""
    # not what its start lent it, which only the first of them had
    return completed.agent_id, completed.status, completed.post_kpis, completed.insights
