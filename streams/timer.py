"""Reports abandoned evolutions by the clock, between a lane's batches.

A report is emitted and the evolution closed in the lane's ordinary steps: after a crash between them the same
report is emitted again, with the same id. Its state is the agent's, with the fences it had, in the owner's
epoch (`tables`): what an earlier owner writes late does not count.
"""

from __future__ import annotations

from evometrics.streams.computations import Computations
from evometrics.streams.ownership import Ownership
from evometrics.streams.work import Done, sized

#: How often a lane looks.
TICK_SECONDS = 5.0
#: What a worker has taken over it does not know the time of arrival of: it waits so long at least.
GRACE_SECONDS = 60.0


class AbandonedTimer:
    """What a lane asks between its batches.

    Args:
        timeout_seconds: time after which a started evolution counts as abandoned.
    """

    def __init__(self, computations: Computations, ownership: Ownership, timeout_seconds: float) -> None:
        self.computations = computations
        self.clock = computations.clock
        self.ownership = ownership
        self.grace = min(GRACE_SECONDS, timeout_seconds)

    async def look(self) -> list[Done]:
        """Take over the partitions that the worker was assigned; report the overdue evolutions in them.

        Only of partitions that were read to the end of both topics: a backlog may hold the completion.
        """
        ownership = self.ownership
        await ownership.take_over(ownership.mine)
        now = self.clock.now()
        if now is None:
            return []
        due = [
            number
            for number in sorted(ownership.mine)
            if self.is_settled(number) and self.computations.overdue(number, now)
        ]
        done = []
        for number in await ownership.read_to_the_end(due) if due else ():
            outcome = self.computations.abandon(number, now)
            # nothing is due where all that was late had only just arrived
            if outcome.messages:
                done.append(sized(number, [], outcome))
        return done

    def is_settled(self, partition: int) -> bool:
        """Tell whether a partition is owned, and was long enough."""
        since = self.ownership.owned_since.get(partition)
        return since is not None and self.clock.monotonic() >= since + self.grace
