"""Messages that the broker permanently refuses, kept for inspection: one SQLite file per node."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from heapq import merge
from itertools import count
from pathlib import Path

from evometrics.producers.notices import tell_once
from evometrics.producers.outbox.row import Row
from evometrics.producers.sqlite.forking import uses_sqlite
from evometrics.producers.sqlite.kinds import Format, Whose, whose

DAY_SECONDS = 86_400
#: Messages that are read at a time; each is 1 MB at most.
PAGE_ROWS = 20
PAGE_SQL = "SELECT rowid, * FROM refused WHERE rowid > ? ORDER BY rowid LIMIT ?"
SCHEMA = """CREATE TABLE refused (
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    reason TEXT NOT NULL,
    refused_at REAL NOT NULL
)"""
#: "EvRf"; the previous release had the same table without an application id.
REFUSED = Format(0x45765266, 1, "refused", (SCHEMA,))

#: Topic, key, value, reason, Unix time.
Message = tuple[str, str, bytes, str, float]


class RefusedMessages:
    """The table `refused` in `<db_path stem>-refused.db`, shared by all collectors of a node.

    Where that name is taken by another application's file, or our file is damaged, the next free name is
    used.

    Attributes:
        path: the file that was used last.
    """

    def __init__(self, db_path: Path) -> None:
        self.db_path = db_path
        self.path = self.named(1)

    @classmethod
    def beside(cls, db_path: Path) -> RefusedMessages:
        """Return the table that belongs to these outboxes."""
        return cls(db_path)

    def named(self, number: int) -> Path:
        """Return the `number`th name that the file may have."""
        more = "" if number == 1 else f"-{number}"
        return self.db_path.with_name(f"{self.db_path.stem}-refused{more}{self.db_path.suffix or '.db'}")

    def files(self) -> Iterator[tuple[Path, bool]]:
        """Yield our files and whether each exists, finally a name that is free."""
        for number in count(1):
            path = self.named(number)
            found = whose(path, REFUSED)
            if found is Whose.NOTHING:
                yield path, False
                return
            if found is Whose.OURS:
                yield path, True
            else:
                what = (
                    "a newer release's file for refused messages"
                    if found is Whose.NEWER
                    else "not a file for refused messages"
                )
                tell_once(
                    path, f"{what}; it is left untouched, refused messages are kept in another file beside it"
                )

    def open(self, path: Path) -> sqlite3.Connection:
        """Open a file; each use opens its own handle, because uses are rare."""
        connection = sqlite3.connect(path, timeout=30)
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            try:
                connection.executescript(f"BEGIN IMMEDIATE; {REFUSED.marks()}; COMMIT")
            except sqlite3.OperationalError:
                # Another collector may have created the table just now.
                connection.rollback()
                connection.execute("SELECT 1 FROM refused LIMIT 1")
        return connection

    @uses_sqlite
    def add(self, row: Row, reason: str) -> None:
        """Keep a message and why it was refused; on disk when this returns."""
        for path, _ in self.files():
            self.path = path
            try:
                with closing(self.open(path)) as connection, connection:
                    connection.execute(
                        "INSERT INTO refused VALUES (?, ?, ?, ?, ?)",
                        (row.topic, row.key, row.value, reason, time.time()),
                    )
                return
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                tell_once(
                    path, f"{error}; refused messages are kept in another file beside it", logging.ERROR
                )

    @uses_sqlite
    def forget(self, older_than_days: float) -> None:
        """Delete messages older than this."""
        for path, exists in self.files():
            if exists:
                with closing(self.open(path)) as connection, connection:
                    limit = time.time() - older_than_days * DAY_SECONDS
                    connection.execute("DELETE FROM refused WHERE refused_at < ?", (limit,))

    def all(self) -> Iterator[Message]:
        """Yield what is kept: topic, key, value, reason, Unix time. One page of each file is in memory.

        In the order in which they were added; those of several files by time.
        """
        files = [path for path, exists in self.files() if exists]
        return merge(*map(self.messages, files), key=lambda message: message[4])

    def messages(self, path: Path) -> Iterator[Message]:
        """Yield the messages of a file, by pages; the file is not held open in between."""
        last = 0
        while True:
            with closing(self.open(path)) as connection:
                page = connection.execute(PAGE_SQL, (last, PAGE_ROWS)).fetchall()
            for last, *message in page:  # noqa: B007 - the next page follows it
                yield tuple(message)
            if len(page) < PAGE_ROWS:
                return
