"""Rebuilds a damaged outbox from what can be read of it; the damaged file is set aside.

The new file replaces the old one under the same lock, and its rows keep their numbers. After a crash the
names tell how far it got: a `.rebuilding` file is started over, a `.rebuilt` one only has to be renamed.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from evometrics.producers.outbox.file import PAGE_BYTES, PORTION, OutboxFile, verified
from evometrics.producers.outbox.names import (
    ASIDE,
    REBUILDING,
    REBUILT,
    SHM,
    WAL,
    OutboxLock,
    beside,
    database_files,
)
from evometrics.producers.outbox.row import Row
from evometrics.producers.outbox.tally import Held
from evometrics.producers.sqlite.pages import Pages, page_bytes_of_wal

logger = logging.getLogger(__name__)

LATEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Damage:
    """What happened to a damaged outbox.

    Attributes:
        path: the outbox.
        aside: where the damaged file is kept; None where no file was left.
        reason: what was found.
        read: events that could be read; they are sent.
        lost: events that could not; None = their number is unknown.
    """

    path: Path
    aside: Path | None
    reason: str
    read: int
    lost: int | None

    def say(self) -> None:
        total = self.read + (self.lost or 0)
        loss = "the number lost is unknown" if self.lost is None else f"{self.lost} are lost"
        kept = f"; the damaged file is kept as {self.aside.name}" if self.aside else ""
        logger.error(
            "outbox %s is damaged (%s): %d %sevents could be read and are sent; %s%s",
            self.path,
            self.reason,
            self.read,
            "" if self.lost is None else f"of {total} ",
            loss,
            kept,
        )

    def data(self) -> dict[str, object]:
        """Return it as the data of a system event."""
        return {
            "outbox": str(self.path),
            "kept_as": str(self.aside or ""),
            "reason": self.reason,
            "read": self.read,
            "lost": self.lost,
            "process": os.getpid(),
        }


def rebuild(
    lock: OutboxLock, held: Held | None, reason: str, old: OutboxFile | None, more: Iterable[Row] = ()
) -> Damage:
    """Replace a damaged file by one that holds what could be read of it, and `more`.

    `held`: what it should hold, None where that is not known. `old`: an open handle on it, closed once the
    file has been renamed: SQLite then neither copies a damaged WAL into the file nor deletes it. Raises
    OSError or sqlite3.Error where the new file can't be written; then everything stays as it was.
    """
    path = lock.path
    new = beside(path, REBUILDING)
    for left in database_files(new):
        left.unlink(missing_ok=True)
    file = OutboxFile(new)
    try:
        first, last = (held.first, held.last) if held else (1, LATEST)
        sent: set[int] = set()
        for rows in portions_of(readable(path)):
            sent.update(row.seq for row in rows if row.seq in lock.marks and first <= row.seq <= last)
            file.keep([row for row in rows if first <= row.seq <= last and row.seq not in sent])
        file.keep(list(more))
        found = Held(file.depth(), file.first(), file.last())
    finally:
        file.close()
    done = beside(path, REBUILT)
    new.rename(done)
    lock.tally.expects = found
    lock.tally.put()
    aside = put_aside(path)
    if old is not None:
        with suppress(sqlite3.Error):
            old.close()
    done.rename(path)
    lock.tally.begin(found)
    lost = None if held is None else max(0, held.rows - found.rows - len(sent))
    return Damage(path, aside, reason, found.rows, lost)


def finish(lock: OutboxLock) -> None:
    """Complete a replacement that a crash interrupted."""
    done = beside(lock.path, REBUILT)
    if done.is_file():
        put_aside(lock.path)
        done.rename(lock.path)


def put_aside(path: Path) -> Path | None:
    """Rename a database and its WAL to a free name; return that, None where there is no database."""
    names = (beside(path, ASIDE if n == 1 else f"{ASIDE}-{n}") for n in count(1))
    aside = next(n for n in names if not any(os.path.lexists(beside(n, e)) for e in ("", WAL, SHM)))
    there = os.path.lexists(path)
    for ending in ("", WAL, SHM):
        if os.path.lexists(beside(path, ending)):
            beside(path, ending).rename(beside(aside, ending))
    return aside if there else None


def readable(path: Path) -> Iterator[Row]:
    """Yield every undamaged row of an outbox, some twice, in no particular order."""
    wal = beside(path, WAL)
    pages = Pages(path, wal, page_bytes_of_wal(wal) or PAGE_BYTES)
    try:
        for page in pages.leaves():
            for seq, columns in pages.rows(page):
                if len(columns) in (5, 6):
                    _, topic, key, value, _, checksum = (*columns, None)[:6]
                    row = verified(seq, topic, key, value, checksum, unchecked=len(columns) == 5)
                    if row is not None:
                        yield row
    finally:
        pages.close()


def portions_of(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Divide rows into one list per commit."""
    portion: list[Row] = []
    for row in rows:
        portion.append(row)
        if len(portion) == PORTION:
            yield portion
            portion = []
    yield portion
