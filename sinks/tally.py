"""Counts the metrics of evolutions and agents from what was just inserted, without decoding it in Python.

After an insert ClickHouse adds up the rows at the batch's offsets. A counter must count an evolution once
though its event may be stored twice: the event's id stands at a known place of its datum (the first field
of every record), and offsets whose id was met in an earlier batch are left out. Gauges take the newest
value by event time, which a duplicate does not change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.kpis import KPI_NAMES
from evometrics.schemas.metric_defs import EVOLUTION_DURATION
from evometrics.schemas.topics import EVOLUTION_METRICS, KPI_SNAPSHOTS, SYSTEM_EVENTS
from evometrics.sinks.batch import Group, OffsetRange
from evometrics.sinks.client import CLICKHOUSE_ERRORS
from evometrics.sinks.evolution_metrics import EvolutionMetricsCollector
from evometrics.sinks.writer import TableWriter

log = logging.getLogger(__name__)

#: Ids remembered before the older half is forgotten; a stream that starts again after a crash repeats
#: at most the events since its last commit, far fewer.
REMEMBERED_IDS = 200_000
QUERY_SECONDS = 10.0
#: Avro encodes the length of a 36-character string as this one byte.
UUID_LENGTH = 0x48
SNAPSHOT_KPIS = (*KPI_NAMES, "overall_performance")

ORDER = "tuple(toUnixTimestamp64Micro(occurred_at), toString(event_id))"
BUCKETS = ", ".join(
    [f"countIf(seconds <= {bound} AND status != 'abandoned')" for bound in EVOLUTION_DURATION.buckets]
    + ["countIf(status != 'abandoned')"]
)
ATTEMPTS_SQL = f"""SELECT agent_id, evolution_type, status, count(), [{BUCKETS}], sum(seconds)
FROM (
    SELECT agent_id, evolution_type, status, duration_minutes * 60 AS seconds
    FROM evolution_metrics_rows WHERE ({{where}}) AND NOT ({{repeated}}) LIMIT 1 BY event_id
)
GROUP BY agent_id, evolution_type, status"""
NEWEST_SQL = f"""SELECT agent_id,
    maxIf({ORDER}, isNotNull(improvement_delta)),
    argMaxIf(improvement_delta, {ORDER}, isNotNull(improvement_delta)),
    maxIf({ORDER}, isNotNull(memory_used_mb)),
    argMaxIf(memory_used_mb, {ORDER}, isNotNull(memory_used_mb))
FROM evolution_metrics_rows WHERE {{where}} GROUP BY agent_id"""
KPIS_SQL = f"""SELECT agent_id, max({ORDER}), argMax(tuple({", ".join(SNAPSHOT_KPIS)}), {ORDER}),
    argMax(extra, {ORDER})
