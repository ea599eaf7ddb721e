"""Accounting of what an outbox holds, and what it sheds when it is full; progress events are shed first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from evometrics.producers.outbox.file import OutboxFile
from evometrics.producers.outbox.handover import HandOver
from evometrics.producers.outbox.row import Row, size_of
from evometrics.schemas.topics import EVOLUTION_PROGRESSED

#: When the outbox is full, queued progress events are shed until it is this full.
SHED_TO = 0.9
SHED_BATCH = 1000
PROGRESS = EVOLUTION_PROGRESSED.name


class Space:
    """Accounting of one outbox. Changed by its writing thread only.

    Attributes:
        recorded: by topic, events that are or were on disk, except those shed again later.
        shed: by topic, events dropped because the outbox was full.
        depth: rows waiting to be sent.
        bytes: their size.
        high_water: the largest size since it was last reset to 0.
    """

    def __init__(self, max_bytes: float, handover: HandOver) -> None:
        self.max_bytes = max_bytes
        self.handover = handover
        self.recorded: Counter[str] = Counter()
        self.shed: Counter[str] = Counter()
        self.depth = 0
        self.bytes = 0
        self.high_water = 0
        self.progress_rows = 0
        self.shed_after = 0

    def empty(self) -> None:
        """Start over with a new file; the rows of the previous one no longer belong to this outbox."""
        self.depth = self.bytes = self.high_water = self.progress_rows = 0

    def restock(self, file: OutboxFile) -> None:
        """Recount from a file that has replaced the previous one."""
        self.depth, self.bytes, self.progress_rows = file.stock(PROGRESS)

    def came(self, rows: Sequence[Row]) -> None:
        """Add rows that are on disk now."""
        self.recorded.update([row.topic for row in rows])
        self.count(rows, 1)

    def went(self, rows: Sequence[Row]) -> None:
        """Subtract rows that were deleted because the broker has them."""
        self.count(rows, -1)
        if not self.depth:
            self.bytes = 0  # an event that `clock_repair` corrected is larger than it was when it was added

    def count(self, rows: Sequence[Row], sign: int) -> None:
        self.depth += sign * len(rows)
        self.bytes += sign * size_of(rows)
        self.progress_rows += sign * [row.topic for row in rows].count(PROGRESS)
        self.high_water = max(self.high_water, self.bytes)

    def fit(self, file: OutboxFile, batch: Sequence[Row]) -> list[bool]:
        """Return which rows of a batch are stored; where space is short, progress is shed, queued or new."""
        wanted = size_of(batch)
        if self.bytes + wanted <= self.max_bytes:
            return [True] * len(batch)
        self.shed_queued(file, wanted)
        room = self.max_bytes - self.bytes
        stored = []
        others = size_of(row for row in batch if row.topic != PROGRESS)
        for row in batch:
            progress = row.topic == PROGRESS
            fits = row.size <= (room - others if progress else room)
            if fits:
                room -= row.size
            else:
                self.shed[row.topic] += 1
            if not progress:
                others -= row.size
            stored.append(fits)
        return stored

    def shed_queued(self, file: OutboxFile, wanted: int) -> None:
        """Shed queued progress events, oldest first, that the publisher does not hold yet."""
        excess = self.bytes + wanted - SHED_TO * self.max_bytes
        with self.handover.reading:
            self.handover.drop()
            while excess > 0 and self.progress_rows > 0:
                after = max(self.shed_after, self.handover.read_upto)
                found = file.sheddable(PROGRESS, after, SHED_BATCH)
                if not found:
                    self.shed_after = self.handover.committed_upto
                    return
                dropped: list[int] = []
                freed = 0
                for seq, size in found:
                    if freed >= excess:
                        break
                    dropped.append(seq)
                    freed += size
                file.delete(dropped)
                excess -= freed
                self.bytes -= freed
                self.depth -= len(dropped)
                self.progress_rows -= len(dropped)
                self.shed[PROGRESS] += len(dropped)
                self.recorded[PROGRESS] -= len(dropped)
                self.shed_after = dropped[-1]
