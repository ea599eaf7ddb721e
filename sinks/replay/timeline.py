"""A replay's timeline: the raw rows that it reads, copied in the order of their time in Kafka.

The raw tables are sorted by agent, so that a slice of time has rows in every granule of a month, and reading
slice after slice would read each month as often as there are slices. Copied once, month by month, each slice
is read alone. What arrives later is not in the copy: a replay that goes on after an interruption reads the
same rows in the same order.
"""

from __future__ import annotations

from evometrics.schemas.topics import Topic
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.raw.sql import FORMAT, event_columns
from evometrics.sinks.raw.tables import SINCE, RawSelection, RawTables, Slice
from evometrics.sinks.replay.shadow import ShadowTables
from evometrics.sinks.settings import ClickHouseSettings

#: Rows of the copy per granule. Until its parts are merged each spans all of the time, and a slice has few
#: rows in each: with ClickHouse's own 8,192 most of what is decompressed would be other slices' rows.
GRANULE = 1024
STORAGE = ("_partition", "_offset", "_timestamp")
AT = "toUnixTimestamp64Milli(r._timestamp)"


def raw_table(topic: Topic) -> str:
    """Return the name of a topic's raw table."""
    return f"{topic.table}_rows"


class Timeline(RawTables):
    """The copies of some raw tables; they are read as the raw tables themselves are (`RawTables`).

    Attributes:
        run: the tables of the run, among them the copies.
    """

    def __init__(self, settings: ClickHouseSettings, topics: tuple[Topic, ...], wire: WireFormat) -> None:
        super().__init__(settings, RawSelection(topics), wire)
        self.run: ShadowTables | None = None

    def name(self, topic: Topic) -> str:
        """Return the name of a topic's copy."""
        assert self.run is not None, "prepared or resumed"
        return self.run.timeline(topic)

    def trouble(self, error: BaseException) -> Exception:
        """Return the error to raise for an error of ClickHouse."""
        return super().trouble(error) if self.run is None else self.run.trouble(error)

    async def copy(self, run: ShadowTables, begin: int) -> None:
        """Make the copies of the events that were in Kafka at or after a time (milliseconds), each once."""
        self.run = run
        for topic in self.selection.topics:
            columns = [str(field["name"]) for field in newest(topic.record).source["fields"]]
            listed = ", ".join([*columns, *STORAGE])
            live, name = raw_table(topic), self.name(topic)
            await run.command(
                f"CREATE TABLE {name} ENGINE = MergeTree ORDER BY _timestamp "
                f"SETTINGS index_granularity = {GRANULE} AS SELECT {listed} FROM {live} WHERE false"
            )
            months = await self.rows(
                f"SELECT DISTINCT toYYYYMM(occurred_at) AS month FROM {live} ORDER BY month", {}
            )
            for (month,) in months:
                sql = (
                    f"INSERT INTO {name} ({listed}) SELECT {listed} FROM {live} AS r FINAL "
                    f"WHERE toYYYYMM(r.occurred_at) = {{month:UInt32}} AND {SINCE} "
                    "SETTINGS insert_deduplicate = 0"
                )
                await run.command(sql, {"month": int(month), "begin": begin})

    async def counts(self, begin: int) -> dict[str, int]:
        """Return the number of events by topic that were in Kafka at or after a time (milliseconds)."""
        found = {}
        for topic in self.selection.topics:
            sql = f"SELECT count() FROM {self.name(topic)} AS r WHERE {SINCE}"
            ((number,),) = await self.rows(sql, {"begin": begin})
            found[topic.name] = int(number)
        return found

    async def bounds(self) -> tuple[int, int] | None:
        """Return the first and the last event's time in Kafka, milliseconds; None if there are no events."""
        sql = " UNION ALL ".join(
            f"SELECT min({AT}), max({AT}) FROM {self.name(topic)} AS r HAVING count() > 0"
            for topic in self.selection.topics
        )
        found = await self.rows(sql, {})
        return (min(int(row[0]) for row in found), max(int(row[1]) for row in found)) if found else None

    async def next_slice(self, begin: int, events: int) -> Slice | None:
        """Return the slice that begins at a time: up to the millisecond after `events` events.

        None if there are no events from then on.
        """
        times = " UNION ALL ".join(
            f"(SELECT {AT} AS at FROM {self.name(topic)} AS r WHERE {SINCE} "
            "ORDER BY r._timestamp LIMIT {events:UInt64})"
            for topic in self.selection.topics
        )
        sql = f"SELECT count(), max(at) FROM (SELECT at FROM ({times}) ORDER BY at LIMIT {{events:UInt64}})"
        ((number, last),) = await self.rows(sql, {"begin": begin, "events": events})
        return Slice(begin, int(last) + 1, 0, 0) if number else None

    def select(self, topic: Topic) -> str:
        """Return the query for a topic's events within a `Slice`."""
        return (
            f"SELECT {event_columns(topic)} FROM {self.name(topic)} AS r "
            f"WHERE {SINCE} AND r._timestamp < fromUnixTimestamp64Milli({{end:Int64}}) {FORMAT}"
        )
