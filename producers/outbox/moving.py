"""Moves the rows of a running collector to a new file, before the next commit, when its own was unlinked."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

from evometrics.producers.outbox.file import PORTION, OutboxFile
from evometrics.producers.outbox.names import (
    OutboxDamaged,
    OutboxLock,
    database_files,
    new_outbox,
    same_file,
)
from evometrics.producers.outbox.rebuilding import Damage
from evometrics.producers.outbox.row import Row
from evometrics.producers.outbox.tally import Held

#: A folder unchanged for this long is recognized by its modification time alone.
SETTLED_NS = 1_000_000_000


class Presence:
    """The files that an open outbox depends on, as they were when it was opened."""

    def __init__(self, lock: OutboxLock) -> None:
        self.files = [(path, path.stat()) for path in (*database_files(lock.path), lock.lock_path)]
        self.folder = str(lock.path.absolute().parent)
        self.seen = (0, 0)

    def holds(self) -> bool:
        """Return whether the names still lead to the open files; unlinked files die with the process.

        As long as the folder has not changed, none of its names has.
        """
        try:
            found = os.stat(self.folder)  # noqa: PTH116 - a Path would double what this costs each commit
        except OSError:
            return False
        if (now := (found.st_ino, found.st_mtime_ns)) == self.seen:
            return True
        if not all(same_file(path, opened) for path, opened in self.files):
            return False
        # A second change within the same clock tick would not show.
        if time.time_ns() - found.st_mtime_ns > SETTLED_NS:
            self.seen = now
        return True


def move(
    lock: OutboxLock,
    file: OutboxFile,
    files: Presence,
    db_path: Path,
    more: Iterable[Row],
) -> tuple[OutboxLock, OutboxFile, Damage]:
    """Copy what the open handle can read, and `more`, into a new file; return lock, file and damage.

    What is left of the old `files` is deleted. Raises OSError where no new file can be made; then the old one
    stays in use.
    """
    held, marked = lock.tally.held, file.marked
    new_lock = new_outbox(db_path)
    try:
        new = OutboxFile(new_lock.path, new_lock.tally, new_lock.marks)
        new.keep(list(more))
        try:
            after = 0
            while rows := file.read_after(after, PORTION):
                new.keep(rows)
                after = rows[-1].seq
        except (sqlite3.Error, OutboxDamaged):
            pass  # the rest is counted as lost
        found = Held(new.depth(), new.first(), held.last)
        new_lock.tally.begin(found)
    except BaseException:
        new_lock.close(delete=True)
        raise
    for path, opened in files.files:
        if same_file(path, opened):
            path.unlink()
    file.close()
    lock.close()
    damage = Damage(
        lock.path,
        None,
        f"its files were removed while it was in use; its events continue in {new_lock.path}",
        found.rows,
        max(0, held.rows - marked - found.rows),
    )
    return new_lock, new, damage
