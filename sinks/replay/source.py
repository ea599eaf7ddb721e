"""Where a replay reads raw events from: the raw tables or Kafka, in slices ordered by time either way.

The order within a partition decides which rows result. Between partitions only the order of the time in Kafka
is kept, closely enough for the windows that they share (`replay.SPAN`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from evometrics.schemas.topics import EVOLUTION_COMPLETED, KPI_SNAPSHOTS, Topic
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.raw.event import RawEvent
from evometrics.sinks.raw.tables import RawSelection, RawTables
from evometrics.sinks.replay.made import CALLING, Maker
from evometrics.sinks.retention import ROW_TIME, days_of
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.streams.offline import OfflineStream
from evometrics.streams.settings import StreamSettings

DAY = 86_400_000_000
#: A message's event time lies at most this much ahead of its time in Kafka (`schemas.rules.validation`).
MAX_AHEAD = DAY
#: Raw rows this close to their expiry may be gone before they are read.
SAFETY = DAY
#: `reached` of a source that is read up to the present.
NOW = 2**62


class EventSource(Protocol):
    """Raw events as of the moment it is entered, as an async context manager.

    Attributes:
        events: about how many will be read.
        complete_from: event time, microseconds, from which on all completions that ever existed are read, as
            far as the source can know; 0 for all. Certain only once all slices were read.
        reached: messages that reached Kafka up to this time are read, microseconds; `NOW` for all.
        all_snapshots: whether all snapshots that ever existed are read, as far as it can know.
        wire: reads the events' values, and writes single-object framing.
    """

    events: int
    complete_from: int
    reached: int
    all_snapshots: bool
    wire: WireFormat

    async def __aenter__(self) -> EventSource:
        """Determine what there is to read."""

    async def __aexit__(self, *_: object) -> None:
        """Close what was opened."""

    def slices(self, number: int) -> AsyncGenerator[list[RawEvent], None]:
        """Yield the events, about `number` at a time: each partition's in order, all in order of time.

        An event may come more than once, as often as it was sent. Close the generator if you leave it early.
        """


class TableSource:
    """The raw tables, which reach back further than Kafka and hold each event once.

    If snapshots are read, they include those that the tables' evolutions call for and nobody has made
    (`made`); the evolutions are examined for that, whether they are selected or not.

    Args:
        begin: time in Kafka from which events are read, milliseconds; 0 for all.

    Attributes:
        made: about how many snapshots are made.

    Every call raises `ClickHouseUnavailable` or `TableMismatch`.
    """

    def __init__(self, settings: ClickHouseSettings, topics: tuple[Topic, ...], begin: int) -> None:
        self.settings = settings
        self.wire = WireFormat()
        self.topics = topics
        self.tables = RawTables(settings, RawSelection(topics), self.wire)
        self.begin = begin
        self.maker = Maker(self.tables, OfflineStream(StreamSettings(), self.wire), begin)
        self.made = 0
        self.end = 0
        self.events = self.complete_from = 0
        self.reached = 0
        self.all_snapshots = True

    async def __aenter__(self) -> TableSource:
        await self.tables.__aenter__()
        try:
            await self.look()
        except BaseException:
            await self.tables.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.tables.__aexit__()

    async def look(self) -> None:
        """Determine what there is to read."""
        await self.mind_retention()
        if KPI_SNAPSHOTS in self.topics:
            self.made = await self.maker.count()
        if self.made:
            self.tables.selection = RawSelection(tuple(dict.fromkeys([*CALLING, *self.topics])))
        bounds = await self.tables.bounds()
        if bounds is None:
            return
        if self.begin > bounds[0]:
            self.complete_from = max(self.complete_from, self.begin * 1000 + MAX_AHEAD)
            self.all_snapshots = False
        self.reached = bounds[1] * 1000
        self.begin, self.end = max(self.begin, bounds[0]), bounds[1] + 1
        counts = await self.tables.counts(self.begin)
        self.events = self.made + sum(counts[topic.name] for topic in self.topics)

    async def mind_retention(self) -> None:
        """Take into account that rows expire."""
        assert self.tables.client is not None
        days = await days_of(self.tables.client, self.settings.database)
        kept = days.get(f"{EVOLUTION_COMPLETED.table}_rows")
        ((now,),) = await self.tables.rows("SELECT toUnixTimestamp64Micro(now64(6))", {})
        if kept is not None:
            self.complete_from = max(self.complete_from, int(now) - kept * DAY + SAFETY)
        snapshots = f"{KPI_SNAPSHOTS.table}_rows"
        if snapshots in days:
            self.maker.begin = max(self.begin, (int(now) - days[snapshots] * DAY + SAFETY) // 1000)
            past = f"{ROW_TIME} <= now() - INTERVAL {days[snapshots] - 1} DAY"
            ((old,),) = await self.tables.rows(f"SELECT count() FROM {snapshots} WHERE {past}", {})
            self.all_snapshots = self.all_snapshots and not old

    async def slices(self, number: int) -> AsyncGenerator[list[RawEvent], None]:
        """Yield the events, as the protocol says."""
        if self.begin >= self.end:
            return
        wanted = {topic.name for topic in self.topics}
        async for events in self.tables.slices(self.begin, self.end, number):
            if self.made:
                events = [e for e in await self.maker.with_made(events) if e.topic in wanted]
            yield events
