"""Where a replay reads raw events from: the raw tables or Kafka, slices in the order of time either way.

The order that decides what rows come out is that within a partition. Between partitions only the time in
Kafka is kept, closely enough for the windows that they share (`replay.SPAN`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from evometrics.schemas.topics import EVOLUTION_COMPLETED, KPI_SNAPSHOTS, Topic
from evometrics.schemas.wire import WireFormat
from evometrics.sinks.raw_event import RawEvent
from evometrics.sinks.raw_tables import RawSelection, RawTables
from evometrics.sinks.retention import ROW_TIME, days_of
from evometrics.sinks.settings import ClickHouseSettings

DAY = 86_400_000_000
#: A message's event time lies at most this much ahead of its time in Kafka (`schemas.validation`).
MAX_AHEAD = DAY
#: Raw rows this close to the end of their time may be gone before they are read.
SAFETY = DAY
#: A source that is read to its end at this moment.
NOW = 2**62


class Source(Protocol):
    """Raw events as they are at the moment it is entered, as an async context manager.

    Attributes:
        events: about how many will be read.
        complete_from: event time, microseconds, from which on all completions there ever were are read, as
            far as the source can know; 0 for all. For certain once all slices were read.
        reached: up to when what came to Kafka is read, microseconds of its time; `NOW` for all there is.
        all_snapshots: whether all snapshots there ever were are read, as far as it can know.
        wire: reads the events' values, and writes single-object framing.
    """

    events: int
    complete_from: int
    reached: int
    all_snapshots: bool
    wire: WireFormat

    async def __aenter__(self) -> Source:
        """Find out what is there."""

    async def __aexit__(self, *_: object) -> None:
        """Close what was opened."""

    def slices(self, number: int) -> AsyncGenerator[list[RawEvent], None]:
        """Yield the events, about so many at a time: each partition's in their order, all in that of time.

        An event may come more than once, as it was sent. Close it where it is left early.
        """


class TableSource:
    """The raw tables, which reach back further than Kafka and hold each event once.

    Args:
        begin: time in Kafka from when on events are read, milliseconds; 0 for all.

    Every call raises `ClickHouseUnavailable` or `TableMismatch`.
    """

    def __init__(self, settings: ClickHouseSettings, topics: tuple[Topic, ...], begin: int) -> None:
        self.settings = settings
        self.wire = WireFormat()
        self.tables = RawTables(settings, RawSelection(topics), self.wire)
        self.begin = begin
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
        """Find out what is there."""
        await self.mind_retention()
        bounds = await self.tables.bounds()
        if bounds is None:
            return
        if self.begin > bounds[0]:
            self.complete_from = max(self.complete_from, self.begin * 1000 + MAX_AHEAD)
            self.all_snapshots = False
        self.reached = bounds[1] * 1000
        self.begin, self.end = max(self.begin, bounds[0]), bounds[1] + 1
        self.events = sum((await self.tables.counts(self.begin)).values())

    async def mind_retention(self) -> None:
        """Take into account that rows run out."""
        assert self.tables.client is not None
        days = await days_of(self.tables.client, self.settings.database)
        kept = days.get(f"{EVOLUTION_COMPLETED.table}_rows")
        if kept is not None:
            ((now,),) = await self.tables.rows("SELECT toUnixTimestamp64Micro(now64(6))", {})
            self.complete_from = max(self.complete_from, int(now) - kept * DAY + SAFETY)
        snapshots = f"{KPI_SNAPSHOTS.table}_rows"
        if snapshots in days:
            past = f"{ROW_TIME} <= now() - INTERVAL {days[snapshots] - 1} DAY"
            ((old,),) = await self.tables.rows(f"SELECT count() FROM {snapshots} WHERE {past}", {})
            self.all_snapshots = self.all_snapshots and not old

    async def slices(self, number: int) -> AsyncGenerator[list[RawEvent], None]:
        """Yield the events, as the protocol says."""
        if self.begin < self.end:
            async for events in self.tables.slices(self.begin, self.end, number):
                yield events
