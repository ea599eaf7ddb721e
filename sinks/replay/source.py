"""Where a replay reads raw events from: the raw tables or Kafka, in slices ordered by time either way.

The order within a partition decides which rows result. Between partitions only the order of the time in Kafka
is kept, closely enough for the windows that they share (`recompute.SPAN`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from evometrics.schemas.topics import BY_NAME, EVOLUTION_COMPLETED, KPI_SNAPSHOTS, Topic
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.raw.event import RawEvent
from evometrics.sinks.raw.tables import RawSelection
from evometrics.sinks.replay.made import CALLING, Maker
from evometrics.sinks.replay.shadow import ShadowTables
from evometrics.sinks.replay.timeline import Timeline, raw_table
from evometrics.sinks.retention import ROW_TIME, days_of
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.streams.offline import OfflineStream
from evometrics.streams.settings import StreamSettings

DAY = 86_400_000_000
#: A message's event time lies at most this much ahead of its time in Kafka (`schemas.rules.validation`).
MAX_AHEAD = DAY
#: Raw rows this close to their expiry may be gone before they are read.
SAFETY = DAY
BEFORE = "_timestamp < fromUnixTimestamp64Milli({begin:Int64})"
#: `reached` of a source that is read up to the present.
NOW = 2**62


class EventSource(Protocol):
    """Raw events as of the moment they are prepared, in an async context manager.

    Attributes:
        events: about how many will be read.
        complete_from: event time, microseconds, from which on all completions that ever existed are read, as
            far as the source can know; 0 for all. Certain only once all slices were read.
        reached: messages that reached Kafka up to this time are read, microseconds; `NOW` for all.
        all_snapshots: whether all snapshots that ever existed are read, as far as it can know.
        passed: where a replay that is interrupted now would go on; None if this source can't.
        wire: reads the events' values, and writes single-object framing.
    """

    events: int
    complete_from: int
    reached: int
    all_snapshots: bool
    passed: int | None
    wire: WireFormat

    async def __aenter__(self) -> EventSource:
        """Connect."""

    async def __aexit__(self, *_: object) -> None:
        """Close what was opened."""

    async def identity(self) -> list[Any] | None:
        """Return the values that distinguish its events from others; None if it can't go on later."""

    async def prepare(self, run: ShadowTables) -> None:
        """Determine what there is to read; once for each replay."""

    def known(self) -> dict[str, Any]:
        """Return what `resume` needs."""

    async def resume(self, run: ShadowTables, known: Mapping[str, Any], passed: int) -> None:
        """Take up what another process prepared and read as far as `passed`."""

    def slices(self, number: int) -> AsyncGenerator[list[RawEvent], None]:
        """Yield the events, about `number` at a time: each partition's in order, all in order of time.

        An event may come more than once, as often as it was sent. Close the generator if you leave it early.
        """


