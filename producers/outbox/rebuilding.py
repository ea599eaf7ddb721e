"""Makes a damaged outbox whole again of what can be read of it; the damaged file is put aside.

The new file takes the old one's place under the same lock, and its rows keep their numbers. What a crash
leaves of it is told by its name: `.rebuilding` is begun anew, `.rebuilt` only has to take its place.
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
    """What became of a damaged outbox.

    Attributes:
        path: the outbox.
        aside: where the damaged file is kept; None where no file was left.
        reason: what was found.
        read: events that could be read; they are sent.
        lost: events that could not; None = there is no telling how many there were.
    """

    path: Path
    aside: Path | None
    reason: str
    read: int
    lost: int | None

    def say(self) -> None:
        """Log it."""
        total = self.read + (self.lost or 0)
        loss = "how many are lost is not known" if self.lost is None else f"{self.lost} are lost"
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
    """Put a file in place of a damaged one that holds what could be read of it, and `more`.

    `held`: what it should hold, None where that is not known. `old`: our handle on it, which is closed once
    the file has another name: SQLite then neither copies a damaged log into the file nor deletes it.
    Raises OSError or sqlite3.Error where the new file can't be written; then all stays as it was.
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
    """Put what a crash left half in place into its place."""
    done = beside(lock.path, REBUILT)
    if done.is_file():
        put_aside(lock.path)
        done.rename(lock.path)


def put_aside(path: Path) -> Path | None:
    """Rename a database and its log to a name that is free; return it, None where there is no database."""
    names = (beside(path, ASIDE if n == 1 else f"{ASIDE}-{n}") for n in count(1))
    aside = next(n for n in names if not any(os.path.lexists(beside(n, e)) for e in ("", WAL, SHM)))
    there = os.path.lexists(path)
    for ending in ("", WAL, SHM):
        if os.path.lexists(beside(path, ending)):
            beside(path, ending).rename(beside(aside, ending))
    return aside if there else None


def readable(path: Path) -> Iterator[Row]:
    """Yield every row of an outbox that is as it was written, some twice, in no order."""
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
    """Gather rows for a commit each."""
    portion: list[Row] = []
    for row in rows:
        portion.append(row)
        if len(portion) == PORTION:
            yield portion
            portion = []
    yield portion
