"""Finds the outboxes of dead processes, and tells them from other files with similar names.

A name proves nothing: a user's backup of October 1st may be called `evolution_metrics-20261001-1.db`. A file
that is not an outbox is neither locked nor opened for writing, and no file is created beside it.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from evometrics.producers.notices import tell_once
from evometrics.producers.outbox.format import OUTBOX
from evometrics.producers.outbox.names import (
    JOURNAL,
    REBUILT,
    SHM,
    WAL,
    OutboxLock,
    beside,
    lock_path,
    locked,
    names_beside,
    try_lock,
)
from evometrics.producers.outbox.tally import BYTES, MAGIC, read_record
from evometrics.producers.sqlite.kinds import Whose, whose


class LockFile(Enum):
    """What was found under the name of an outbox's lock file."""

    OURS = "ours"
    EMPTY = "empty, as left by releases without figures"
    NOTHING = "not there"
    FOREIGN = "not ours"


def dead_outboxes(db_path: Path) -> Iterator[OutboxLock]:
    """Lock and yield the outboxes beside `db_path` whose process has ended, oldest first.

    An outbox's database may be damaged or missing. Each file that can't be adopted is logged once and left
    alone.
    """
    try:
        names = names_beside(db_path)
    except OSError as error:
        tell_once(db_path.parent, f"can't search for outboxes of dead processes: {error}", logging.ERROR)
        return
    for path, process in names:
        try:
            lock = dead_outbox(path, process)
        except OSError as error:
            tell_once(path, unusable(path, error), logging.ERROR)
            continue
        if lock is not None:
            yield lock


def dead_outbox(path: Path, process: int) -> OutboxLock | None:
    """Return the lock of one outbox; None where it is in use or is not an outbox.

    Raises OSError where permissions forbid its use.
    """
    kept = lock_file(path)
    if kept is LockFile.FOREIGN:
        tell_once(path, f"{lock_path(path).name} beside it is not an outbox lock; both are left untouched")
        return None
    lock = None
    if kept is not LockFile.NOTHING:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        lock = locked(path, os.open(lock_path(path), flags))
        if lock is None:
            in_use(path, process)
            return None
    try:
        if adoptable(path, kept):
            check_writable(path)
            adopted, lock = lock or try_lock(path), None
            return adopted
    finally:
        if lock is not None:
            lock.close()
    return None


def lock_file(path: Path) -> LockFile:
    """Return what the name of an outbox's lock file leads to, without touching it. Raises OSError."""
    try:
        found = lock_path(path).lstat()
    except FileNotFoundError:
        return LockFile.NOTHING
    if not stat.S_ISREG(found.st_mode):
        return LockFile.FOREIGN
    if found.st_size == 0:
        return LockFile.EMPTY
    return LockFile.OURS if lock_path(path).read_bytes()[: len(MAGIC)] == MAGIC else LockFile.FOREIGN


def adoptable(path: Path, kept: LockFile) -> bool:
    """Return whether this is an outbox or the remains of one; log it where it is neither."""
    found = whose(path, OUTBOX)
    if found is Whose.OURS:
        return True
    ours = kept is LockFile.OURS
    if found is Whose.NOTHING:
        # Where the database is missing, only its lock file proves that there was an outbox.
        return ours
    if found is Whose.NEWER:
        tell_once(path, "an outbox of a newer release; it is left to that release", logging.ERROR)
        return False
    if found is Whose.BROKEN and ours:
        return True
    waiting = f", where there was an outbox of {waits(path)} events" if ours else ""
    tell_once(path, f"not an outbox of this package{waiting}; it is left untouched")
    return False


def check_writable(path: Path) -> None:
    """Raise PermissionError where an outbox can be read but not deleted from: it would be sent twice."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError("its folder is not writable")
    for file in (path, *(beside(path, ending) for ending in (WAL, SHM, JOURNAL, REBUILT))):
        if os.path.lexists(file) and not os.access(file, os.R_OK | os.W_OK):
            raise PermissionError(f"{file.name} is not writable")


def in_use(path: Path, process: int) -> None:
    """Log an outbox that is locked although the process that made it, or last adopted it, is not running."""
    record = read_record(lock_path(path).read_bytes()[:BYTES])
    process = process if record is None else record.process
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        tell_once(
            path,
            f"process {process}, which used it, has ended or runs in another container, but something, such "
            f"as a forked child, holds its lock; its {waits(path)} events wait until the lock is released",
        )
    except PermissionError:
        return


def waits(path: Path) -> str:
    """Return, as text, how many events an outbox should hold."""
    try:
        record = read_record(lock_path(path).read_bytes()[:BYTES])
    except OSError:
        record = None
    return "an unknown number of" if record is None else str(record.after.rows)


def unusable(path: Path, error: OSError) -> str:
    """Return what to do about an outbox that this user has no permission to use."""
    try:
        found = path.lstat()
        owner = f"it belongs to user {found.st_uid}, mode {stat.filemode(found.st_mode)}; "
    except OSError:
        owner = ""
    return (
        f"an outbox, or a file with such a name, that can't be used ({error.strerror or error}): {owner}its "
        f"{waits(path)} events are not sent. Give user {os.geteuid()} read and write access to it and its "
        ".lock (chmod, chown), or start a collector as its owner with the same db_path"
    )