class TableSource:
    """The raw tables, which reach back further than Kafka and hold each event once, by their copies.

    If snapshots are read, they include those that the tables' evolutions call for and nobody has made
    (`made`); the evolutions are examined for that, whether they are selected or not.

    Args:
        begin: time in Kafka from which events are read, milliseconds; 0 for all.

    Attributes:
        made: how many snapshots are made.

    Every call raises `ClickHouseUnavailable` or `TableMismatch`.
    """

    def __init__(self, settings: ClickHouseSettings, topics: tuple[Topic, ...], begin: int) -> None:
        self.settings = settings
        self.wire = WireFormat()
        self.topics = topics
        self.begin = begin
        self.timeline = Timeline(settings, topics, self.wire)
        self.maker = Maker(self.timeline, OfflineStream(StreamSettings(), self.wire), begin)
        self.passed: int | None = begin
        self.made = 0
        self.end = 0
        self.events = self.complete_from = 0
        self.reached = 0
        self.all_snapshots = True

    async def __aenter__(self) -> TableSource:
        await self.timeline.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.timeline.__aexit__()

    async def identity(self) -> list[Any] | None:
        """Return the values that distinguish its events from others."""
        return [await self.timeline.identity(), self.begin]

    async def prepare(self, run: ShadowTables) -> None:
        """Copy what there is to read, and look at it."""
        await self.mind_retention()
        if KPI_SNAPSHOTS in self.topics and await self.maker.count(raw_table):
            self.select(tuple(dict.fromkeys([*CALLING, *self.topics])))
        await self.timeline.copy(run, self.begin)
        if KPI_SNAPSHOTS in self.topics and set(CALLING) <= set(self.timeline.selection.topics):
            self.made = await self.maker.count(run.timeline)
        if await self.older():
            self.complete_from = max(self.complete_from, self.begin * 1000 + MAX_AHEAD)
            self.all_snapshots = False
        bounds = await self.timeline.bounds()
        if bounds is None:
            return
        self.reached = bounds[1] * 1000
        self.begin, self.end = max(self.begin, bounds[0]), bounds[1] + 1
        counts = await self.timeline.counts(self.begin)
        self.events = self.made + sum(counts[topic.name] for topic in self.topics)

    def select(self, topics: tuple[Topic, ...]) -> None:
        """Read these topics."""
        self.timeline.selection = RawSelection(topics)

    async def older(self) -> bool:
        """Return whether the raw tables hold events from before the beginning."""
        before = " UNION ALL ".join(
            f"(SELECT 1 FROM {raw_table(topic)} WHERE {BEFORE} LIMIT 1)"
            for topic in self.timeline.selection.topics
        )
        return bool(await self.timeline.rows(before, {"begin": self.begin}))

    async def mind_retention(self) -> None:
        """Take into account that rows expire."""
        assert self.timeline.client is not None
        days = await days_of(self.timeline.client, self.settings.database)
        kept = days.get(f"{EVOLUTION_COMPLETED.table}_rows")
        ((now,),) = await self.timeline.rows("SELECT toUnixTimestamp64Micro(now64(6))", {})
        if kept is not None:
            self.complete_from = max(self.complete_from, int(now) - kept * DAY + SAFETY)
        snapshots = f"{KPI_SNAPSHOTS.table}_rows"
        if snapshots in days:
            self.maker.begin = max(self.begin, (int(now) - days[snapshots] * DAY + SAFETY) // 1000)
            past = f"{ROW_TIME} <= now() - INTERVAL {days[snapshots] - 1} DAY"
            ((old,),) = await self.timeline.rows(f"SELECT count() FROM {snapshots} WHERE {past}", {})
            self.all_snapshots = self.all_snapshots and not old

    def known(self) -> dict[str, Any]:
        """Return what `resume` needs."""
        return {
            "topics": [topic.name for topic in self.timeline.selection.topics],
            "made": self.made,
            "makes_from": self.maker.begin,
            "end": self.end,
            "events": self.events,
            "complete_from": self.complete_from,
            "reached": self.reached,
            "all_snapshots": self.all_snapshots,
        }

    async def resume(self, run: ShadowTables, known: Mapping[str, Any], passed: int) -> None:
        """Take up what another process prepared and read as far as `passed`."""
        self.timeline.run = run
        self.select(tuple(BY_NAME[name] for name in known["topics"]))
        self.maker.begin = known["makes_from"]
        self.begin = self.passed = passed
        self.made, self.end, self.events = known["made"], known["end"], known["events"]
        self.complete_from, self.reached = known["complete_from"], known["reached"]
        self.all_snapshots = known["all_snapshots"]

    async def slices(self, number: int) -> AsyncGenerator[list[RawEvent], None]:
        """Yield the events, as the protocol says."""
        if self.begin >= self.end:
            return
        wanted = {topic.name for topic in self.topics}
        async with aclosing(self.timeline.slices(self.begin, self.end, number)) as slices:
            async for events in slices:
                passed = self.timeline.passed
                if self.made:
                    events = [e for e in await self.maker.with_made(events) if e.topic in wanted]
                self.passed = passed
                yield events
