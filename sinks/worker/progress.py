"""Where the partitions of a worker stand: which it has, and how far each is stored.

One value that the cycle owns. The source notes assignments in it, the recovery where partitions resume, the
cycle what it has committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from evometrics.sinks.worker.batch import Partition
from evometrics.sinks.worker.plan import NOTHING, Carried


class SinkProgress:
    """Progress of one member of the sink's group.

    Attributes:
        generation: counts assignments; a batch of an older one must be dropped.
        assigned: the partitions this worker has now; None before the first assignment.
        starts: the first offset that is not stored, by partition encountered in the assignment `begun`.
        begun: the assignment that `starts` belongs to; -1 if what was committed last is uncertain.
        committed: the next offset to store, by partition read in this assignment.
        carried: what the metadata of partitions that resume told, until it is used up.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.assigned: frozenset[Partition] | None = None
        self.starts: dict[Partition, int] = {}
        self.begun = -1
        self.committed: dict[Partition, int] = {}
        self.carried: dict[Partition, Carried] = {}

    def revoke(self) -> None:
        """Have no partitions until the next assignment."""
        self.assigned = frozenset()

    def assign(self, partitions: Iterable[Partition]) -> None:
        """Begin a new assignment."""
        self.generation += 1
        self.assigned = frozenset(partitions)

    def begin(self, generation: int) -> None:
        """Forget where partitions resume, unless that is known of this assignment."""
        if self.begun != generation:
            self.forget()
            self.begun = generation

    def forget(self) -> None:
        """Forget where partitions resume: the plans are read again before the next batch."""
        self.begun = -1
        self.starts = {}
        self.carried = {}

    def forget_topics(self, topics: AbstractSet[str]) -> None:
        """Forget where the partitions of some topics stand: the topics have changed."""
        self.starts = {p: start for p, start in self.starts.items() if p.topic not in topics}
        self.committed = {p: offset for p, offset in self.committed.items() if p.topic not in topics}
        self.carried = {p: each for p, each in self.carried.items() if p.topic not in topics}

    def stored(self, following: Mapping[Partition, int]) -> None:
        """Note that everything before these offsets is stored and committed."""
        self.committed.update(following)
        self.starts.update(following)

    def carry(self, partition: Partition) -> Carried:
        """Return what to commit with an offset of a partition as long as it is not used up."""
        return self.carried.get(partition, NOTHING)

    def use_up(self, partition: Partition, following: int) -> Carried:
        """Return what is still carried once everything before an offset is stored and counted."""
        known = self.carry(partition).known
        return Carried(known=known) if known > following else NOTHING
