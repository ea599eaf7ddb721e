"""A node's own history: the specification's SQLite backend, written in batches.

Without a broker, events are delivered here: the outbox makes each durable at once, `LocalPublisher` copies
them here, and only then are they deleted there. Beside a broker it is a copy, written by `observe`.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evometrics.producers.exporters.exporter import Exporter
from evometrics.producers.history.joins import completions
from evometrics.producers.history.rows import event_row, evolution_rows, rows_of
from evometrics.producers.outbox.row import Row
from evometrics.producers.sqlite.forking import uses_sqlite
from evometrics.schemas.events import Event
from evometrics.schemas.history.file import HistoryError, open_to_write
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat

logger = logging.getLogger(__name__)

#: Seconds between two writes of observed events.
INTERVAL = 1.0
#: Most events observed and not yet written: beyond this the oldest are left out of the copy, and counted.
MOST_OBSERVED = 20_000
BATCH = 1000
DAY_SECONDS = 86_400
#: Old rows are deleted at this interval, this many per transaction.
FORGET_SECONDS = 3600.0
FORGET_ROWS = 2000
KNOWN = "SELECT event_id FROM events WHERE event_id IN (SELECT value FROM json_each(?))"
#: An event's rows by the column with its id; strategies before the evolutions that they refer to.
TABLES_BY_EVENT = (
    (
        "evolution_strategies",
        "event_id IN (SELECT event_id FROM evolution_metrics WHERE source_event_id IN {old})",
    ),
    ("evolution_metrics", "source_event_id IN {old}"),
    ("kpi_snapshots", "event_id IN {old} OR source_event_id IN {old}"),
    ("system_events", "event_id IN {old}"),
    ("events", "event_id IN {old}"),
)


class SQLiteMetricsBackend(Exporter):
    """Writes events into the history file; safe for several threads, and for several processes of a node.

    Each event is in it once, however often it is given. A file of that name that is not ours is never
    touched: each write then raises `HistoryError` naming it and the way out.

    Attributes:
        retention_days: rows are deleted this long after they were written.
        left_out: observed events that were not written, because too many waited.
    """

    def __init__(self, db_path: str | Path, retention_days: float = 90) -> None:
        super().__init__(f"history {db_path}", INTERVAL)
        self.path = Path(db_path)
        self.retention_days = retention_days
        self.left_out = 0
        self.wire = WireFormat()
        self.observed: deque[Event] = deque()
        self.sending = threading.Lock()
        self.writing = threading.Lock()
        self.db: sqlite3.Connection | None = None
        self.inode = 0
        self.forget_at = 0.0

    def observe(self, event: Event) -> None:
        self.observed.append(event)
        if len(self.observed) > MOST_OBSERVED:
            self.observed.popleft()
            self.left_out += 1

    def send(self) -> None:
        with self.sending:
            while self.observed:
                batch = [self.observed.popleft() for _ in range(min(BATCH, len(self.observed)))]
                try:
                    self.store(batch)
                except BaseException:
                    self.observed.extendleft(reversed(batch))
                    raise

    def store(self, events: Iterable[Event]) -> None:
        """Write events; on disk when this returns. Raises `HistoryError`."""
        self.write([(each, BY_RECORD[each.record].name, each.key, self.wire.encode(each)) for each in events])

    def take(self, rows: Sequence[Row]) -> list[tuple[Row, str]]:
        """Write an outbox's rows; on disk when this returns. Raises `HistoryError`.

        Returns the rows that can't be decoded, each with the reason.
        """
        found, unreadable = [], []
        for row in rows:
            try:
                found.append((self.wire.decode(row.value), row.topic, row.key, row.value))
            except UnreadableMessage as error:
                unreadable.append((row, str(error)))
        self.write(found)
        return unreadable

    @uses_sqlite
    def write(self, events: Sequence[tuple[Event, str, str, bytes]]) -> None:
        """Write those events that are not there yet, with their topics, keys and values; one transaction."""
        with self.writing:
            try:
                if self.db is not None and not self.in_place():
                    logger.error("history %s was removed while in use; a new one is created", self.path)
                    self.disconnect()
                if self.db is None:
                    self.db = open_to_write(self.path)
                    self.inode = self.path.stat().st_ino
                self.transact(self.db, events)
                if time.monotonic() >= self.forget_at:
                    self.forget(self.db)
                    self.forget_at = time.monotonic() + FORGET_SECONDS
            except sqlite3.Error as error:
                self.disconnect()
                raise HistoryError(
                    f"history {self.path}: {error}; free the disk, or name another file (history_db)"
                ) from error

    def transact(self, db: sqlite3.Connection, events: Sequence[tuple[Event, str, str, bytes]]) -> None:
        """Write one batch completely, or not at all."""
        now = time.time()
        ids = json.dumps([event.event_id for event, *_ in events])
        db.execute("BEGIN IMMEDIATE")
        try:
            known = {found for (found,) in db.execute(KNOWN, (ids,))}
            tables: dict[str, list[dict[str, Any]]] = {}
            new: list[Event] = []
            for event, topic, key, value in events:
                if event.event_id in known:
                    continue
                known.add(event.event_id)
                new.append(event)
                tables.setdefault("events", []).append(event_row(event, topic, key, value, now))
                for table, row in rows_of(event):
                    tables.setdefault(table, []).append(row)
            for done, start in completions(db, self.wire, new):
                for table, row in evolution_rows(done, start):
                    tables.setdefault(table, []).append(row)
            for table, rows in tables.items():
                names = list(rows[0])
                places = ", ".join(f":{name}" for name in names)
                db.executemany(f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({places})", rows)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def forget(self, db: sqlite3.Connection) -> None:
        """Delete what was written more than `retention_days` ago, in portions: others write meanwhile."""
        limit = time.time() - self.retention_days * DAY_SECONDS
        old = f"(SELECT event_id FROM events WHERE recorded_at < ?1 ORDER BY recorded_at LIMIT {FORGET_ROWS})"
        while True:
            db.execute("BEGIN IMMEDIATE")
            try:
                for table, which in TABLES_BY_EVENT:
                    statement = f"DELETE FROM {table} WHERE {which.format(old=old)}"
                    deleted = db.execute(statement, (limit,)).rowcount
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            if deleted < FORGET_ROWS:
                return

    def in_place(self) -> bool:
        """Return whether the open file is still the one under its name."""
        try:
            return self.path.stat().st_ino == self.inode
        except OSError:
            return False

    def disconnect(self) -> None:
        """Close the file; the next write opens it again."""
        db, self.db = self.db, None
        if db is not None:
            db.close()

    @uses_sqlite
    def close(self) -> None:
        """Close the file, after any write in progress."""
        with self.writing:
            self.disconnect()
