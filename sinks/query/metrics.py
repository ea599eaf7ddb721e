"""The specification's four questions, and any SQL, asked of ClickHouse; or of a node's own history."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.events import EvolutionMetrics, field_names
from evometrics.schemas.history.found import FoundEvolutions
from evometrics.schemas.history.query import LocalMetricsQuery
from evometrics.schemas.history.questions import (
    COUNTED,
    check_range,
    check_resource,
    check_text,
    check_top,
    rate,
    trend,
)
from evometrics.sinks.clickhouse.client import (
    CLICKHOUSE_ERRORS,
    UNLIMITED_SECONDS,
    ClickHouseUnavailable,
    explain,
    open_client,
)
from evometrics.sinks.query.result import FoundRows, Header
from evometrics.sinks.query.statement import blocks
from evometrics.sinks.settings import ClickHouseSettings

UUIDS = frozenset({"event_id", "source_event_id"})
TIMES = frozenset({"occurred_at", "started_at"})


def selected(name: str) -> str:
    """Return the expression that reads a field of `EvolutionMetrics` as the event class holds it.

    A NULL of the view becomes 0 if the field can't be None in the class; its name is in `unmeasured`.
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

    Each evolution counts once. Every call raises `ClickHouseUnavailable`, naming address and way out, if
    ClickHouse does not answer, and `ValueError`, naming the argument, if an argument is invalid.
    """

    def __init__(self, settings: ClickHouseSettings) -> None:
        self.settings = settings
        self.client: AsyncClient | None = None

    @staticmethod
    def local(path: str | Path) -> LocalMetricsQuery:
        """Return the same interface for the history file of one node; ClickHouse is not needed."""
        return LocalMetricsQuery(path)

    async def __aenter__(self) -> Self:
        await self.connected()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def connected(self) -> AsyncClient:
        """Return the client, which waits for answers however long they take."""
        if self.client is None:
            self.client = await open_client(self.settings, read_seconds=UNLIMITED_SECONDS)
        return self.client

    async def close(self) -> None:
        """Disconnect; a later call connects again."""
        client, self.client = self.client, None
        if client is not None:
            await client.close()

    async def get_agent_evolution_history(
        self, agent_id: str, start_time: float | None = None, end_time: float | None = None
    ) -> FoundEvolutions:
        """Return an agent's evolutions, oldest first, including abandoned ones.

        `start_time` and `end_time` are Unix seconds, both inclusive; an evolution's time is its end.
        """
        check_text("agent_id", agent_id)
        start, end = check_range(start_time, end_time)
        conditions, values = ["agent_id = {agent:String}"], dict[str, Any](agent=agent_id)
        if start is not None:
            conditions.append("m.occurred_at >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')")
            values["start"] = start
        if end is not None:
            conditions.append("m.occurred_at <= fromUnixTimestamp64Micro({end:Int64}, 'UTC')")
            values["end"] = end
        where = " AND ".join(conditions)
        return evolutions(
            await self.rows(f"{SELECT} WHERE {where} ORDER BY m.occurred_at, toString(m.event_id)", values)
        )

    async def get_top_performing_evolutions(
        self, limit: int = 10, time_window_hours: int = 24
    ) -> FoundEvolutions:
        """Return the `limit` evolutions of the time window with the highest performance after them."""
        since = check_top(limit, time_window_hours, time.time())
        sql = (
            f"{SELECT} WHERE m.occurred_at >= fromUnixTimestamp64Micro({{since:Int64}}, 'UTC') "
            "AND m.performance_score IS NOT NULL "
            "ORDER BY m.performance_score DESC, m.improvement_delta DESC NULLS LAST, toString(m.event_id) "
            "LIMIT {limit:UInt64}"
        )
        return evolutions(await self.rows(sql, {"since": since, "limit": int(limit)}))

    async def get_evolution_success_rate(
        self, agent_id: str | None = None, evolution_type: str | None = None
    ) -> float:
        """Return successes / completed evolutions (0-1), of one agent or type if given.

        NaN if none was completed: the rate is undefined. Abandoned evolutions are left out.
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
        return rate(successes, completed)

    async def get_resource_usage_trends(
        self, agent_id: str, metric: str = "memory_used_mb"
    ) -> dict[str, Any]:
        """Return an agent's usage of a resource over time, by evolution.

        Keys: `agent_id`, `metric`, `count`, `mean`, `min`, `max`, `first`, `last`, `slope_per_day` (least
        squares, in the metric's unit per day) and `points`, oldest first, each with `timestamp` (Unix
        seconds), `evolution_id` and `value`. Figures are None if there are too few points for them;
        evolutions for which the metric is unknown are left out.
        """
        check_text("agent_id", agent_id)
        check_resource(metric)
        sql = (
            f"SELECT timestamp, evolution_id, toFloat64({metric}) FROM evolution_metrics "
            f"WHERE agent_id = {{agent:String}} AND {metric} IS NOT NULL AND status != 'abandoned' "
            "ORDER BY occurred_at, toString(event_id)"
        )
        return trend(agent_id, metric, await self.rows(sql, {"agent": agent_id}))

    async def sql(self, text: str, params: Mapping[str, Any] | None = None) -> FoundRows:
        """Run one statement and return its rows, which can become an Arrow, pandas or polars table.

            found = await query.sql(
                "SELECT * FROM evolution_metrics WHERE occurred_at >= {since:DateTime64(6)}",
                {"since": datetime(2026, 11, 1, tzinfo=UTC)},
            )
            frame = found.as_pandas()

        `params` are the values of the parameters `{name:Type}`, and are bound by the server; a `datetime`
        without a zone is UTC. Memory is that of all rows. Raises `QueryFailed` with ClickHouse's reason,
        `ParameterError` naming the parameter. Runs as long as the statement does: cancelling the call ends it
        on the server, too.
        """
        client = await self.connected()
        found = [block async for block in blocks(client, self.settings, text, params)]
        header = found[0].header if found else Header()
        return FoundRows(header, [block for block in found if len(block)])

    async def rows(self, sql: str, values: dict[str, Any]) -> Sequence[Sequence[Any]]:
        """Return a question's rows; `values` are bound by the server."""
        try:
            client = await self.connected()
            return (await client.query(sql, parameters=values)).result_rows
        except CLICKHOUSE_ERRORS as error:
            if isinstance(error, ClickHouseUnavailable):
                raise
            raise ClickHouseUnavailable(explain(self.settings, error)) from error


def evolutions(rows: Sequence[Sequence[Any]]) -> FoundEvolutions:
    """Build the events from rows of `SELECT`."""
    return FoundEvolutions(EvolutionMetrics.from_record(dict(zip(FIELDS, row, strict=True))) for row in rows)
