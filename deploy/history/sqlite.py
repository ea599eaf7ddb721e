"""SQLite files: a node's own history, or the specification's four tables.

Those are evolution_metrics, evolution_strategies, kpi_snapshots and system_events.

Our own history has each event as it was recorded in `events`, under the id that a broker would have received,
and only that table is read. Of any other file, those of the four tables that exist are read, in one read
transaction, so that a file in use is seen as of one moment. Neither is written to.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evometrics.deploy.history.columns import cells_of, named
from evometrics.deploy.history.sources import STRATEGIES, STRATEGY, HistoryFile, SourceRow
from evometrics.deploy.history.sqlite_file import SQLITE_ERRORS, in_wal_mode, open_database, quoted
from evometrics.schemas.history.file import HEADER_BYTES, HistoryError, check_file, is_history
from evometrics.schemas.service.settings import SettingsError
from evometrics.schemas.topics import BY_NAME, RAW_TOPICS

#: Strategies first: an evolution includes its strategy.
TABLES = {
    STRATEGIES: STRATEGY,
    "evolution_metrics": "evolution",
    "kpi_snapshots": "snapshot",
    "system_events": "system_event",
}
#: Columns of the events table of our own history; a copy made through SQL has lost the mark in its header.
EVENT_COLUMNS = {"event_id", "topic", "value"}
OTHER_TOPIC = "other topics"


class HistorySource:
    """A history written by one of our collectors (`evometrics.schemas.history.file`).

    Its events are counted under the tables that they have in ClickHouse.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with contextlib.closing(open_database(path)) as db:
                found = db.execute("SELECT topic, count(*) FROM events GROUP BY topic").fetchall()
        except SQLITE_ERRORS as error:
            raise SettingsError(f"{path}: can't be read: {error}") from None
        topics = {str(topic) for topic, _ in found}
        self.tables = tuple(topic.table for topic in RAW_TOPICS if topic.name in topics)
        if not topics <= {topic.name for topic in RAW_TOPICS}:
            self.tables += (OTHER_TOPIC,)
        self.total: int | None = sum(count for _, count in found)

    def rows(self) -> Iterator[SourceRow]:
        """Yield the events in the order in which they were written."""
        rowid, table = 0, (*self.tables, OTHER_TOPIC)[0]
        with contextlib.closing(open_database(self.path)) as db:
            try:
                for rowid, topic, value in db.execute(
                    "SELECT rowid, topic, value FROM events ORDER BY rowid"
                ):
                    known = topic in BY_NAME and BY_NAME[topic] in RAW_TOPICS
                    table = BY_NAME[topic].table if known else OTHER_TOPIC
                    problem = "" if known else f"topic: {topic!r:.80} is not a topic of recorded events"
                    yield SourceRow("event", table, {"rowid": rowid}, {"value": value}, problem)
            except SQLITE_ERRORS as error:
                reason = f"events can't be read after row {rowid}: {error}"
                yield SourceRow("event", table, {"rowid": rowid + 1}, {}, reason)


def sqlite_source(path: Path) -> HistoryFile:
    """Return the source of a SQLite file, by its origin. Raises `SettingsError`."""
    with path.open("rb") as file:
        ours = is_history(file.read(HEADER_BYTES))
    if ours:
        try:
            check_file(path)
        except HistoryError as error:
            raise SettingsError(f"{path}: can't be read: {error}") from None
        return HistorySource(path)
    with contextlib.closing(open_database(path)) as db:
        try:
            columns = {row[1] for row in db.execute("PRAGMA table_info(events)")}
        except SQLITE_ERRORS as error:
            raise SettingsError(f"{path}: can't be read as SQLite: {error}") from None
    return HistorySource(path) if columns >= EVENT_COLUMNS else SqliteSource(path)


class SqliteSource:
    """A SQLite file of the specification's shape; additional columns are welcome."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with contextlib.closing(open_database(path)) as db:
            try:
                found = [
                    str(name)
                    for (name,) in db.execute(
                        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
                    )
                ]
            except SQLITE_ERRORS as error:
                raise SettingsError(f"{path}: can't be read as SQLite: {error}") from None
            #: The tables' names in this file, by their names in the specification.
            self.names = {name.lower(): name for name in found if name.lower() in TABLES}
            self.tables = tuple(name for name in TABLES if name in self.names)
            if not self.tables:
                there = ", ".join(found) or "none"
                if not found and in_wal_mode(path):
                    there += f", but is in WAL mode: {path.name}-wal, where they may be, must be next to it"
                raise SettingsError(f"{path}: has none of the tables {', '.join(TABLES)}; it has {there}")
            self.total = self.count(db)

    def count(self, db: sqlite3.Connection) -> int | None:
        """Return the number of rows; None if damage prevents counting."""
        try:
            return sum(
                int(db.execute(f"SELECT count(*) FROM {quoted(self.names[table])}").fetchone()[0])
                for table in self.tables
            )
        except SQLITE_ERRORS:
            return None

    def rows(self) -> Iterator[SourceRow]:
        """Yield the rows table by table, in the order of their rowids, or of the table if it has none."""
        with contextlib.closing(open_database(self.path)) as db:
            db.execute("BEGIN")
            for table in self.tables:
                yield from self.rows_of(db, table)

    def rows_of(self, db: sqlite3.Connection, table: str) -> Iterator[SourceRow]:
        name, kind = quoted(self.names[table]), TABLES[table]
        number = 0
        place: dict[str, int | str] = {"number": 0}
        try:
            by_rowid = has_rowid(db, self.names[table])
            cursor = db.execute(
                f"SELECT rowid, * FROM {name} ORDER BY rowid" if by_rowid else f"SELECT 0, * FROM {name}"
            )
            columns = named([column[0] for column in cursor.description][1:])
            for rowid, *values in cursor:
                number += 1
                place = {"rowid": rowid} if by_rowid else {"number": number}
                cells, problem = cells_of(columns, values)
                yield SourceRow(kind, table, place, cells, problem)
        except SQLITE_ERRORS as error:
            after = next(iter(place.values()))
            yield SourceRow(kind, table, place, {}, f"{table} can't be read after row {after}: {error}")


def has_rowid(db: sqlite3.Connection, table: str) -> bool:
    """Return whether a table's rows have rowids; those of a view, or WITHOUT ROWID, have not."""
    found: list[Any] = db.execute(
        "SELECT type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (table,)
    ).fetchall()
    return [tuple(row) for row in found] == [("table", 0)]
