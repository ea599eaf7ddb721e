"""The query interface: the specification's four questions, asked of ClickHouse."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.events import EvolutionMetrics, field_names, micros
from evometrics.sinks.client import CLICKHOUSE_ERRORS, ClickHouseUnavailable, explain, open_client
from evometrics.sinks.settings import ClickHouseSettings

RESOURCES = (
    "memory_used_mb",
    "cpu_percent_avg",
    "gpu_memory_mb",
    "network_bytes_transferred",
    "duration_minutes",
)
UUIDS = frozenset({"event_id", "source_event_id"})
TIMES = frozenset({"occurred_at", "started_at"})
#: Never None in the event class.
COUNTED = frozenset(
    {
        *("duration_minutes", "efficiency", "network_bytes_transferred"),
        *("error_count", "warning_count", "convergence_iterations"),
    }
)
SECONDS_PER_DAY = 86_400.0


def selected(name: str) -> str:
    """Return the expression that reads a field of `EvolutionMetrics` as the event class holds it.

    What the view shows as NULL is 0 there where the class has no None, and named in `unmeasured`.
    """
    if name in COUNTED:
        return f"ifNull(m.{name}, 0)"
    if name in UUIDS:
        return f"toString(m.{name})"
    return f"toUnixTimestamp64Micro(m.{name})" if name in TIMES else f"m.{name}"


FIELDS = field_names(EvolutionMetrics)
SELECT = f"SELECT {', '.join(map(selected, FIELDS))} FROM evolution_metrics AS m"


class MetricsQuery:
    """Query interface for evolution metrics; one connection, usable by several tasks at once.

        async with MetricsQuery(ClickHouseSettings(url="http://127.0.0.1:8123")) as query:
            history = await query.get_agent_evolution_history("agent-1")

    Each evolution counts once. Every call raises `ClickHouseUnavailable`, naming address and way out,
    where ClickHouse does not answer, and `ValueError`, naming the argument, where one can't be right.
    """

    def __init__(self, settings: ClickHouseSettings) -> None:
        self.settings = settings
        self.client: AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self.client = await open_client(self.settings)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect; a later call connects again."""
        client, self.client = self.client, None
        if client is not None:
            await client.close()

    async def get_agent_evolution_history(
        self, agent_id: str, start_time: float | None = None, end_time: float | None = None
    ) -> list[EvolutionMetrics]:
        """Return an agent's evolutions, oldest first, abandoned ones too.

        `start_time` and `end_time` are Unix seconds, both inclusive; an evolution's time is its end.
        """
        check_text("agent_id", agent_id)
        start, end = check_time("start_time", start_time), check_time("end_time", end_time)
        if start is not None and end is not None and start > end:
            raise ValueError(f"start_time {start_time} is after end_time {end_time}")
        conditions, values = ["agent_id = {agent:String}"], dict[str, Any](agent=agent_id)
        if start is not None:
            conditions.append("m.occurred_at >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')")
            values["start"] = start
        if end is not None:
            conditions.append("m.occurred_at <= fromUnixTimestamp64Micro({end:Int64}, 'UTC')")
            values["end"] = end
        where = " AND ".join(conditions)
        return evolutions(
            await self.rows(f"{SELECT} WHERE {where} ORDER BY m.occurred_at, m.event_id", values)
        )

    async def get_top_performing_evolutions(
        self, limit: int = 10, time_window_hours: int = 24
    ) -> list[EvolutionMetrics]:
        """Return the `limit` evolutions of the last hours with the highest performance after them."""
        if limit < 1:
            raise ValueError(f"limit {limit}: give at least 1")
        if not 0 < time_window_hours < 10**6:
            raise ValueError(f"time_window_hours {time_window_hours}: give hours, above 0 and below 1000000")
        since = micros(time.time() - 3600 * time_window_hours)
        sql = (
            f"{SELECT} WHERE m.occurred_at >= fromUnixTimestamp64Micro({{since:Int64}}, 'UTC') "
            "AND m.performance_score IS NOT NULL "
            "ORDER BY m.performance_score DESC, m.improvement_delta DESC NULLS LAST, m.event_id "
            "LIMIT {limit:UInt64}"
        )
        return evolutions(await self.rows(sql, {"since": max(0, since), "limit": limit}))

    async def get_evolution_success_rate(
        self, agent_id: str | None = None, evolution_type: str | None = None
    ) -> float:
        """Return successes / completed evolutions (0-1), of one agent or type where named.

        NaN where none was completed: there is no rate then. Abandoned evolutions are left out.
        """
        conditions, values = ["status != 'abandoned'"], dict[str, Any]()
        if agent_id is not None:
            conditions.append("agent_id = {agent:String}")
            values["agent"] = check_text("agent_id", agent_id)
        if evolution_type is not None:
            conditions.append("evolution_type = {type:String}")
            values["type"] = check_text("evolution_type", evolution_type)
        where = " AND ".join(conditions)
        sql = f"SELECT countIf(success), count() FROM evolution_metrics WHERE {where}"
        ((successes, completed),) = await self.rows(sql, values)
        return float(successes / completed) if completed else math.nan

    async def get_resource_usage_trends(
        self, agent_id: str, metric: str = "memory_used_mb"
    ) -> dict[str, Any]:
        """Return how much of a resource an agent's evolutions took over time.

        Keys: `agent_id`, `metric`, `count`, `mean`, `min`, `max`, `first`, `last`, `slope_per_day` (least
        squares, in the metric's unit per day) and `points`, oldest first, each with `timestamp` (Unix
        seconds), `evolution_id` and `value`. Figures are None where there are too few points for them;
        evolutions for which the metric is unknown are left out.
        """
        check_text("agent_id", agent_id)
        if metric not in RESOURCES:
            raise ValueError(f"metric {metric!r} is unknown: give one of {', '.join(RESOURCES)}")
        sql = (
            f"SELECT timestamp, evolution_id, toFloat64({metric}) FROM evolution_metrics "
            f"WHERE agent_id = {{agent:String}} AND {metric} IS NOT NULL AND status != 'abandoned' "
            "ORDER BY occurred_at, event_id"
        )
        rows = await self.rows(sql, {"agent": agent_id})
        points = [{"timestamp": t, "evolution_id": e, "value": v} for t, e, v in rows]
        values = [v for _, _, v in rows]
        return {
            "agent_id": agent_id,
            "metric": metric,
            "count": len(values),
            "mean": math.fsum(values) / len(values) if values else None,
            "min": min(values, default=None),
            "max": max(values, default=None),
            "first": values[0] if values else None,
            "last": values[-1] if values else None,
            "slope_per_day": slope([t / SECONDS_PER_DAY for t, _, _ in rows], values),
            "points": points,
        }

    async def rows(self, sql: str, values: dict[str, Any]) -> Sequence[Sequence[Any]]:
        """Return a query's rows; `values` are bound by the server."""
        try:
            if self.client is None:
                self.client = await open_client(self.settings)
            return (await self.client.query(sql, parameters=values)).result_rows
        except CLICKHOUSE_ERRORS as error:
            if isinstance(error, ClickHouseUnavailable):
                raise
            raise ClickHouseUnavailable(explain(self.settings, error)) from error


def evolutions(rows: Sequence[Sequence[Any]]) -> list[EvolutionMetrics]:
    """Build the events from rows of `SELECT`."""
    return [EvolutionMetrics.from_record(dict(zip(FIELDS, row, strict=True))) for row in rows]


def slope(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Return the least-squares slope of y over x, None where x does not vary."""
    if not xs:
        return None
    mean_x, mean_y = math.fsum(xs) / len(xs), math.fsum(ys) / len(ys)
    spread = math.fsum((x - mean_x) ** 2 for x in xs)
    if spread == 0:
        return None
    return math.fsum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread


def check_text(name: str, value: str) -> str:
    """Return the text; raise `ValueError` naming the argument where it is none or empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} {value!r}: give a text that is not empty")
    return value


def check_time(name: str, seconds: float | None) -> int | None:
    """Return Unix seconds as microseconds; raise `ValueError` naming the argument where they are no time."""
    if seconds is None:
        return None
    if not math.isfinite(seconds) or not 0 <= seconds < 10_000_000_000:
        raise ValueError(f"{name} {seconds!r}: give Unix seconds")
    return micros(seconds)
