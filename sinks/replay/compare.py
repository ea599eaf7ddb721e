"""Compares a replay's shadow tables with the live ones: how many rows differ, how, and a sample of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evometrics.schemas.topics import Topic
from evometrics.sinks.raw.tables import RawSelection
from evometrics.sinks.replay import sql as replay_sql
from evometrics.sinks.replay.shadow import ShadowTables
from evometrics.sinks.replay.source import DAY
from evometrics.sinks.replay.sql import APPLIED, KINDS
from evometrics.sinks.replay.unread import unread_completions, unread_snapshots
from evometrics.sinks.retention import days_of


@dataclass(frozen=True, slots=True)
class ReadFrom:
    """How much a replay read, beyond the ids of the events, which are in a table of the run.

    Attributes:
        begun: when it began to read, by ClickHouse's clock, milliseconds.
        settled: rows stored before then were certainly there, milliseconds.
        complete_from, all_snapshots: as reported by the source (`source`).
        reached: up to when evolutions were reported as abandoned by the clock, microseconds.
    """

    begun: int
    settled: int
    complete_from: int = 0
    all_snapshots: bool = True
    reached: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """A row that differs: its columns as they are live and as they were replayed, None if there is none.

    Of a changed row only the columns that differ, and `event_id`.
    """

    event_id: str
    live: dict[str, Any] | None
    replayed: dict[str, Any] | None


@dataclass(slots=True)
class TableDifferences:
    """The differences of one table.

    Attributes:
        live, replayed: rows in the range; of snapshots, those in the table and those that were made.
        counts: rows by kind (`sql`).
    """

    table: str
    live: int = 0
    replayed: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    @property
    def to_apply(self) -> int:
        """Number of rows that applying repairs."""
        return sum(self.counts[kind] for kind in APPLIED)


class Comparison:
    """Compares one run's tables, within the selected rows, and keeps the result in tables of the run."""

    def __init__(self, shadow: ShadowTables, meant: RawSelection, read: ReadFrom) -> None:
        self.shadow = shadow
        self.meant = meant
        self.read = read
        self.given: dict[str, Any] | None = None

    async def parameters(self) -> dict[str, Any]:
        """Return the parameters of the queries; asks ClickHouse the first time."""
        if self.given is not None:
            return self.given
        given: dict[str, Any] = {"settled": self.read.settled, "reached": self.read.reached}
        ((unread,),) = await self.shadow.rows(unread_completions(self.shadow.read), given)
        ((snapshots,),) = await self.shadow.rows(unread_snapshots(self.shadow.read), given)
        given["complete_from"] = max(self.read.complete_from, int(unread) + 1 if unread else 0)
        given["all_snapshots"] = self.read.all_snapshots and not snapshots
        self.given = given
        return given

    async def compare(self, topic: Topic, samples: int) -> TableDifferences:
        """Return the differences between a table and its shadow."""
        shadow, live = self.shadow, f"{topic.table}_rows"
        name, found, differences = shadow.name(topic), shadow.name(topic, "found"), self.differences(topic)
        for table in (found, differences):
            await shadow.command(f"DROP TABLE IF EXISTS {table} SYNC")
        where, about = self.meant.where()
        days = await days_of(shadow.client, shadow.settings.database)
        given = await self.parameters() | about
        kept = days.get(live)
        given["expired"] = self.read.begun * 1000 - kept * DAY if kept is not None else 0
        made = "ENGINE = MergeTree ORDER BY tuple() AS"
        sql = replay_sql.select_found(topic, found, name, where)
        await shadow.command(f"CREATE TABLE {found} {made} {sql}", given)
        await shadow.command(
            f"CREATE TABLE {differences} {made} {replay_sql.select_differences(topic, found, shadow.read)}",
            given,
        )
        result = TableDifferences(topic.table)
        result.live, result.replayed = await self.count(live, where), await self.count(name, where)
        for kind, number in await shadow.rows(f"SELECT kind, count() FROM {differences} GROUP BY kind"):
            result.counts[str(kind)] = int(number)
            result.samples[str(kind)] = await self.sampled(topic, str(kind), samples)
        return result

    async def count(self, table: str, where: str) -> int:
        ((number,),) = await self.shadow.rows(
            f"SELECT count() FROM {table} AS r FINAL WHERE {where}", self.meant.where()[1]
        )
        return int(number)

    def differences(self, topic: Topic) -> str:
        """Return the name of the table that holds a table's differences."""
        return self.shadow.name(topic, "differences")

    async def sampled(self, topic: Topic, kind: str, number: int) -> list[Sample]:
        """Return up to `number` rows of a kind, as they are live and as replayed."""
        sides: list[dict[str, dict[str, Any]]] = []
        names = replay_sql.columns(topic)
        for table in (f"{topic.table}_rows", self.shadow.name(topic)):
            sql = replay_sql.sample(topic, self.differences(topic), kind, table, number)
            found = [dict(zip(names, row, strict=True)) for row in await self.shadow.rows(sql)]
            sides.append({str(row["event_id"]): row for row in found})
        live, replayed = sides
        return [
            difference(event_id, live.get(event_id), replayed.get(event_id))
            for event_id in dict.fromkeys([*live, *replayed])
        ]


def difference(event_id: str, live: Mapping[str, Any] | None, replayed: Mapping[str, Any] | None) -> Sample:
    """Return how a row differs."""
    if live is None or replayed is None:
        return Sample(event_id, dict(live) if live else None, dict(replayed) if replayed else None)
    # compared as text: NaN then equals itself, and -0.0 differs from 0.0
    names = [name for name in live if name == "event_id" or repr(live[name]) != repr(replayed[name])]
    return Sample(event_id, {n: live[n] for n in names}, {n: replayed[n] for n in names})


def total(found: Sequence[TableDifferences]) -> int:
    """Return the number of rows that applying repairs."""
    return sum(each.to_apply for each in found)