FROM kpi_snapshots_rows WHERE {{where}} GROUP BY agent_id"""
OUTBOX_SQL = f"""SELECT node_id, max({ORDER}), argMax(JSONExtractFloat(data, 'outbox_depth'), {ORDER})
FROM system_events_rows
WHERE ({{where}}) AND event_type = 'collector_health' AND JSONHas(data, 'outbox_depth')
GROUP BY node_id"""


@dataclass(frozen=True, slots=True)
class Inserted:
    """Where the rows of one insert are: offset ranges by partition; and offsets with an id met before."""

    table: str
    ranges: dict[int, OffsetRange]
    repeated: tuple[tuple[int, int], ...] = ()

    def where(self) -> str:
        """Return the condition that holds for the rows."""
        return " OR ".join(
            f"(_partition = {p:d} AND _offset BETWEEN {r.first:d} AND {r.last:d})"
            for p, r in self.ranges.items()
        )

    def where_repeated(self) -> str:
        """Return the condition that holds for the rows whose event was counted before."""
        if not self.repeated:
            return "0"
        return "(_partition, _offset) IN (" + ", ".join(f"({p:d}, {o:d})" for p, o in self.repeated) + ")"


class SeenIds:
    """The ids of the last events: at least half of `REMEMBERED_IDS`, at most all of them."""

    def __init__(self, limit: int = REMEMBERED_IDS) -> None:
        self.half = max(1, limit // 2)
        self.newer: set[bytes] = set()
        self.older: set[bytes] = set()

    def __contains__(self, event_id: bytes) -> bool:
        return event_id in self.newer or event_id in self.older

    def remember(self, event_ids: Iterable[bytes]) -> None:
        """Add ids, forgetting the oldest where there are too many."""
        self.newer.update(event_ids)
        if len(self.newer) > self.half:
            self.older, self.newer = self.newer, set()


class Tally:
    """Feeds the collector after each insert; what could not be asked is asked with the next one."""

    def __init__(self, collector: EvolutionMetricsCollector) -> None:
        self.collector = collector
        self.seen = SeenIds()
        self.pending: list[Inserted] = []
        self.readers: dict[str, Callable[[AsyncClient, Inserted], Awaitable[None]]] = {
            EVOLUTION_METRICS.table: self.read_evolutions,
            KPI_SNAPSHOTS.table: self.read_kpis,
            SYSTEM_EVENTS.table: self.read_outboxes,
        }

    async def count(self, writer: TableWriter, groups: Sequence[Group]) -> None:
        """Count what was inserted. A failure is logged, never raised: metrics must not hold up events."""
        self.pending += [self.inserted(g) for g in groups if g.table in self.readers]
        while self.pending:
            inserted = self.pending[0]
            try:
                client = await writer.connection()
                await asyncio.wait_for(self.readers[inserted.table](client, inserted), QUERY_SECONDS)
            except CLICKHOUSE_ERRORS as error:
                log.warning("metrics of %s wait for the next batch: %s", inserted.table, error)
                return
            self.pending.pop(0)

    def inserted(self, group: Group) -> Inserted:
        """Note where a group's rows are, and which of their events were counted before."""
        ranges: dict[int, OffsetRange] = {}
        repeated = []
        ids = set()
        counted = group.table == EVOLUTION_METRICS.table
        for message, position, _ in group.rows:
            known = ranges.setdefault(message.partition, OffsetRange(message.offset, message.offset))
            known.last = message.offset
            value = message.value or b""
            if counted and value[position] == UUID_LENGTH:
                event_id = value[position + 1 : position + 37]
                if event_id in self.seen:
                    repeated.append((message.partition, message.offset))
                else:
                    ids.add(event_id)
        self.seen.remember(ids)
        return Inserted(group.table, ranges, tuple(repeated))

    async def read_evolutions(self, client: AsyncClient, inserted: Inserted) -> None:
        """Count attempts and durations, take over the newest improvement and memory."""
        where, repeated = inserted.where(), inserted.where_repeated()
        attempts = await rows_of(client, ATTEMPTS_SQL.format(where=where, repeated=repeated))
        newest = await rows_of(client, NEWEST_SQL.format(where=where))
        for agent, kind, status, count, buckets, seconds in attempts:
            self.collector.add_attempts(agent, kind, status, count)
            if status != "abandoned":
                self.collector.add_durations(agent, kind, buckets, seconds)
        for agent, improved_at, improvement, measured_at, memory in newest:
            if improvement is not None:
                self.collector.improvement.offer(agent, tuple(improved_at), improvement)
            if memory is not None:
                self.collector.memory.offer(agent, tuple(measured_at), memory)

    async def read_kpis(self, client: AsyncClient, inserted: Inserted) -> None:
        """Take over the newest snapshot of each agent."""
        for agent, moment, values, extra in await rows_of(client, KPIS_SQL.format(where=inserted.where())):
            standard = {n: v for n, v in zip(SNAPSHOT_KPIS, values, strict=True) if v is not None}
            self.collector.offer_kpis(agent, tuple(moment), {**extra, **standard})

    async def read_outboxes(self, client: AsyncClient, inserted: Inserted) -> None:
        """Take over the newest outbox depth of each node."""
        for node, moment, depth in await rows_of(client, OUTBOX_SQL.format(where=inserted.where())):
            self.collector.outbox.offer(node, tuple(moment), depth)


async def rows_of(client: AsyncClient, sql: str) -> Sequence[Sequence[Any]]:
    """Return a query's rows."""
    return (await client.query(sql)).result_rows
