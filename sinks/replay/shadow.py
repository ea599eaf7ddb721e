"""Shadow tables: the results of a replay, in tables like the live ones, under names that identify the run.

They are in the live tables' database, so that ClickHouse can compare the two. Each run has names of its own
and drops what earlier ones left; if two run at once, the later one ends the earlier, whose tables are gone,
and never mixes its rows with its own.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.topics import DERIVED_TOPICS, KPI_SNAPSHOTS, Topic
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.framing import SINGLE_OBJECT_LENGTH
from evometrics.sinks.clickhouse.blocks import body, row_format
from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS, ClickHouseUnavailable, error_code, explain
from evometrics.sinks.clickhouse.inserts import INSERT_SETTINGS
from evometrics.sinks.settings import ClickHouseSettings

#: Derived rows of a replay have no partition; the snapshots that it makes have that of their events. The
#: offsets of both are below 0: a sink that asks which of its offsets are stored must not find them.
NO_PARTITION = -1
KINDS_OF_TABLE = ("rows", "found", "differences")
#: The table of the ids of the events read.
READ = "read"
#: Names that only a replay's tables have.
LEFT_BEHIND = re.compile(
    rf"({'|'.join(t.table for t in (KPI_SNAPSHOTS, *DERIVED_TOPICS))})_replay_[0-9a-f]{{8}}"
    rf"_({'|'.join(KINDS_OF_TABLE)})"
    rf"|events_replay_[0-9a-f]{{8}}_{READ}"
)
UNKNOWN_TABLE = 60


class ShadowRow(NamedTuple):
    """A row of a table: its message value, and the time in Kafka (ms) and partition of its source."""

    stamp: int
    value: bytes
    partition: int = NO_PARTITION


class ShadowPlace(NamedTuple):
    """Where a row says that it was in Kafka."""

    partition: int
    offset: int
    timestamp: int


class ReplayEnded(EvometricsError, RuntimeError):
    """The run's tables are gone; the message says why, and what to do."""


class NotReplayable(EvometricsError, RuntimeError):
    """A replay can't be compared with the live tables; the message says why."""


class ShadowTables:
    """The shadow tables of one run, and all requests that this run makes to ClickHouse.

    Every call raises `ClickHouseUnavailable`, or `ReplayEnded` if another run has dropped the tables.
    """

    def __init__(self, client: AsyncClient, settings: ClickHouseSettings, topics: Sequence[Topic]) -> None:
        self.client = client
        self.settings = settings
        self.topics = tuple(topics)
        self.run = secrets.token_hex(4)
        self.number = 0

    def name(self, topic: Topic, what: str = "rows") -> str:
        """Return the name of one of this run's tables."""
        return f"{topic.table}_replay_{self.run}_{what}"

    @property
    def read(self) -> str:
        """The name of the table of the events read, by their ids."""
        return f"events_replay_{self.run}_{READ}"

    async def create(self) -> None:
        """Drop what earlier runs left, and create this run's tables. Raises `NotReplayable` too."""
        await self.check_engines()
        await self.drop_all()
        await self.command(
            f"CREATE TABLE {self.read} "
            "(id FixedString(36) EPHEMERAL, event_id UUID DEFAULT toUUIDOrZero(id)) "
            "ENGINE = MergeTree ORDER BY tuple()"
        )
        for topic in self.topics:
            await self.command(f"CREATE TABLE {self.name(topic)} AS {topic.table}_rows")

    async def check_engines(self) -> None:
        """Raise `NotReplayable` unless the live tables store their rows themselves."""
        live = [f"{topic.table}_rows" for topic in self.topics]
        sql = (
            "SELECT name, engine FROM system.tables "
            "WHERE database = currentDatabase() AND name IN {live:Array(String)}"
        )
        for name, engine in await self.rows(sql, {"live": live}):
            if not str(engine).endswith("MergeTree"):
                raise NotReplayable(
                    f"{name} has engine {engine}: replay needs a server that holds the rows itself, not a "
                    "cluster's Distributed tables, because a copy of one would lead to the live rows"
                )

    async def drop_all(self) -> None:
        """Drop the tables of all runs."""
        for (name,) in await self.rows("SELECT name FROM system.tables WHERE database = currentDatabase()"):
            if LEFT_BEHIND.fullmatch(str(name)):
                await self.command(f"DROP TABLE IF EXISTS {name} SYNC")

    async def drop(self) -> None:
        names = [self.name(topic, what) for topic in self.topics for what in KINDS_OF_TABLE]
        for name in [*names, self.read]:
            await self.command(f"DROP TABLE IF EXISTS {name} SYNC")

    async def note_read(self, ids: Iterable[bytes]) -> None:
        """Record events as read, by their ids as text."""
        rows = b"".join(ids)  # a message that is not an event has an empty one
        if rows:
            await self.raw_insert(self.read, ("id",), rows, "RowBinary", {"insert_deduplicate": 0})

    async def insert(self, topic: Topic, rows: Iterable[ShadowRow]) -> None:
        found = []
        for stamp, value, partition in rows:
            self.number += 1
            found.append((value, SINGLE_OBJECT_LENGTH, ShadowPlace(partition, -self.number, stamp)))
        made = await body(row_format(newest(topic.record)), topic.name, found)
        settings = {**INSERT_SETTINGS, "insert_deduplicate": 0}
        await self.raw_insert(self.name(topic), made.columns, made.rows, made.format, settings)

    async def raw_insert(
        self, table: str, columns: Sequence[str], rows: bytes, fmt: str, settings: Mapping[str, Any]
    ) -> None:
        """Insert encoded rows."""
        try:
            await self.client.raw_insert(
                table=f"{self.settings.database}.{table}",
                column_names=columns,
                insert_block=rows,
                fmt=fmt,
                settings=dict(settings),
            )
        except CLICKHOUSE_ERRORS as error:
            raise self.trouble(error) from error

    async def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        try:
            await self.client.command(sql, dict(parameters or {}))
        except CLICKHOUSE_ERRORS as error:
            raise self.trouble(error) from error

    async def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        try:
            found = await self.client.query(sql, dict(parameters or {}))
        except CLICKHOUSE_ERRORS as error:
            raise self.trouble(error) from error
        rows: Sequence[Sequence[Any]] = found.result_rows
        return rows

    def trouble(self, error: BaseException) -> Exception:
        """Return the error to raise for an error of ClickHouse."""
        if error_code(error) == UNKNOWN_TABLE and f"_replay_{self.run}" in str(error):
            return ReplayEnded(
                "the tables of this replay are gone because another one has started; nothing more was done"
            )
        return ClickHouseUnavailable(explain(self.settings, error))
