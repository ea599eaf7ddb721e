"""SQLite files: a node's own history, or the specification's four tables (evolution_metrics,
evolution_strategies, kpi_snapshots, system_events).

A history of ours has in `events` each event as it was recorded, under the id that a broker would have got it
with, and that is what is read of it. Of any other file, those of the four tables that are there are read, in
one read transaction, so that a file in use is seen as it was at one moment. Neither is written to.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from evometrics.deploy.history.sources import STRATEGIES, Kind, Source, SourceRow
from evometrics.schemas.history import HEADER_BYTES, HistoryError, is_history, open_to_read
from evometrics.schemas.settings import SettingsError
from evometrics.schemas.topics import BY_NAME, RAW_TOPICS

#: Strategies first: an evolution takes in its strategy.
TABLES: dict[str, Kind] = {
    STRATEGIES: "strategy",
    "evolution_metrics": "evolution",
    "kpi_snapshots": "snapshot",
    "system_events": "system_event",
}


class HistorySource:
    """A history that a collector of ours has written (`evometrics.schemas.history`).

    Its events are counted under the tables that they have in ClickHouse.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with contextlib.closing(open_to_read(path)) as db:
                found = db.execute("SELECT topic, count(*) FROM events GROUP BY topic").fetchall()
        except (HistoryError, sqlite3.Error) as error:
            raise SettingsError(f"{path}: can't be read: {error}") from None
        named = {topic for topic, _ in found}
        self.tables = tuple(topic.table for topic in RAW_TOPICS if topic.name in named)
        self.total: int | None = sum(count for _, count in found)

    def rows(self) -> Iterator[SourceRow]:
        """Yield the events in the order in which they were written. Raises `OSError` at damage."""
        rowid = 0
        with contextlib.closing(open_to_read(self.path)) as db:
            try:
                for rowid, topic, value in db.execute(
                    "SELECT rowid, topic, value FROM events ORDER BY rowid"
                ):
                    yield SourceRow("event", BY_NAME[topic].table, {"rowid": rowid}, {"value": value})
            except sqlite3.Error as error:
                raise OSError(f"{self.path}: events can't be read after row {rowid}: {error}") from None


def sqlite_source(path: Path) -> Source:
    """Return the source of a SQLite file, by whose it is. Raises `SettingsError`."""
    with path.open("rb") as file:
        ours = is_history(file.read(HEADER_BYTES))
    return HistorySource(path) if ours else SqliteSource(path)


class SqliteSource:
    """A SQLite file of the specification's shape; further columns are welcome."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with contextlib.closing(self.connect()) as db:
                found = {
                    name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                }
                self.tables = tuple(name for name in TABLES if name in found)
                counts = [db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in self.tables]
        except sqlite3.Error as error:
            raise SettingsError(f"{path}: can't be read as SQLite: {error}") from None
        if not self.tables:
            named = ", ".join(sorted(found)) or "none"
            raise SettingsError(f"{path}: has none of the tables {', '.join(TABLES)}; it has {named}")
        self.total: int | None = sum(counts)

    def connect(self) -> sqlite3.Connection:
        """Open the file for reading; text that is not UTF-8 comes through as what `cells.text` refuses."""
        db = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
        db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        return db

    def rows(self) -> Iterator[SourceRow]:
        """Yield the rows table by table, in the order of their rowids. Raises `OSError` at damage."""
        with contextlib.closing(self.connect()) as db:
            db.execute("BEGIN")
            for table in self.tables:
                rowid: int | str = "none yet"
                try:
                    cursor = db.execute(f"SELECT rowid, * FROM {table} ORDER BY rowid")
                    names = [column[0] for column in cursor.description][1:]
                    for rowid, *values in cursor:
                        cells = dict(zip(names, values, strict=True))
                        yield SourceRow(TABLES[table], table, {"rowid": rowid}, cells)
                except sqlite3.Error as error:
                    raise OSError(f"{self.path}: {table} can't be read after row {rowid}: {error}") from None
