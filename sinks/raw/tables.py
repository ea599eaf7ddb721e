"""The raw tables of a database, seen through a selection and read in slices of Kafka's time.

The tables are sorted by agent, Kafka was by time: each read is a slice of Kafka's time with a given number of
events, sorted by ClickHouse. Each slice scans the times of all rows, and the small columns of those that may
lie in it, so larger slices cost less in total and take more memory. A slice ends between two milliseconds. It
depends only on `_timestamp` and `event_id`, which stay the same when a sink stores the same event again from
another offset.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_STARTED, KPI_SNAPSHOTS, RAW_TOPICS, Topic
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS, ClickHouseUnavailable, explain, open_client
from evometrics.sinks.raw.event import RawEvent, cut_events
from evometrics.sinks.raw.sql import check_columns, check_known_columns, read_header, select_events
from evometrics.sinks.settings import ClickHouseSettings

OF_EVOLUTIONS = {EVOLUTION_STARTED.table, EVOLUTION_COMPLETED.table}
#: Condition for what was in Kafka at or after `begin`.
SINCE = "r._timestamp >= fromUnixTimestamp64Milli({begin:Int64})"


class Slice(NamedTuple):
    """Events that are read together.

    Attributes:
        begin, end: their times in Kafka, from `begin` up to, but not including, `end`, milliseconds.
        first, last: the bounds of their event times, microseconds, by which a table is partitioned.
    """

    begin: int
    end: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class RawSelection:
    """Which events are selected: those that match every given condition.

    Attributes:
        topics: their topics.
        since, until: event time, from the first up to, but not including, the second, microseconds.
        agents: whose; empty for all, including events without an agent.
    """

    topics: tuple[Topic, ...] = RAW_TOPICS
    since: int | None = None
    until: int | None = None
    agents: tuple[str, ...] = ()

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return the condition in SQL, on a table called `r`, and its parameters."""
        conditions, given = ["1"], dict[str, Any]()
        if self.since is not None:
            conditions.append("r.occurred_at >= fromUnixTimestamp64Micro({since:Int64})")
            given["since"] = self.since
        if self.until is not None:
            conditions.append("r.occurred_at < fromUnixTimestamp64Micro({until:Int64})")
            given["until"] = self.until
        if self.agents:
            conditions.append("r.agent_id IN {agents:Array(String)}")
            given["agents"] = list(self.agents)
        return " AND ".join(conditions), given

    def identity(self) -> list[Any]:
        """Return the values that distinguish this selection from others."""
        return [sorted(t.name for t in self.topics), self.since, self.until, sorted(set(self.agents))]


