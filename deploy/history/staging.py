"""The events to import, on disk: each event once, to be read in the order of time.

A private database that SQLite deletes as it opens it (an empty name: sqlite.org/inmemorydb.html), so that a
killed import leaves nothing behind; in SQLite's folder for temporary files (SQLITE_TMPDIR, TMPDIR). It holds
what the source holds, as Avro; memory holds a cache of some 64 MB, whatever the number of rows.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterator
from types import TracebackType
from typing import Any, NamedTuple

from evometrics.deploy.history.report import cells_json
from evometrics.deploy.history.sources import STRATEGIES, SourceRow
from evometrics.schemas.events import Event
from evometrics.schemas.topics import BY_RECORD, RAW_TOPICS

TOPIC_NUMBERS = {topic.name: number for number, topic in enumerate(RAW_TOPICS)}
CREATE = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -65536;
CREATE TABLE event (
    id BLOB NOT NULL UNIQUE, at INTEGER NOT NULL, topic INTEGER NOT NULL, key TEXT NOT NULL,
    value BLOB NOT NULL, source TEXT NOT NULL, strategy INTEGER NOT NULL
);
CREATE TABLE strategy (
    evolution TEXT PRIMARY KEY, cells TEXT NOT NULL, place TEXT NOT NULL, row TEXT NOT NULL,
    used INTEGER NOT NULL
) WITHOUT ROWID;
BEGIN;
"""


class Staged(NamedTuple):
    """A staged event: `value` is Avro single-object encoding, `table` the name its row is counted under.

    Attributes:
        strategy: whether a row of `evolution_strategies` is in it, and counts with it.
    """

    event_id: str
    at: int
    topic: str
    key: str
    value: bytes
    table: str
    strategy: bool


class SameIdOtherValues(ValueError):
    """Two rows are the same event by their identity, but differ in the rest."""


class Staging:
    """Events by id, and the strategies that wait for their evolutions. Use it as a context manager."""

    def __init__(self) -> None:
        self.db = sqlite3.connect("", isolation_level=None)
        self.db.executescript(CREATE)

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.db.close()

    def add(self, event: Event, value: bytes, table: str, strategy: bool) -> bool:
        """Add an event; return False if an identical one is there. Raises `SameIdOtherValues`."""
        topic = BY_RECORD[event.record].name
        key = uuid.UUID(event.event_id).bytes
        row = (key, event.occurred_at, TOPIC_NUMBERS[topic], event.key, value, table, strategy)
        if self.db.execute("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?, ?, ?)", row).rowcount:
            return True
        (known,) = self.db.execute("SELECT value FROM event WHERE id = ?", (key,)).fetchone()
        if known != value:
            raise SameIdOtherValues("an earlier row is the same event with other values")
        return False

    def prepare(self) -> int:
        """Prepare for `ordered`, which then answers at once; return the number of events."""
        self.db.execute("CREATE INDEX in_time ON event (at)")
        (number,) = self.db.execute("SELECT count(*) FROM event").fetchone()
        return int(number)

    def ordered(self, number: int, size: int) -> Iterator[list[Staged]]:
        """Yield the events in the order of time: `number` at once, or fewer of `size` bytes together."""
        chunk: list[Staged] = []
        held = 0
        for of, at, topic, key, value, table, strategy in self.db.execute(
            "SELECT id, at, topic, key, value, source, strategy FROM event ORDER BY at, rowid"
        ):
            event_id, name = str(uuid.UUID(bytes=of)), RAW_TOPICS[topic].name
            chunk.append(Staged(event_id, at, name, key, value, table, bool(strategy)))
            held += len(value)
            if len(chunk) >= number or held >= size:
                yield chunk
                chunk, held = [], 0
        if chunk:
            yield chunk

    def add_strategy(self, evolution_id: str, cells: dict[str, Any], row: SourceRow) -> SourceRow | None:
        """Keep an evolution's strategy; return the row of the one that it replaces."""
        earlier = self.db.execute(
            "SELECT place, row FROM strategy WHERE evolution = ?", (evolution_id,)
        ).fetchone()
        kept = (evolution_id, json.dumps(cells), json.dumps(row.place), cells_json(row.cells))
        self.db.execute("INSERT OR REPLACE INTO strategy VALUES (?, ?, ?, ?, 0)", kept)
        return None if earlier is None else strategy_row(*earlier)

    def strategy_of(self, evolution_id: str) -> tuple[dict[str, Any], bool] | None:
        """Return an evolution's strategy, and whether it has been used; None if there is none."""
        found = self.db.execute("SELECT cells, used FROM strategy WHERE evolution = ?", (evolution_id,))
        row = found.fetchone()
        return None if row is None else (json.loads(row[0]), bool(row[1]))

    def use_strategy(self, evolution_id: str) -> None:
        """Mark an evolution's strategy as used."""
        self.db.execute("UPDATE strategy SET used = 1 WHERE evolution = ?", (evolution_id,))

    def unused_strategies(self) -> Iterator[SourceRow]:
        """Yield the rows of the strategies that no evolution has used."""
        for place, row in self.db.execute("SELECT place, row FROM strategy WHERE NOT used"):
            yield strategy_row(place, row)


def strategy_row(place: str, row: str) -> SourceRow:
    """Return a strategy's row as it was kept."""
    return SourceRow("strategy", STRATEGIES, json.loads(place), json.loads(row))
