"""Names of outboxes, and the lock by which a living process owns one.

The lock is a `flock` on a file beside the database, because closing any other handle on the database file
would drop SQLite's own locks. The kernel releases it when the process ends, however it ends; whoever locks an
outbox that is still there adopts the events that the dead process could not send.
"""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from evometrics.producers.outbox.marks import BLOCK, SentMarks
from evometrics.producers.outbox.tally import BYTES, Held, OutboxTally, TallyRecord, read_record
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.service.disk import is_full

LOCK = ".lock"
#: Suffixes of the files that SQLite keeps beside a database, and of a rebuilt outbox not yet in place.
WAL, SHM, JOURNAL, REBUILDING, REBUILT = "-wal", "-shm", "-journal", ".rebuilding", ".rebuilt"
ASIDE = ".damaged"


class OutboxError(EvometricsError, OSError):
    """The outbox can't be used; the message names its file and the way out."""


class OutboxFull(OutboxError):
    """The disk has no room for the write; nothing was written."""


class OutboxDamaged(OutboxError):
    """The file is an outbox, but its content is damaged.

    `handle`: kept open as long as this lives, because SQLite deletes the WAL when the last handle is closed.
    """

    def __init__(self, message: str, handle: sqlite3.Connection | None = None) -> None:
        super().__init__(message)
        self.handle = handle


@dataclass(slots=True)
class OutboxLock:
    """The right to use one outbox file; `close` gives it up.

    Attributes:
        record: how many events it should hold, as found when it was locked; None = not known.
        tally: where that number is kept up to date from now on.
        marks: which of its rows are sent although they are still in it.
    """

    path: Path
    descriptor: int
    record: TallyRecord | None = None
    tally: OutboxTally = field(init=False)
    marks: SentMarks = field(init=False)

    def __post_init__(self) -> None:
        self.tally = OutboxTally(self.descriptor)
        self.marks = SentMarks(self.descriptor)

    @property
    def lock_path(self) -> Path:
        return lock_path(self.path)

    def close(self, *, delete: bool = False) -> None:
        """Release the outbox; with `delete`, delete its files as well."""
        if self.descriptor < 0:
            return
        if delete and self.held():
            if self.tally.held.rows:  # all are marked as sent: an interruption must not make them look lost
                self.tally.begin(Held(0, self.tally.held.last + 1, self.tally.held.last))
            for path in (*database_files(self.path), self.lock_path):
                path.unlink(missing_ok=True)
        os.close(self.descriptor)
        self.descriptor = -1

    def held(self) -> bool:
        """Return whether the locked file is still the one that others find under its name."""
        return same_file(self.lock_path, os.fstat(self.descriptor))


def beside(path: Path, ending: str) -> Path:
    """Return a file that belongs to an outbox."""
    return path.with_name(path.name + ending)


def lock_path(path: Path) -> Path:
    """Return the lock file of an outbox."""
    return beside(path, LOCK)


def database_files(path: Path) -> tuple[Path, ...]:
    """Return the files that SQLite keeps for an outbox, the database last."""
    return beside(path, WAL), beside(path, SHM), path


def same_file(path: Path, opened: os.stat_result) -> bool:
    """Return whether a path still leads to the file that was opened."""
    try:
        found = path.stat()
    except OSError:
        return False
    return found.st_ino == opened.st_ino and found.st_dev == opened.st_dev


def try_lock(path: Path) -> OutboxLock | None:
    """Return the lock of an outbox, None where a living process holds it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return locked(path, os.open(lock_path(path), flags, 0o600))


def locked(path: Path, descriptor: int) -> OutboxLock | None:
    """Lock an outbox's open lock file; None where a living process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    # Between open and flock, whoever drained this outbox may have deleted the file: then the lock is on a
    # file that nobody else will find.
    if not same_file(lock_path(path), os.fstat(descriptor)):
        os.close(descriptor)
        return None
    return OutboxLock(path, descriptor, read_record(os.pread(descriptor, BYTES, 0)))


def new_outbox(db_path: Path) -> OutboxLock:
    """Lock a name of this process's own beside `db_path`. Raises `OutboxError` naming `db_path`.

    No file of that name may exist, nor one that SQLite or this package would use beside it.
    """
    try:
        db_path.parent.mkdir(parents=True, exist_ok=True)
        for number in count():
            path = db_path.with_name(f"{db_path.stem}-{os.getpid()}-{number}{db_path.suffix or '.db'}")
            if any(os.path.lexists(beside(path, e)) for e in ("", WAL, SHM, JOURNAL, REBUILDING, REBUILT)):
                continue
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                descriptor = os.open(lock_path(path), flags, 0o600)
            except FileExistsError:
                continue
            if (lock := locked(path, descriptor)) is not None:
                try:
                    os.pwrite(descriptor, bytes(BLOCK), 0)
                    lock.tally.put()
                except OSError:
                    lock.close(delete=True)
                    raise
                return lock
    except OSError as error:
        kind = OutboxFull if is_full(error) else OutboxError
        raise kind(f"db_path={str(db_path)!r}: {error}; give a path that can be written") from error
    raise AssertionError("unreachable")


def names_beside(db_path: Path) -> list[tuple[Path, int]]:
    """Return the paths named like outboxes of exactly this `db_path`, each with the process id in its name.

    Includes outboxes of which only the lock or the WAL is left. Raises OSError where the folder can't be
    read.
    """
    suffix = db_path.suffix or ".db"
    endings = "|".join(map(re.escape, (LOCK, WAL, REBUILT)))
    name = re.compile(
        f"({re.escape(db_path.stem)}-([0-9]+)-[0-9]+{re.escape(suffix)})(?:{endings})?", re.DOTALL
    )
    found: dict[Path, int] = {}
    for entry in db_path.parent.iterdir():
        if match := name.fullmatch(entry.name):
            found[db_path.with_name(match[1])] = int(match[2])
    return sorted(found.items(), key=lambda item: age(item[0]))


def age(path: Path) -> float:
    """Return when a file was made, as far as the file system knows."""
    for candidate in (path, lock_path(path)):
        try:
            return candidate.lstat().st_ctime
        except OSError:
            continue
    return 0.0
