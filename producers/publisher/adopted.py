"""An outbox that a dead process left, as a source of rows; rebuilt first where it is damaged."""

from __future__ import annotations

from collections.abc import Callable

from evometrics.producers.outbox.file import OutboxFile
from evometrics.producers.outbox.names import OutboxDamaged, OutboxFull, OutboxLock
from evometrics.producers.outbox.rebuilding import Damage, finish, rebuild
from evometrics.producers.outbox.row import Row
from evometrics.producers.outbox.tally import Held


class AdoptedSource:
    """Reads and empties one outbox.

    Attributes:
        number: what its rows name as their source.
        depth: events that it still holds.
    """

    def __init__(self, lock: OutboxLock, number: int, damaged: Callable[[Damage], None] = Damage.say) -> None:
        """Raises OSError or sqlite3.Error where it can be neither read nor rebuilt."""
        self.lock = lock
        self.number = number
        self.damaged = damaged
        self.cursor = 0
        self.in_hands = 0
        self.file: OutboxFile | None = None
        finish(lock)
        try:
            self.depth = self.open()
        except OutboxDamaged as error:
            self.depth = self.make_whole(str(error))

    def open(self) -> int:
        """Open the file and return how many rows it has. Raises `OutboxDamaged` where some are missing."""
        record = self.lock.record
        if not self.lock.path.exists():
            raise OutboxDamaged("its file is missing")
        if self.lock.path.stat().st_size == 0:
            raise OutboxDamaged("its file is empty")
        self.file = self.opened()
        found, last = self.file.rows(), self.file.last()
        # After a restart of the machine the record may be older than the file, which has lost nothing.
        if record is not None and record.this_boot and found < record.expected(last):
            raise OutboxDamaged(f"{record.expected(last)} events were recorded in it, {found} were found")
        self.lock.tally.begin(Held(found, self.file.first(), last))
        return self.file.depth()

    def opened(self) -> OutboxFile:
        """Open the file; on a full disk, in a way that needs no space."""
        try:
            return OutboxFile(self.lock.path, self.lock.tally, self.lock.marks)
        except OutboxFull:
            return OutboxFile(self.lock.path, self.lock.tally, self.lock.marks, alone=True)

    def make_whole(self, reason: str) -> int:
        """Replace the damaged file by what can be read of it; return how many rows that is."""
        if self.file is None:
            held = self.recorded()
        else:
            tally = self.lock.tally.held
            held = tally if tally.rows else self.recorded()
        damage = rebuild(self.lock, held, reason, self.file)
        self.lock.record = None
        self.file = self.opened()
        self.damaged(damage)
        return damage.read

    def recorded(self) -> Held | None:
        """Return what the file should hold according to its lock file."""
        record = self.lock.record
        if record is None:
            return None
        first = min(record.before.first, record.after.first)
        return Held(record.expected(0) if record.before.rows else record.after.rows, first, record.after.last)

    def read(self, limit: int) -> list[Row]:
        """Return the rows after those read before. Raises like the constructor."""
        rows = self.read_once(limit)
        if not rows and self.depth and not self.in_hands:
            # All rows that can be found are sent, yet some should be left.
            self.depth = self.make_whole(f"{self.depth} of its events can't be found")
            rows = self.read_once(limit)
        for row in rows:
            row.source = self.number
        if rows:
            self.cursor = rows[-1].seq
            self.in_hands += len(rows)
        return rows

    def read_once(self, limit: int) -> list[Row]:
        """Read; where that finds damage, rebuild the file and read again."""
        assert self.file is not None
        try:
            return self.file.read_after(self.cursor, limit)
        except OutboxDamaged as error:
            self.depth = self.make_whole(str(error))
            return self.file.read_after(self.cursor, limit)

    def rewind(self) -> None:
        """Read again from the first row that is not deleted."""
        self.cursor = self.in_hands = 0

    def delete(self, rows: list[Row]) -> None:
        """Delete rows that the broker has."""
        assert self.file is not None
        numbers = [row.seq for row in rows]
        self.in_hands -= len(rows)
        try:
            self.file.delete(numbers)
        except OutboxDamaged as error:
            self.make_whole(str(error))
            self.file.delete(numbers)
        self.depth = self.lock.tally.held.rows - self.file.marked

    def close(self) -> None:
        """Close the file; it stays on disk as long as it has rows."""
        if self.file is not None:
            self.file.close()
        self.lock.close(delete=self.depth == 0)
