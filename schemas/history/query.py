"""The specification's four questions, asked of a node's own history: no server is needed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evometrics.schemas.events import EvolutionMetrics, EvolutionStarted, field_names, micros
from evometrics.schemas.evolutions.outcome import ABANDONED_AFTER_SECONDS, abandoned_metrics
from evometrics.schemas.history.file import JSON_COLUMNS, HistoryError, open_to_read
from evometrics.schemas.history.found import FoundEvolutions
from evometrics.schemas.history.questions import (
    COUNTED,
    check_range,
    check_resource,
    check_text,
    check_top,
    rate,
    trend,
)
from evometrics.schemas.topics import EVOLUTION_STARTED
from evometrics.schemas.wire.framing import WireFormat

FIELDS = field_names(EvolutionMetrics)
#: SQLite stores a whole number as an integer; the event has floats.
NUMBERS = frozenset({"memory_used_mb", "cpu_percent_avg", "gpu_memory_mb", "duration_minutes", "efficiency"})
FLAGS = frozenset({"success", "rollback_performed"})
#: Times are stored as in the specification, in seconds: exact to the microsecond until the year 2255.
COLUMN_OF = {"occurred_at": "timestamp"}
TIMES = frozenset({"occurred_at", "started_at"})
#: Not by name: a file that an earlier build wrote last has fewer columns.
SELECT = "SELECT * FROM evolution_metrics"
#: Starts without a completion; found by `idx_evolution`.
OPEN_STARTS = """
SELECT value FROM events AS started WHERE topic = :topic AND key = :agent AND evolution_id IS NOT NULL
AND NOT EXISTS (
    SELECT 1 FROM evolution_metrics AS done
    WHERE done.evolution_id = started.evolution_id AND done.agent_id = started.key
)
"""


class LocalMetricsQuery:
    """Answers like `MetricsQuery`, from the history file of one node (`history_db`).

        history = await LocalMetricsQuery("evolution_metrics.db").get_agent_evolution_history("agent-1")

    The file may be in use by collectors. An evolution that began `abandoned_after_seconds` ago and has not
    ended counts as abandoned. Every call raises `HistoryError`, naming the file, where it can't be read, and
    `ValueError`, naming the argument, where one is invalid.
    """

    def __init__(self, path: str | Path, *, abandoned_after_seconds: float = ABANDONED_AFTER_SECONDS) -> None:
        self.path = Path(path)
        self.abandoned_after = micros(abandoned_after_seconds)
        self.wire = WireFormat()
        self.db: sqlite3.Connection | None = None
        self.lock = threading.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self.lock:
            db, self.db = self.db, None
        if db is not None:
            db.close()

    async def get_agent_evolution_history(
        self, agent_id: str, start_time: float | None = None, end_time: float | None = None
    ) -> FoundEvolutions:
        """Return an agent's evolutions, oldest first, abandoned ones too.

        `start_time` and `end_time` are Unix seconds, both inclusive; an evolution's time is its end.
        """
        check_text("agent_id", agent_id)
        start, end = check_range(start_time, end_time)
        first, last = (0 if start is None else start), (2**62 if end is None else end)
        rows = await self.rows(
            f"{SELECT} WHERE agent_id = :agent AND timestamp BETWEEN :first AND :last",
            {"agent": agent_id, "first": first / 1e6, "last": last / 1e6},
        )
        found = [evolution_of(row) for row in rows]
        found += [each for each in await self.abandoned(agent_id) if first <= each.occurred_at <= last]
        return FoundEvolutions(sorted(found, key=lambda each: (each.occurred_at, each.event_id)))

    async def get_top_performing_evolutions(
        self, limit: int = 10, time_window_hours: int = 24
    ) -> FoundEvolutions:
        """Return the `limit` evolutions of the last hours with the highest performance after them."""
        since = check_top(limit, time_window_hours, time.time())
        sql = (
            f"{SELECT} WHERE timestamp >= :since AND performance_score IS NOT NULL "
            "ORDER BY performance_score DESC, improvement_delta DESC NULLS LAST, event_id LIMIT :limit"
        )
        rows = await self.rows(sql, {"since": since / 1e6, "limit": int(limit)})
        return FoundEvolutions(map(evolution_of, rows))

    async def get_evolution_success_rate(
        self, agent_id: str | None = None, evolution_type: str | None = None
    ) -> float:
        """Return successes / completed evolutions (0-1), of one agent or type where named.

        NaN where none was completed.
        """
        conditions, values = ["TRUE"], dict[str, Any]()
        if agent_id is not None:
            conditions.append("agent_id = :agent")
            values["agent"] = check_text("agent_id", agent_id)
        if evolution_type is not None:
            conditions.append("evolution_type = :type")
            values["type"] = check_text("evolution_type", evolution_type)
        where = " AND ".join(conditions)
        sql = f"SELECT count(*) FILTER (WHERE success), count(*) FROM evolution_metrics WHERE {where}"
        ((successes, completed),) = await self.rows(sql, values)
        return rate(successes, completed)

    async def get_resource_usage_trends(
        self, agent_id: str, metric: str = "memory_used_mb"
    ) -> dict[str, Any]:
        """Return how much of a resource an agent's evolutions used over time, like `MetricsQuery`."""
        check_text("agent_id", agent_id)
        check_resource(metric)
        sql = (
            f"SELECT timestamp, evolution_id, CAST({metric} AS REAL) FROM evolution_metrics "
            f"WHERE agent_id = :agent AND {metric} IS NOT NULL ORDER BY timestamp, event_id"
        )
        return trend(agent_id, metric, await self.rows(sql, {"agent": agent_id}))

    async def abandoned(self, agent_id: str) -> list[EvolutionMetrics]:
        """Return an agent's evolutions that began long ago and have not ended."""
        since = micros(time.time()) - self.abandoned_after
        found = []
        for (value,) in await self.rows(OPEN_STARTS, {"topic": EVOLUTION_STARTED.name, "agent": agent_id}):
            started = self.wire.decode(value)
            if isinstance(started, EvolutionStarted) and started.occurred_at <= since:
                found.append(abandoned_metrics(started, self.abandoned_after))
        return found

    async def rows(self, sql: str, values: dict[str, Any]) -> list[sqlite3.Row]:
        """Return a query's rows; runs in a thread."""
        return await asyncio.to_thread(self.read, sql, values)

    def read(self, sql: str, values: dict[str, Any]) -> list[sqlite3.Row]:
        """Return a query's rows; blocking."""
        with self.lock:
            try:
                if self.db is None:
                    self.db = open_to_read(self.path)
                    self.db.row_factory = sqlite3.Row
                return self.db.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise HistoryError(f"{self.path}: {error}") from error


def evolution_of(row: sqlite3.Row) -> EvolutionMetrics:
    """Build the event from a row of `SELECT`."""
    there = set(row.keys())
    found = {}
    for name in FIELDS:
        column = COLUMN_OF.get(name, name)
        if column in there:
            found[name] = held(name, row[column])
    return EvolutionMetrics.from_record(found)


def held(name: str, value: Any) -> Any:
    """Return a column's value as the event has it."""
    if value is None:
        if name not in COUNTED:
            return None
        value = 0
    if name in TIMES:
        return micros(value)
    if name in JSON_COLUMNS:
        return json.loads(value)
    if name in NUMBERS:
        return float(value)
    return bool(value) if name in FLAGS else value
