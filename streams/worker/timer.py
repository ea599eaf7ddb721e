"""Reports evolutions that are abandoned by the clock, between a lane's batches.

A report is emitted and the evolution closed in the lane's ordinary steps: after a crash between them the same
report is emitted again, with the same id. The change belongs to the agent's state, with its fences, in the
owner's epoch (`tables`): late writes by an earlier owner do not count.
"""

from __future__ import annotations

from evometrics.streams.changelog.ownership import Ownership
from evometrics.streams.processors.computations import EvolutionWork
from evometrics.streams.processors.work import Done, sized

#: How often a lane checks.
TICK_SECONDS = 5.0


class AbandonedTimer:
    """Finds abandoned evolutions for a lane, between its batches."""

    def __init__(self, work: EvolutionWork, ownership: Ownership) -> None:
        self.work = work
        self.clock = work.clock
        self.ownership = ownership

    async def look(self) -> list[Done]:
        """Report the overdue evolutions in the worker's partitions.

        Covers only partitions in which both topics have been read to the end: a backlog may hold the
        completion.
        """
        ownership = self.ownership
        now = self.clock.now()
        if now is None:
            return []
        due = [
            number
            for number in sorted(ownership.mine)
            if ownership.owns(number) and self.work.overdue(number, now)
        ]
        done = []
        for number in await ownership.read_to_the_end(due) if due else ():
            outcome = self.work.abandon(number, now)
            # empty if everything due has been completed
            if outcome.messages:
                done.append(sized(number, [], outcome))
        return done
