"""One outbox on disk: a SQLite file. Its lock (`names`) decides who may use it.

Long because every statement that reads or changes an outbox is here, where their transactions can be
compared.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from functools import cache
from itertools import islice, takewhile
from pathlib import Path

from evometrics.producers.outbox.format import OUTBOX, RELEASED, UPGRADE, UPGRADED
from evometrics.producers.outbox.marks import SentMarks
from evometrics.producers.outbox.names import OutboxDamaged, OutboxError, OutboxFull
from evometrics.producers.outbox.row import ROW_OVERHEAD, Row, checksum_of, columns_of, row_of, whole_row
from evometrics.producers.outbox.sqlite_errors import DAMAGE, READ_DAMAGE, Reporting, damages, lacks_room
from evometrics.producers.outbox.tally import OutboxTally
from evometrics.producers.sqlite.kinds import definitions, words
from evometrics.schemas.service.disk import space_of
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat, decode

#: Most rows in one statement. A statement takes a multiple of `STEP` rows, or fewer than `STEP`, which keeps
#: the number of distinct statements small: SQLite caches each, together with the rows it last wrote.
PORTION = 1000
STEP = 64
#: Parameters that a statement binds for each row.
COLUMNS = 6
#: The tally's lowest number is looked up with every 16th deletion; in between it may be too low.
FIRST_EVERY = 16
LAST_SEQ = 2**63 - 1
#: Rows are read in portions of about this many bytes.
READ_BYTES = 4_000_000
#: Rows marked as sent are deleted in portions of about this many.
SWEEP_ROWS = 5000
#: Page size, bytes: a large page holds many rows, so a commit of a few hundred rows writes few pages.
PAGE_BYTES = 16_384
#: The WAL is checkpointed when it has this many pages; on a small disk, at a sixteenth of the disk's size.
#: A row that was sent in the meantime is gone by then and need not be copied.
WAL_PAGES, LEAST_WAL_PAGES, WAL_SHARE = 1000, 32, 1 / 16
#: An outbox accepts no events while its disk has less room than for this many such logs: one to write, one to
#: copy, and one for other users of the disk.
KEPT_FREE_LOGS = 3
#: The WAL is truncated to this size, bytes, after a checkpoint.
WAL_LIMIT = 16_000_000


def wal_pages(disk_bytes: int) -> int:
    """Return how many pages the WAL may grow to on a disk of this size."""
    return max(LEAST_WAL_PAGES, min(WAL_PAGES, int(disk_bytes * WAL_SHARE / PAGE_BYTES)))


def kept_free(disk_bytes: int) -> int:
    """Return how many bytes of a disk of this size are reserved for deleting what was sent."""
    return KEPT_FREE_LOGS * wal_pages(disk_bytes) * PAGE_BYTES


def portions(rows: Sequence[Row], most: int) -> Iterator[Sequence[Row]]:
    """Divide rows among statements of up to `most` rows each."""
    start = 0
    while start < len(rows):
        count = min(most, len(rows) - start)
        count -= count % STEP if count > STEP else 0
        yield rows[start : start + count]
        start += count


class OutboxFile:
    """The SQLite side. Not thread-safe: each thread opens its own."""

    def __init__(
        self,
        path: Path,
        tally: OutboxTally | None = None,
        marks: SentMarks | None = None,
        *,
        alone: bool = False,
    ) -> None:
        """Open or create the file.

        `tally`: where to record how many rows it should hold. `marks`: which of its rows are sent; these are
        neither read nor counted. `alone`: no other handle reads the file, so SQLite keeps the WAL index in
        memory instead of in a file that takes disk space. Raises `OutboxError`; `OutboxDamaged` where it is
        an outbox whose content is damaged; `OutboxFull` where there is no room for the files beside it.
        """
        self.path = path
        self.tally = tally
        self.marks = marks
        self.alone = alone
        self.marked = 0
        self.deletions = 0
        self.writing = Reporting(path, DAMAGE)
        self.reading = Reporting(path, DAMAGE | READ_DAMAGE)
        try:
            self.connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise OutboxError(f"outbox {path}: {error}; give another db_path or repair the file") from error
        try:
            self.prepare()
        except sqlite3.Error as error:
            said = f"outbox {path}: {error}; give another db_path or repair the file"
            if damages(error, READ_DAMAGE):
                raise OutboxDamaged(said, self.connection) from error
            self.connection.close()
            raise (OutboxFull if lacks_room(error, path) else OutboxError)(said) from error
        except OutboxDamaged:
            raise
        except BaseException:
            self.connection.close()
            raise

    def prepare(self) -> None:
        """Turn an empty database into an outbox, and set SQLite's pragmas."""
        database = self.connection
        if self.alone:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
        application = database.execute("PRAGMA application_id").fetchone()[0]
        if database.execute("PRAGMA user_version").fetchone()[0] > OUTBOX.version:
            raise OutboxError(f"outbox {self.path}: written by a newer release; it is left to that release")
        tables = definitions(database)
        if not tables and application == 0:
            database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            # Before there is a WAL, so that the file itself identifies its owner from the first moment.
            database.executescript(f"BEGIN; {OUTBOX.marks()}; COMMIT")
        elif not OUTBOX.knows(tables):
            said = f"outbox {self.path}: it has no outbox table; give another db_path"
            if application == OUTBOX.application:
                raise OutboxDamaged(said, database)
            raise OutboxError(said)
        database.execute("PRAGMA journal_mode = WAL")
        # A commit survives a power loss, not only the end of the process.
        database.execute("PRAGMA synchronous = FULL")
        # Deleted data need not be overwritten, as some builds of SQLite do by default.
        database.execute("PRAGMA secure_delete = OFF")
        pages = wal_pages(space_of(self.path).total)
        database.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        database.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
        self.unchecked = bool(tables) and words(tables[0][1]) in (words(RELEASED), words(UPGRADED))
        if tables and words(tables[0][1]) == words(RELEASED):
            database.executescript(UPGRADE)
        definitions(database)  # opens the WAL, so that `Presence` finds its file
        places = database.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        self.portion = min(PORTION, places // COLUMNS)
        self.marked = sum(1 for _ in self.marked_rows())

    def close(self) -> None:
        self.connection.close()

    def write(self, rows: Sequence[Row], sent: Sequence[int]) -> None:
        """Add rows and delete sent ones, in one commit.

        Few statements, whatever the number of rows: each one releases the GIL and waits to get it back, which
        takes milliseconds beside an evolution that computes.
        """
        execute, now = self.connection.execute, time.time_ns() // 1_000_000
        with self.writing:
            execute("BEGIN IMMEDIATE")
            try:
                removed, first = 0, self.tally.held.first if self.tally is not None else 1
                if sent:
                    numbers = f"[{','.join(map(str, sent))}]"
                    statement = "DELETE FROM outbox WHERE seq IN (SELECT value FROM json_each(?))"
                    removed = execute(statement, (numbers,)).rowcount
                    self.deletions += 1
                    if self.tally is not None and self.deletions % FIRST_EVERY == 0:
                        first = execute("SELECT min(seq) FROM outbox").fetchone()[0]
                for portion in portions(rows, self.portion):
                    places = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(portion))
                    execute(f"INSERT INTO outbox VALUES {places}", columns_of(portion, now))
                if self.tally is not None:
                    self.tally.expect(removed, first, len(rows), rows[-1].seq if rows else 0)
                execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
        if self.tally is not None:
            self.tally.done()
        if self.marked and not rows:
            with suppress(OutboxFull):
                self.sweep()

    def numbers_after(self, seq: int) -> Iterator[int]:
        """Return the numbers of all rows after one, sent or not, in order."""
        found = self.connection.execute("SELECT seq FROM outbox WHERE seq > ? ORDER BY seq", (seq,))
        with closing(found):
            for (number,) in found:
                yield number

    def marked_rows(self) -> Iterator[int]:
        """Return the numbers of rows that are still here although they are sent, in order."""
        marks = self.marks
        if marks is not None and marks.last:
            here = takewhile(lambda seq: seq <= marks.last, self.numbers_after(0))
            yield from (seq for seq in here if seq in marks)

    def delete(self, sent: Sequence[int]) -> None:
        """Delete rows that the broker has; mark them as sent where the disk has no room for deleting.

        Raises `OutboxFull` where they can't be marked either.
        """
        try:
            self.write((), sent)
        except OutboxFull:
            self.mark(sent)

    def mark(self, sent: Sequence[int]) -> None:
        """Mark rows that are still here as sent, which needs no space. Raises `OutboxFull`."""
        if self.marks is None:
            raise OutboxFull(f"outbox {self.path}: it has no marks")
        new = [seq for seq in sent if seq not in self.marks]
        with self.reading:
            self.marks.add(new, self.numbers_after)
        self.marked += len(new)

    def sweep(self) -> None:
        """Delete rows that are marked as sent, in portions. Raises `OutboxFull`."""
        numbers = list(islice(self.marked_rows(), SWEEP_ROWS))
        before, self.marked = self.marked, 0
        try:
            self.write((), numbers)
            before -= len(numbers)
        finally:
            self.marked = before

    def read_after(self, seq: int, limit: int, upto: int = LAST_SEQ) -> list[Row]:
        """Return up to `limit` rows after `seq`, in order; fewer where they are large, none at the end.

        Raises `OutboxDamaged` where a row is damaged.
        """
        rows: list[Row] = []
        size = 0
        marks = self.marks
        with self.reading:
            found = self.connection.execute(
                "SELECT seq, topic, key, value, checksum FROM outbox WHERE seq > ? AND seq <= ? ORDER BY seq",
                (seq if marks is None else max(seq, marks.upto), upto),
            )
            for values in found:
                if marks is not None and values[0] in marks.beyond:
                    continue
                if (row := verified(*values, unchecked=self.unchecked)) is None:
                    found.close()
                    raise OutboxDamaged(
                        f"outbox {self.path}: event {values[0]} differs from what was recorded"
                    )
                rows.append(row)
                size += row.size
                if size >= READ_BYTES or len(rows) >= limit:
                    break
            found.close()
        return rows

    def last(self) -> int:
        """Return the highest row number; 0 = there are no rows."""
        with self.reading:
            return int(self.connection.execute("SELECT ifnull(max(seq), 0) FROM outbox").fetchone()[0])

    def first(self) -> int:
        """Return the lowest row number; 1 = there are no rows."""
        with self.reading:
            return int(self.connection.execute("SELECT ifnull(min(seq), 1) FROM outbox").fetchone()[0])

    def keep(self, rows: Sequence[Row]) -> None:
        """Add another file's rows under their own numbers; a row that is already here stays as it is."""
        now = time.time_ns() // 1_000_000
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(
            "INSERT OR IGNORE INTO outbox VALUES (?, ?, ?, ?, ?, ?)",
            ((row.seq, row.topic, row.key, row.value, now, checksum_of(row)) for row in rows),
        )
        self.connection.execute("COMMIT")

    def sheddable(self, topic: str, after: int, limit: int) -> list[tuple[int, int]]:
        """Return seq and size of up to `limit` rows of a topic after a seq, oldest first."""
        with self.writing:
            found = self.connection.execute(
                f"SELECT seq, length(value) + {ROW_OVERHEAD} FROM outbox "
                "WHERE topic = ? AND seq > ? ORDER BY seq LIMIT ?",
                (topic, after, limit),
            ).fetchall()
        return [each for each in found if self.marks is None or each[0] not in self.marks]

    def depth(self) -> int:
        """Return how many rows wait to be sent. Raises `OutboxDamaged`."""
        return self.rows() - self.marked

    def rows(self) -> int:
        """Return how many rows there are, sent ones included. Raises `OutboxDamaged`."""
        with self.reading:
            return int(self.connection.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def stock(self, topic: str) -> tuple[int, int, int]:
        """Return how many rows wait, their size, and how many of them are of a topic."""
        found = self.connection.execute(
            f"SELECT count(*), ifnull(sum(length(value) + {ROW_OVERHEAD}), 0), ifnull(sum(topic = ?), 0) "
            "FROM outbox",
            (topic,),
        )
        rows, size, of_topic = found.fetchone()
        return rows, size, of_topic

    def shrink(self) -> None:
        """Return unused pages to the file system."""
        # By executescript, which runs the pragma to completion: `execute` frees a single page.
        with self.writing:
            self.connection.executescript("PRAGMA incremental_vacuum")


def verified(
    seq: object, topic: object, key: object, value: object, checksum: object, *, unchecked: bool
) -> Row | None:
    """Return the row that columns hold, None where it is damaged.

    `unchecked`: rows of a release without checksums may be among them; those must hold an event.
    """
    if checksum is not None or not unchecked:
        return whole_row(seq, topic, key, value, checksum)
    row = row_of(seq, topic, key, value)
    return row if row is not None and sound(row) else None


def sound(row: Row) -> bool:
    """Return whether a row's event can be decoded, as far as this release knows its schema."""
    try:
        schema, start = wire().locate(row.value)
    except UnreadableMessage:
        return True
    try:
        decode(schema, row.value, start)
    except UnreadableMessage:
        return False
    return True


@cache
def wire() -> WireFormat:
    """Return the wire format with the schemas that this release knows."""
    return WireFormat()


def oldest_in(path: Path) -> float | None:
    """Return when the oldest row of an outbox was recorded, Unix seconds. Raises `sqlite3.Error`."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT recorded_at FROM outbox ORDER BY seq LIMIT 1").fetchone()
    return None if found is None else found[0] / 1000
