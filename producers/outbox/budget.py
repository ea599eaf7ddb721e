"""Accounting of what an outbox holds, and what it sheds when it is full; progress events are shed first.

It decides, and does no I/O: the outbox deletes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from evometrics.producers.outbox.row import Row, size_of
from evometrics.schemas.topics import EVOLUTION_PROGRESSED

#: When the outbox is full, queued progress events are shed until it is this full.
SHED_TO = 0.9
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

    def __init__(self, max_bytes: float) -> None:
        self.max_bytes = max_bytes
        self.recorded: Counter[str] = Counter()
        self.shed: Counter[str] = Counter()
        self.depth = 0
        self.bytes = 0
        self.high_water = 0
        self.progress_rows = 0

    def empty(self) -> None:
        """Start over with a new file; the rows of the previous one no longer belong to this outbox."""
        self.depth = self.bytes = self.high_water = self.progress_rows = 0

    def restock(self, rows: int, size: int, progress_rows: int) -> None:
        """Start over with what a file holds that has replaced the previous one."""
        self.depth, self.bytes, self.progress_rows = rows, size, progress_rows

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

    def excess(self, batch: Sequence[Row]) -> float:
        """Return the bytes of queued progress to shed before a batch is stored; 0 where it fits as it is."""
        full = self.bytes + size_of(batch)
        return full - SHED_TO * self.max_bytes if full > self.max_bytes else 0

    def shed_progress(self, rows: int, size: int) -> None:
        """Subtract queued progress events that were deleted although the broker does not have them."""
        self.bytes -= size
        self.depth -= rows
        self.progress_rows -= rows
        self.shed[PROGRESS] += rows
        self.recorded[PROGRESS] -= rows

    def fit(self, batch: Sequence[Row]) -> list[bool]:
        """Return which rows of a batch are stored; where space is short, new progress is shed first."""
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


def enough(found: Sequence[tuple[int, int]], excess: float) -> tuple[list[int], int]:
    """Return the numbers of the first rows found, as many as free `excess` bytes, and what they free.

    `found`: number and size of each row.
    """
    numbers: list[int] = []
    freed = 0
    for seq, size in found:
        if freed >= excess:
            break
        numbers.append(seq)
        freed += size
    return numbers, freed
