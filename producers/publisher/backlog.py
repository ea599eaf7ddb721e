"""What is to be sent, in order: the outboxes of dead processes, oldest first, then this collector's own.

An adopted outbox is sent before our own rows, because an agent's events in it are older. Its file is deleted
once the broker has all of it.

In every new session, rows that were read before are sent again before any others: the broker may already have
them, and the stream can recognize a duplicate only while few other events come in between. So an outbox that
is adopted later waits until no such row of our own is left on disk.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Protocol

from evometrics.producers.notices import tell_once
from evometrics.producers.outbox.dead_outboxes import dead_outboxes
from evometrics.producers.outbox.file import LAST_SEQ, OutboxFile
from evometrics.producers.outbox.names import OutboxDamaged
from evometrics.producers.outbox.outbox import Outbox
from evometrics.producers.outbox.rebuilding import Damage
from evometrics.producers.outbox.row import Row
from evometrics.producers.publisher.adopted import AdoptedSource
from evometrics.producers.sqlite.forking import uses_sqlite

logger = logging.getLogger(__name__)

REWIND_POLL = 0.02


class RowSource(Protocol):
    """A source of rows, which deletes them once they are sent.

    Attributes:
        number: what its rows name as their source.
    """

    number: int

    def read(self, limit: int) -> list[Row]:
        """Return the rows after those read before."""

    def rewind(self) -> None:
        """Read again from the first row that is not deleted."""

    def delete(self, rows: list[Row]) -> None:
        """Delete rows that the broker has."""

    def close(self) -> None:
        """Close the file; it stays on disk as long as it has rows."""


class OwnSource:
    """This collector's outbox: rows handed over in memory, or read from its file by a separate handle."""

    number = 0

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.handover = outbox.handover
        self.handle: OutboxFile | None = None
        self.moves = outbox.moves
        outbox.let_go_of_file = self.close
        self.furthest = 0
        self.in_hands = 0

    @property
    def file(self) -> OutboxFile:
        """The handle; reopened where another file has replaced the one it was opened on."""
        if self.handle is None or self.moves != self.outbox.moves:
            self.close()
            lock = self.outbox.lock
            assert lock is not None
            self.handle, self.moves = OutboxFile(lock.path, marks=lock.marks), self.outbox.moves
        return self.handle

    def read(self, limit: int, upto: int = LAST_SEQ) -> list[Row]:
        upto = min(upto, self.handover.committed_upto)
        before = self.handover.read_upto
        if before >= upto:
            return []
        rows = self.handover.take(min(limit, upto - before))
        if not rows:
            with self.handover.reading:
                try:
                    rows = [] if self.outbox.file is None else self.file.read_after(before, limit, upto)
                except OutboxDamaged as error:
                    self.outbox.found_damaged(str(error))
                    return []
                self.handover.read_to(rows[-1].seq if rows else upto)
        self.furthest = max(self.furthest, self.handover.read_upto)
        self.in_hands += len(rows)
        return rows

    @property
    def settled(self) -> bool:
        """Whether every row that was ever read has been deleted from disk."""
        again = self.handover.read_upto < self.furthest
        return not (again or self.in_hands or self.outbox.undeleted)

    def rewind(self) -> None:
        self.handover.read_to(0)
        self.in_hands = 0

    def delete(self, rows: list[Row]) -> None:
        self.in_hands -= len(rows)
        self.outbox.delete(rows)

    def close(self) -> None:
        if self.handle is not None:
            self.handle.close()
        self.handle = None


class Backlog:
    """All sources as one queue. Used from the publisher's thread only."""

    def __init__(self, outbox: Outbox, damaged: Callable[[Damage], None] = Damage.say) -> None:
        """`damaged`: called for each damaged outbox after it was rebuilt."""
        self.own = OwnSource(outbox)
        self.numbers = count(self.own.number + 1)
        self.damaged = damaged
        self.adopted: list[AdoptedSource] = []
        self.to_come: list[AdoptedSource] = []

    @uses_sqlite
    def adopt(self, db_path: Path) -> int:
        """Adopt the outboxes of dead processes; return how many events they hold."""
        events = 0
        for lock in dead_outboxes(db_path):
            try:
                source = AdoptedSource(lock, next(self.numbers), self.damaged)
            except (OSError, sqlite3.Error) as error:
                lock.close()
                tell_once(lock.path, f"{error}; it is left untouched and retried later", logging.ERROR)
                continue
            if source.depth == 0:
                source.close()
                continue
            logger.info("adopted %s: %d events of an ended process", lock.path, source.depth)
            self.to_come.append(source)
            events += source.depth
        return events

    @property
    def depth(self) -> int:
        """Events that the broker does not have yet, adopted ones included."""
        adopted = sum(source.depth for source in (*self.adopted, *self.to_come))
        return self.own.outbox.space.depth + adopted

    @property
    def undeleted(self) -> int:
        """Rows that the broker has and that are still on disk; an adopted outbox's are deleted at once."""
        return self.own.outbox.undeleted

    def sources(self) -> list[OwnSource | AdoptedSource]:
        """Return all sources in the order in which they are sent."""
        return [*self.adopted, self.own]

    @uses_sqlite
    def read(self, limit: int) -> list[Row]:
        """Return the next rows in order, all of one source; an empty list where there are none just now."""
        if self.to_come and self.own.settled:
            self.adopted, self.to_come = self.adopted + self.to_come, []
        if self.to_come and not self.adopted:
            return self.own.read(limit, self.own.furthest)
        for adopted in list(self.adopted):
            if rows := self.read_adopted(adopted, limit):
                return rows
        return self.own.read(limit)

    def read_adopted(self, source: AdoptedSource, limit: int) -> list[Row]:
        """Return an adopted outbox's next rows; one that can't be read is left for a later adoption."""
        try:
            rows = source.read(limit)
        except (OSError, sqlite3.Error) as error:
            tell_once(source.lock.path, f"{error}; it is retried later", logging.ERROR)
            self.forget(source)
            return []
        if source.depth == 0:
            self.finished(source)
        return rows

    def finished(self, source: AdoptedSource) -> None:
        """Close an empty adopted outbox, which deletes its file."""
        if source in self.adopted:
            self.forget(source)
            logger.info("sent all events of %s", source.lock.path)

    def forget(self, source: AdoptedSource) -> None:
        """Close an adopted outbox; what is left in it is adopted again later."""
        self.adopted.remove(source)
        source.close()

    def hold(self, rows: Sequence[Row]) -> None:
        """Leave rows that were read on disk: they are not sent in this session."""
        self.own.in_hands -= sum(row.source == self.own.number for row in rows)

    async def rewind(self) -> None:
        """Read again from the first row that is not deleted, after everything sent has been deleted."""
        # The outbox's thread deletes, and can't set an event of this loop.
        while self.undeleted and self.own.outbox.is_open:  # noqa: ASYNC110
            await asyncio.sleep(REWIND_POLL)
        for source in self.sources():
            source.rewind()

    @uses_sqlite
    def delete(self, rows: list[Row]) -> None:
        """Delete rows that the broker has, and the files of adopted outboxes that are empty after that."""
        numbers = {row.source for row in rows}
        for source in [each for each in self.sources() if each.number in numbers]:
            mine = rows if len(numbers) == 1 else [row for row in rows if row.source == source.number]
            source.delete(mine)
        for adopted in [a for a in self.adopted if a.depth == 0]:
            self.finished(adopted)

    @uses_sqlite
    def close(self) -> None:
        """Close all sources; rows that are left stay on disk for the next start."""
        for source in (*self.sources(), *self.to_come):
            source.close()
        self.adopted, self.to_come = [], []
