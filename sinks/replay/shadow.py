"""Shadow tables: the results of a replay, in tables like the live ones, under names that identify the run.

They are in the live tables' database, so that ClickHouse can compare the two. Each run has names of its own
and drops what earlier ones left, except for a run that it goes on with (`checkpoints`), whose tables it
renames. So if two run at once, the later one ends the earlier, whose tables are gone.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.topics import BY_NAME, TOPICS, Topic
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.framing import SINGLE_OBJECT_LENGTH
from evometrics.sinks.clickhouse.blocks import body, row_format
from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS, ClickHouseUnavailable, error_code, explain
from evometrics.sinks.clickhouse.inserts import INSERT_SETTINGS
from evometrics.sinks.replay.sql import judged
from evometrics.sinks.settings import ClickHouseSettings

#: Derived rows of a replay have no partition; the snapshots that it makes have that of their events. The
#: offsets of both are below 0: a sink that asks which of its offsets are stored must not find them.
NO_PARTITION = -1
#: Tables of a topic, and of the run: the ids of the events read, and the checkpoints with their states.
KINDS_OF_TABLE = ("rows", "found", "differences", "timeline")
OF_RUN = ("read", "states", "checkpoints")
#: Names that only a replay's tables have.
LEFT_BEHIND = re.compile(
    rf"(?:(?:{'|'.join(t.table for t in TOPICS)})_replay_([0-9a-f]{{8}})_(?:{'|'.join(KINDS_OF_TABLE)})"
    rf"|events_replay_([0-9a-f]{{8}})_(?:{'|'.join(OF_RUN)}))"
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


def versioned(engine: str, version: str) -> str:
    """Return an engine that keeps the row of the highest version, where rows have one.

    Else the row that was inserted last would stay, which may be one of a process that was killed.
    """
    name, _, rest = engine.partition(" ")
    column = version.removeprefix("r.")
    return f"{name}({column}) {rest}" if name == "ReplacingMergeTree" and column != version else engine


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
        return self.of_topic(self.run, topic, what)

    def timeline(self, topic: Topic) -> str:
        """Return the name of a raw table's copy."""
        return self.name(topic, "timeline")

    @staticmethod
    def of_topic(run: str, topic: Topic, what: str) -> str:
        """Return the name of one of a run's tables of a topic."""
        return f"{topic.table}_replay_{run}_{what}"

    @staticmethod
    def of_run(run: str, what: str) -> str:
        """Return the name of one of a run's tables that are no topic's."""
        return f"events_replay_{run}_{what}"

    @property
    def read(self) -> str:
        """The name of the table of the events read, by their ids."""
        return self.of_run(self.run, "read")

    @property
    def states(self) -> str:
        """The name of the table of the computations' states."""
        return self.of_run(self.run, "states")

    @property
    def checkpoints(self) -> str:
        """The name of the table of the checkpoints; created last."""
        return self.of_run(self.run, "checkpoints")

    async def create(self) -> None:
        """Drop what earlier runs left, and create this run's tables. Raises `NotReplayable` too."""
        engines = await self.engines()
        await self.drop_all()
        await self.command(
            f"CREATE TABLE {self.read} "
            "(id FixedString(36) EPHEMERAL, event_id UUID DEFAULT toUUIDOrZero(id)) "
            "ENGINE = MergeTree ORDER BY tuple()"
        )
        for topic in self.topics:
            live = f"{topic.table}_rows"
            # without constraints and indexes: the live table has them, for what is inserted from here
            engine = versioned(engines[live], judged(topic, "", "").version)
            empty = f"SELECT * FROM {live} WHERE false"
            await self.command(f"CREATE TABLE {self.name(topic)} ENGINE = {engine} AS {empty}")
        await self.command(
            f"CREATE TABLE {self.states} (checkpoint UInt64, name LowCardinality(String), partition Int32, "
            "key String, gone Bool, value String) ENGINE = MergeTree ORDER BY (name, partition, key)"
        )
        await self.command(
            f"CREATE TABLE {self.checkpoints} (at DateTime64(3) DEFAULT now64(3), about String) "
            "ENGINE = MergeTree ORDER BY at"
        )

    async def left(self) -> dict[str, list[str]]:
        """Return the names of all runs' tables, by run."""
        found: dict[str, list[str]] = {}
        for (name,) in await self.rows("SELECT name FROM system.tables WHERE database = currentDatabase()"):
            match = LEFT_BEHIND.fullmatch(str(name))
            if match:
                found.setdefault(match[1] or match[2], []).append(str(name))
        return found

    def wanted(self, run: str, copied: Iterable[str]) -> set[str]:
        """Return the names of the tables that a run needs to go on; `copied`: the raw tables' topics."""
        rows = {self.of_topic(run, topic, "rows") for topic in self.topics}
        copies = {self.of_topic(run, BY_NAME[topic], "timeline") for topic in copied}
        return rows | copies | {self.of_run(run, what) for what in OF_RUN}

    async def take(self, run: str, tables: Iterable[str]) -> bool:
        """Take over an earlier run's tables, and drop those of the others.

        Returns whether they were all still there.
        """
        renamed = ", ".join(f"{name} TO {name.replace(run, self.run)}" for name in sorted(tables))
        try:
            await self.client.command(f"RENAME TABLE {renamed}")
        except CLICKHOUSE_ERRORS as error:
            if error_code(error) != UNKNOWN_TABLE:
                raise self.trouble(error) from error
            await self.drop()
            return False
        await self.drop_all()
        return True

    async def engines(self) -> dict[str, str]:
        """Return the live tables' engines, with all their clauses.

        Raises `NotReplayable` unless these store their rows themselves.
        """
        live = [f"{topic.table}_rows" for topic in self.topics]
        sql = (
            "SELECT name, engine, engine_full FROM system.tables "
            "WHERE database = currentDatabase() AND name IN {live:Array(String)}"
        )
        found = {}
        for name, engine, full in await self.rows(sql, {"live": live}):
            found[str(name)] = str(full)
            if not str(engine).endswith("MergeTree"):
                raise NotReplayable(
                    f"{name} has engine {engine}: replay needs a server that holds the rows itself, not a "
                    "cluster's Distributed tables, because a copy of one would lead to the live rows"
                )
        return found

    async def drop_all(self) -> None:
        """Drop the tables of all other runs."""
        for run, names in (await self.left()).items():
            if run != self.run:
                await self.drop_tables(names)

    async def drop(self) -> None:
        """Drop this run's tables."""
        await self.drop_tables((await self.left()).get(self.run, []))

    async def drop_tables(self, names: Iterable[str]) -> None:
        """Drop tables of any size; those of checkpoints first: without them a run can't go on."""
        for name in sorted(names, key=lambda name: not name.endswith(OF_RUN[-1])):
            await self.command(f"DROP TABLE IF EXISTS {name} SYNC SETTINGS max_table_size_to_drop = 0")

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

    async def rows(
        self, sql: str, parameters: Mapping[str, Any] | None = None, formats: Mapping[str, str] | None = None
    ) -> Sequence[Sequence[Any]]:
        """Return a query's rows; `formats`: of types that the client is not to read as it does by itself."""
        try:
            found = await self.client.query(sql, dict(parameters or {}), query_formats=dict(formats or {}))
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