class RawTables:
    """The raw tables of one database, seen through a selection.

    Use it as an async context manager. Every call raises `ClickHouseUnavailable`, naming address and way out,
    if ClickHouse does not answer or refuses.

    Args:
        made_again: leave out the snapshots that the stream makes of evolutions' KPIs: if these events are
            sent to it again, it makes the snapshots again.

    Attributes:
        passed: time in Kafka, milliseconds, before which all events were yielded by `slices`.

    The selection must not grow at its older end while it is read: an event that is stored with a time in
    Kafka that was read already is not seen.
    """

    def __init__(
        self,
        settings: ClickHouseSettings,
        selection: RawSelection,
        wire: WireFormat,
        *,
        made_again: bool = False,
    ) -> None:
        self.settings = settings
        self.selection = selection
        self.wire = wire
        self.made_again = made_again and {topic.table for topic in selection.topics} >= OF_EVOLUTIONS
        self.client: AsyncClient | None = None
        self.passed = 0

    async def __aenter__(self) -> RawTables:
        self.client = await open_client(self.settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.client is not None:
            await self.client.close()

    async def identity(self) -> str:
        """Return a fingerprint of these events' database and selection, 16 hex digits."""
        found = await self.rows(
            "SELECT toString(uuid) FROM system.databases WHERE name = currentDatabase()", {}
        )
        about = [self.settings.database, found[0][0], *self.selection.identity()]
        return hashlib.blake2b(json.dumps(about).encode(), digest_size=8).hexdigest()

    async def check_known(self) -> None:
        """Raise `TableMismatch` if a table has columns of a newer version, which its events would lack."""
        for topic in self.selection.topics:
            sql = (
                "SELECT name FROM system.columns WHERE database = currentDatabase() "
                "AND table = {table:String} AND default_kind NOT IN ('ALIAS', 'MATERIALIZED')"
            )
            names = [row[0] for row in await self.rows(sql, {"table": f"{topic.table}_rows"})]
            check_known_columns(topic.record, names)

    def where(self, topic: Topic) -> str:
        """Return the condition in SQL on a topic's rows `r`; its parameters are the selection's."""
        where, _ = self.selection.where()
        made = topic.table == KPI_SNAPSHOTS.table and self.made_again
        return f"{where} AND r.source_event_id IS NULL" if made else where

    async def counts(self, begin: int) -> dict[str, int]:
        """Return the number of events by topic that were in Kafka at or after a time (milliseconds)."""
        _, given = self.selection.where()
        found = {}
        for topic in self.selection.topics:
            sql = f"SELECT count() FROM {topic.table}_rows AS r FINAL WHERE {self.where(topic)} AND {SINCE}"
            found[topic.name] = int((await self.rows(sql, given | {"begin": begin}))[0][0])
        return found

    async def bounds(self) -> tuple[int, int] | None:
        """Return the first and the last event's time in Kafka, milliseconds; None if there are no events."""
        _, given = self.selection.where()
        sql = f"SELECT count(), min(at), max(at) FROM ({self.times()})"
        ((number, first, last),) = await self.rows(sql, given | {"begin": 0})
        return (int(first), int(last)) if number else None

    async def next_slice(self, begin: int, events: int) -> Slice | None:
        """Return the slice that begins at a time: up to the millisecond after `events` events.

        None if there are no events from then on.
        """
        _, given = self.selection.where()
        first = f"SELECT * FROM ({self.times()}) ORDER BY at LIMIT {{events:UInt64}} WITH TIES"
        sql = f"SELECT count(), max(at), min(occurred), max(occurred) FROM ({first})"
        ((number, *found),) = await self.rows(sql, given | {"begin": begin, "events": events})
        at, oldest, newest = map(int, found)
        return Slice(begin, at + 1, oldest, newest) if number else None

    def times(self) -> str:
        """Return the query for the times of all rows from `begin` on, including duplicates."""
        at, occurred = "toUnixTimestamp64Milli(r._timestamp)", "toUnixTimestamp64Micro(r.occurred_at)"
        times = f"{at} AS at, {occurred} AS occurred"
        return " UNION ALL ".join(
            f"SELECT {times} FROM {topic.table}_rows AS r WHERE {self.where(topic)} AND {SINCE}"
            for topic in self.selection.topics
        )

    def select(self, topic: Topic) -> str:
        """Return the query for a topic's events within a `Slice`."""
        return select_events(topic, self.where(topic))

    async def read(self, part: Slice) -> list[RawEvent]:
        """Return the events of a slice, in Kafka's order.

        Those of one millisecond are in the order of the offsets within each topic and partition. Raises
        `TableMismatch` too.
        """
        _, given = self.selection.where()
        found: list[RawEvent] = []
        for topic in self.selection.topics:
            container = await self.ask(self.select(topic), given | part._asdict())
            schema, place = read_header(container)
            check_columns(topic.record, schema)
            found += cut_events(container, place, topic.name, self.wire.prefixes[topic.record])
        found.sort(key=attrgetter("timestamp"))  # keeps the order of equal times
        return found

    async def slices(self, begin: int, end: int, number: int) -> AsyncGenerator[list[RawEvent], None]:
        """Yield the events from a time up to, but not including, another, `number` at a time.

        While one slice is processed, the next one is read: two are in memory. Close the generator if you
        leave it early (`contextlib.aclosing`). Raises as `read` does.
        """
        reading = asyncio.create_task(self.slice(begin, end, number))
        try:
            while True:
                events, next_begin = await reading
                if next_begin < end:
                    reading = asyncio.create_task(self.slice(next_begin, end, number))
                self.passed = next_begin
                yield events
                if next_begin >= end:
                    return
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def slice(self, begin: int, end: int, number: int) -> tuple[list[RawEvent], int]:
        """Return the events of the slice that begins at a time, and where the next one begins."""
        part = await self.next_slice(begin, number)
        if part is None:
            return [], end
        part = part._replace(end=min(part.end, end))
        return await self.read(part), part.end

    async def ask(self, sql: str, parameters: Mapping[str, Any]) -> bytes:
        """Return the bytes of a query's answer."""
        assert self.client is not None
        try:
            return await self.client.raw_query(sql, dict(parameters))
        except CLICKHOUSE_ERRORS as error:
            raise self.trouble(error) from error

    async def rows(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        assert self.client is not None
        try:
            result = await self.client.query(sql, dict(parameters))
        except CLICKHOUSE_ERRORS as error:
            raise self.trouble(error) from error
        rows: Sequence[Sequence[Any]] = result.result_rows
        return rows

    def trouble(self, error: BaseException) -> Exception:
        """Return the error to raise for an error of ClickHouse."""
        return ClickHouseUnavailable(explain(self.settings, error))
