"""One outbox on disk: a SQLite file, and the lock by which a living process owns it.

The lock is a `flock` on a file beside the database, because closing any other handle on the database file
would drop SQLite's own locks. The kernel frees it when the process ends, however it ends; whoever gets the
lock of an outbox that is still there adopts what the dead process could not send.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from evometrics.producers.row import ROW_OVERHEAD, Row, columns_of

#: Most rows in one statement. It is for a multiple of `STEP` rows, or for fewer than that, so that there are
#: few different ones: each is kept, with the rows it last wrote.
PORTION = 1000
STEP = 64
#: What a statement binds for each row.
COLUMNS = 5
LAST_SEQ = 2**63 - 1
#: Rows are read in portions of about this many bytes.
READ_BYTES = 4_000_000
#: Bytes of a page: a large one holds many rows, and a commit of a few hundred rows writes few pages.
PAGE_BYTES = 16_384
#: The WAL is copied into the database when it has this many pages. A row that was sent meanwhile is gone by
#: then, and need not be copied.
WAL_PAGES = 1000
#: The WAL is cut back to this size, bytes, once its content is in the database.
WAL_LIMIT = 16_000_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    recorded_at INTEGER NOT NULL
);
"""


class OutboxError(OSError):
    """The outbox can't be used; the message names its file and the way out."""


@dataclass(slots=True)
class OutboxLock:
    """The right to use one outbox file; `close` gives it up."""

    path: Path
    descriptor: int

    @property
    def lock_path(self) -> Path:
        """The locked file."""
        return lock_path(self.path)

    def close(self, *, delete: bool = False) -> None:
        """Give the outbox up; with `delete` its files go too."""
        if self.descriptor < 0:
            return
        if delete:
            for path in (*database_files(self.path), self.lock_path):
                path.unlink(missing_ok=True)
        os.close(self.descriptor)
        self.descriptor = -1


def lock_path(path: Path) -> Path:
    """Return the lock file of an outbox."""
    return path.with_name(path.name + ".lock")


def database_files(path: Path) -> tuple[Path, ...]:
    """Return the files that SQLite keeps for an outbox, the database last."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"), path


def try_lock(path: Path) -> OutboxLock | None:
    """Return the lock of an outbox, None where a living process has it."""
    descriptor = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between open and flock the file may have been deleted by whoever drained this outbox:
        # then the lock is on a file that nobody else will find.
        if os.fstat(descriptor).st_ino == lock_path(path).stat().st_ino:
            return OutboxLock(path, descriptor)
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def new_outbox(db_path: Path) -> OutboxLock:
    """Lock a name of this process's own beside `db_path`. Raises `OutboxError` naming `db_path`."""
    try:
        db_path.parent.mkdir(parents=True, exist_ok=True)
        for number in count():
            path = db_path.with_name(f"{db_path.stem}-{os.getpid()}-{number}{db_path.suffix or '.db'}")
            # A file of this name may be left from a dead process with the same id (in a container, often 1).
            if not path.exists() and (lock := try_lock(path)) is not None:
                if not path.exists():
                    return lock
                lock.close()
    except OSError as error:
        raise OutboxError(f"db_path={str(db_path)!r}: {error}; give a path that can be written") from error
    raise AssertionError("unreachable")


def dead_outboxes(db_path: Path) -> Iterator[OutboxLock]:
    """Lock and yield the outboxes beside `db_path` whose process has ended, oldest first."""
    suffix = db_path.suffix or ".db"
    found = []
    for path in db_path.parent.glob(f"{db_path.stem}-*-*{suffix}"):
        process, _, number = path.name.removesuffix(suffix).removeprefix(f"{db_path.stem}-").partition("-")
        with contextlib.suppress(OSError):
            if process.isdigit() and number.isdigit():
                found.append((path.stat().st_ctime, path))
    for _, path in sorted(found):
        try:
            lock = try_lock(path)
        except OSError:
            # Another user's file: its owner adopts it.
            continue
        if lock is None:
            continue
        if path.exists():
            yield lock
        else:
            lock.close(delete=True)


def portions(rows: Sequence[Row], most: int) -> Iterator[Sequence[Row]]:
    """Divide rows among statements of up to `most` rows each."""
    start = 0
    while start < len(rows):
        count = min(most, len(rows) - start)
        count -= count % STEP if count > STEP else 0
        yield rows[start : start + count]
        start += count


class OutboxFile:
    """The SQLite side. Not safe for several threads at once: each opens its own."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises `OutboxError`."""
        self.path = path
        try:
            self.connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self.connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            self.connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self.connection.execute("PRAGMA journal_mode = WAL")
            # A commit survives a power loss, not only the process's end.
            self.connection.execute("PRAGMA synchronous = FULL")
            # What is deleted need not be overwritten, as some builds of SQLite do by default.
            self.connection.execute("PRAGMA secure_delete = OFF")
            self.connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
            self.connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
            self.connection.executescript(SCHEMA)
            places = self.connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
            self.portion = min(PORTION, places // COLUMNS)
        except sqlite3.Error as error:
            raise OutboxError(f"outbox {path}: {error}; give another db_path or repair the file") from error

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def write(self, rows: Sequence[Row], sent: Sequence[int]) -> None:
        """Add rows and delete sent ones, in one commit.

        Few statements, whatever the number of rows: each gives up the interpreter's lock and waits to get it
        back, which takes milliseconds beside an evolution that computes.
        """
        execute, now = self.connection.execute, time.time_ns() // 1_000_000
        execute("BEGIN IMMEDIATE")
        try:
            if sent:
                numbers = f"[{','.join(map(str, sent))}]"
                execute("DELETE FROM outbox WHERE seq IN (SELECT value FROM json_each(?))", (numbers,))
            for portion in portions(rows, self.portion):
                places = ", ".join(["(?, ?, ?, ?, ?)"] * len(portion))
                execute(f"INSERT INTO outbox VALUES {places}", columns_of(portion, now))
            execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def read_after(self, seq: int, limit: int, upto: int = LAST_SEQ) -> list[Row]:
        """Return up to `limit` rows after `seq`, in order; fewer of large ones, none at the end."""
        found = self.connection.execute(
            "SELECT seq, topic, key, value FROM outbox WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
            (seq, upto, limit),
        )
        rows: list[Row] = []
        size = 0
        for values in found:
            row = Row(*values)
            rows.append(row)
            size += row.size
            if size >= READ_BYTES:
                break
        found.close()
        return rows

    def sheddable(self, topic: str, after: int, limit: int) -> list[tuple[int, int]]:
        """Return seq and size of up to `limit` rows of a topic after a seq, oldest first."""
        return self.connection.execute(
            f"SELECT seq, length(value) + {ROW_OVERHEAD} FROM outbox "
            "WHERE topic = ? AND seq > ? ORDER BY seq LIMIT ?",
            (topic, after, limit),
        ).fetchall()

    def depth(self) -> int:
        """Return how many rows wait."""
        return int(self.connection.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def delete(self, sent: Sequence[int]) -> None:
        """Delete rows that the broker has acknowledged."""
        self.write((), sent)

    def shrink(self) -> None:
        """Give unused pages back to the file system."""
        # By executescript, which runs the pragma to its end: `execute` frees a single page.
        self.connection.executescript("PRAGMA incremental_vacuum")


def oldest_in(path: Path) -> float | None:
    """Return when the oldest row of an outbox was recorded, Unix seconds. Raises `sqlite3.Error`."""
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT recorded_at FROM outbox ORDER BY seq LIMIT 1").fetchone()
    return None if found is None else found[0] / 1000
