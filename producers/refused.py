"""Messages that the broker will never take, kept for whoever has to look: one SQLite file per node."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from evometrics.producers.row import Row

DAY_SECONDS = 86_400
SCHEMA = """
CREATE TABLE IF NOT EXISTS refused (
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    reason TEXT NOT NULL,
    refused_at REAL NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class RefusedMessages:
    """The table `refused` in `<db_path stem>-refused.db`, shared by all collectors of a node."""

    path: Path

    @classmethod
    def beside(cls, db_path: Path) -> RefusedMessages:
        """Return the table that belongs to these outboxes."""
        return cls(db_path.with_name(f"{db_path.stem}-refused{db_path.suffix or '.db'}"))

    def open(self) -> sqlite3.Connection:
        """Open the file; each use opens its own handle, for uses are rare."""
        connection = sqlite3.connect(self.path, timeout=30)
        connection.execute(SCHEMA)
        return connection

    def add(self, row: Row, reason: str) -> None:
        """Keep a message and why it was refused; on disk when this returns."""
        with closing(self.open()) as connection, connection:
            connection.execute(
                "INSERT INTO refused VALUES (?, ?, ?, ?, ?)",
                (row.topic, row.key, row.value, reason, time.time()),
            )

    def forget(self, older_than_days: float) -> None:
        """Delete what is older."""
        if not self.path.exists():
            return
        with closing(self.open()) as connection, connection:
            limit = time.time() - older_than_days * DAY_SECONDS
            connection.execute("DELETE FROM refused WHERE refused_at < ?", (limit,))

    def all(self) -> list[tuple[str, str, bytes, str, float]]:
        """Return what is kept, oldest first: topic, key, value, reason, Unix time."""
        if not self.path.exists():
            return []
        with closing(self.open()) as connection:
            return connection.execute("SELECT * FROM refused ORDER BY refused_at").fetchall()
