"""The specification's SQLite file: evolution_metrics, evolution_strategies, kpi_snapshots, system_events.

Those of the four tables that are there are read, in one read transaction, so that a file in use is seen as it
was at one moment. The file is not written to.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from evometrics.deploy.history.sources import STRATEGIES, Kind, SourceRow
from evometrics.schemas.settings import SettingsError

#: Strategies first: an evolution takes in its strategy.
TABLES: dict[str, Kind] = {
    STRATEGIES: "strategy",
    "evolution_metrics": "evolution",
    "kpi_snapshots": "snapshot",
    "system_events": "system_event",
}


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
