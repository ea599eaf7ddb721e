"""Recent completions, so that an identical one given twice counts once."""

from __future__ import annotations

from typing import Any

from evometrics.producers.events.open_evolutions import Clues
from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.wire.framing import WireFormat

#: At least this many of the last completions are remembered, and at most twice as many: no more than the
#: history keeps.
GENERATION = 500
#: The mark of completions that are not remembered.
UNNAMED = 0


class RecentCompletions:
    """Remembers the marks of recent completions, and the encoded event of each."""

    def __init__(self, wire: WireFormat) -> None:
        self.wire = wire
        # Two generations: evicting the oldest one by one would cost as much as remembering.
        self.newer: dict[int, bytes] = {}
        self.older: dict[int, bytes] = {}

    def same(self, mark: int, completed: EvolutionCompleted) -> str | None:
        """Return the event id of an identical earlier completion; None where this one is new.

        `mark`: the result of `mark_of`.
        """
        known = self.newer.get(mark) or self.older.get(mark)
        if known is None:
            return None
        before = self.wire.decode(known)
        assert isinstance(before, EvolutionCompleted)
        return before.event_id if outcome(before) == outcome(completed) else None

    def add(self, mark: int, value: bytes) -> None:
        """Remember one that was recorded; `value`: the encoded event."""
        if mark != UNNAMED:
            self.newer[mark] = value
            if len(self.newer) == GENERATION:
                self.older, self.newer = self.newer, {}

    def forget(self, mark: int) -> None:
        """Forget one that did not reach the disk."""
        self.newer.pop(mark, None)
        self.older.pop(mark, None)


def mark_of(clues: Clues) -> int:
    """Return the mark by which a completion is remembered: a 64-bit hash, cheaper to keep than the clues.

    A completion that names neither its evolution nor its time can't be told from another: `UNNAMED`.
    """
    return hash(clues) if clues.evolution_id or clues.at is not None else UNNAMED


def outcome(completed: EvolutionCompleted) -> tuple[Any, ...]:
    """Return the agent of a completion and the result that it reports."""
    # without what was filled in from its start, which only the first of them had
    return completed.agent_id, completed.status, completed.post_kpis, completed.insights
