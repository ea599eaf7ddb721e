"""Replay: derived tables recomputed from raw events, compared with the live ones, and repaired.

1. Compute: all starts, completions and snapshots of a source (`source`), in the order of their time in Kafka,
   go through the stream's own computations (`streams.offline`) into shadow tables (`shadow`). Snapshots that
   evolutions call for and nobody has made are made, and count as if they had been read (`made`).
2. Compare (`compare`): which rows are added, gone or changed within the selection.
3. Apply, only on request: the snapshots that were made, and the added and changed rows, are inserted into the
   live tables; then the rows that are gone are deleted.

The live tables are never swapped as a whole: what the sink inserts meanwhile would be lost, or the pipeline
would have to wait. They are ReplacingMergeTree and read with FINAL, so that a changed row replaces the other
at the moment it is inserted: a reader sees the old one or the new one, never none and never both. A row with
a newer version that arrived meanwhile wins. Deleted rows were there before the replay began to read. Only a
row whose sorting key was wrong is there twice for a moment: inserted under the right key, then deleted under
the other.

The source is the raw tables, which reach back further, or Kafka, which has what no sink has stored yet.
Nothing is changed in Kafka: no group, no offset, no topic, and the stream's states stay as they are.

If it is killed at any moment, the same command computes and compares from the start and applies what is left;
the tables of the killed run are dropped. Deliberately, there is nothing to resume from: states as of some
offset would be a second source of truth. If two replays run at once, the later one ends the earlier.

What a replay can't know. Of an event that was sent twice the raw tables keep the message stored last, and its
time in Kafka decides its position; ids are computed from the event, so rows are the same. From Kafka it comes
twice, and counts once, by the stream's own memory of ids. An event that came too late for the stream's
windows is too late here as well, unless more lateness is allowed; from the raw tables, if nodes delivered
after an outage, the messages' own times bring them earlier than they came, and more may count. Rows whose raw
events are gone or were not read are left alone (`sql`). Evolutions that the stream reports as abandoned by
the clock are reported here up to the time of the last message read. The stream continues from its own states:
if these are wrong, and not only the rows, it makes wrong rows until the windows have passed.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

from evometrics.schemas.service.settings import require
from evometrics.schemas.topics import DERIVED_TOPICS, KPI_DELTAS, KPI_SNAPSHOTS, Topic
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.raw.event import RawEvent
from evometrics.sinks.raw.steps import steps
from evometrics.sinks.raw.tables import RawSelection
from evometrics.sinks.replay import sql as replay_sql
from evometrics.sinks.replay.compare import Comparison, ReadFrom, TableDifferences
from evometrics.sinks.replay.compute import Computing
from evometrics.sinks.replay.made import MadeSnapshot
from evometrics.sinks.replay.shadow import ShadowTables
from evometrics.sinks.replay.source import MAX_AHEAD, EventSource, TableSource
from evometrics.sinks.replay.store import Storing
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.streams.formulas.windows import SECOND, WINDOWS
from evometrics.streams.producer import Message
from evometrics.streams.settings import StreamSettings

HOUR = 3600 * SECOND
#: The most event time that is computed at once: well below the stream's lateness.
SPAN = 6 * HOUR


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What is replayed, and how.

    Attributes:
        meant: the derived rows that are compared: their tables, event time and agents. Rows of success rates
            have an agent only for the scope agent.
        settle_seconds: a row counts as there before the replay where it was stored this long before it began;
            longer than the sink is behind in one partition while it stores the rows of another.
        slice_events: events read at a time; two slices are in memory.
        step_events: events that are computed with at once.
        processes: how many compute, each with some of the partitions; 1 for this one alone.
        samples: rows shown of each kind of difference.
    """

    meant: RawSelection = field(default_factory=lambda: RawSelection(DERIVED_TOPICS))
    settle_seconds: float = 60.0
    slice_events: int = 100_000
    step_events: int = 20_000
    processes: int = 1
    samples: int = 3

    def __post_init__(self) -> None:
        require(self.settle_seconds >= 0, "settle_seconds", self.settle_seconds, "must not be negative")
        require(self.slice_events > 0, "slice_events", self.slice_events, "must be at least 1")
        require(self.step_events > 0, "step_events", self.step_events, "must be at least 1")
        require(self.processes > 0, "processes", self.processes, "must be at least 1")
        require(self.samples >= 0, "samples", self.samples, "must not be negative")

    def sources(self) -> tuple[Topic, ...]:
        """Return the raw topics from which the tables are derived."""
        found = (topic for each in self.meant.topics for topic in replay_sql.judged(each, "", "").sources)
        return tuple(dict.fromkeys(found))

    def stored(self) -> tuple[Topic, ...]:
        """Return the topics whose tables are repaired: those selected, and for KPI deltas the snapshots."""
        return (KPI_SNAPSHOTS, *self.meant.topics) if KPI_DELTAS in self.meant.topics else self.meant.topics

    def begin(self, stream: StreamSettings) -> int:
        """Return the time in Kafka from which messages are read, milliseconds; 0 for all.

        Far enough before the range that each of its windows, and each evolution abandoned in it, is complete.
        """
        if self.meant.since is None:
            return 0
        window = max(w.seconds + w.step_seconds for w in WINDOWS)
        back = max(window, stream.abandoned_after_seconds) * SECOND + stream.allowed_lateness_seconds * SECOND
        return max(0, (self.meant.since - back - MAX_AHEAD) // 1000)


@dataclass(slots=True)
class Computed:
    """The result of the first step.

    Attributes:
        events: raw events read.
        rows: rows written to the shadow tables, corrected ones counted again.
        unreadable: events that the stream turns into dead letters.
        seconds, cpu_seconds: time taken, and this process's CPU time.
    """

    events: int = 0
    rows: int = 0
    unreadable: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


class Replay:
    """One replay. Use it through `replaying`.

    Attributes:
        made: snapshots that were made, of any time and agent.
    """

    def __init__(
        self,
        settings: ReplaySettings,
        stream: StreamSettings,
        source: EventSource,
        shadow: ShadowTables,
        begun: int,
    ) -> None:
        self.settings = settings
        self.stream = stream
        self.source = source
        self.shadow = shadow
        self.span = min(SPAN, stream.allowed_lateness_seconds * SECOND // 2)
        self.read = ReadFrom(begun, begun - round(settings.settle_seconds * 1000))
        self.watermark: int | None = None
        self.made = 0

    @property
    def events(self) -> int:
        """The approximate number of events that will be read."""
        return self.source.events

    async def compute(self, done: Callable[[int], object]) -> Computed:
        """Fill the shadow tables; `done` is called with the number of events of each step."""
        result, began, used = Computed(), time.monotonic(), time.process_time()
        slices = self.source.slices(self.settings.slice_events)
        async with (
            Computing(self.stream, self.source.wire, self.settings.processes) as computing,
            aclosing(slices),
            Storing(self.shadow) as storing,
        ):
            async for events in slices:
                for step in steps(events, self.watermark, self.settings.step_events, self.span):
                    self.watermark = step.watermark
                    messages = await self.computed(computing, step.events)
                    await storing.put(step.events, messages, step.events[-1].timestamp)
                    result.events += len(step.events)
                    self.made += sum(isinstance(event, MadeSnapshot) for event in step.events)
                    done(len(step.events))
            reached = min(self.source.reached, self.read.settled * 1000)
            await storing.put([], await self.abandoned(computing, reached), reached // 1000)
            result.rows = await storing.end()
            result.unreadable = computing.unreadable
            result.cpu_seconds = computing.cpu_seconds - used
        result.seconds = time.monotonic() - began
        self.read = replace(
            self.read,
            complete_from=self.source.complete_from,
            all_snapshots=self.source.all_snapshots,
            reached=reached,
        )
        return result

    async def computed(self, computing: Computing, events: Sequence[RawEvent]) -> list[Message]:
        """Return the derived events of a step, restricted to the selected agents.

        All agents' evolutions are computed: those of a partition together decide what is abandoned.
        """
        agents = {agent.encode() for agent in self.settings.meant.agents}
        if not agents:
            return await computing.step(events)
        some = [event for event in events if event.topic != KPI_SNAPSHOTS.name or event.key in agents]
        return [message for message in await computing.step(some) if message.key in agents]

    async def abandoned(self, computing: Computing, now: int) -> list[Message]:
        """Return the reports of evolutions that count as abandoned by the clock at the end of the history."""
        agents = {agent.encode() for agent in self.settings.meant.agents}
        found = await computing.abandon(now)
        return [message for message in found if not agents or message.key in agents]

    @property
    def compared(self) -> list[Topic]:
        """The topics whose tables are compared with the live ones; snapshots first."""
        return [topic for topic in self.shadow.topics if topic is not KPI_SNAPSHOTS or self.made]

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison of what was computed."""
        return Comparison(self.shadow, self.settings.meant, self.read)

    async def compare(self) -> list[TableDifferences]:
        """Return the differences of each table."""
        return [await self.comparison.compare(topic, self.settings.samples) for topic in self.compared]

    async def apply(self) -> None:
        """Repair what the last comparison found. Repeating it does no harm."""
        for topic in self.compared:
            differences = self.comparison.differences(topic)
            await self.shadow.command(
                replay_sql.insert_differences(topic, self.shadow.name(topic), differences)
            )
            if topic is not KPI_SNAPSHOTS:
                await self.shadow.command(
                    replay_sql.delete_differences(topic, differences), {"settled": self.read.settled}
                )


@asynccontextmanager
async def replaying(
    clickhouse: ClickHouseSettings,
    settings: ReplaySettings,
    stream: StreamSettings,
    source: EventSource | None = None,
) -> AsyncIterator[Replay]:
    """Open a replay; at the end drop its tables, and those that earlier ones left.

    It reads the raw tables from the time that the settings give, or `source`. All its methods raise what the
    source raises, `ClickHouseUnavailable` or `ReplayEnded`; running it again completes whatever was left half
    done.
    """
    client = await open_client(clickhouse)
    try:
        shadow = ShadowTables(client, clickhouse, settings.stored())
        await shadow.create()
        try:
            ((now,),) = await shadow.rows("SELECT toUnixTimestamp64Milli(now64(3))")
            async with source or TableSource(clickhouse, settings.sources(), settings.begin(stream)) as found:
                yield Replay(settings, stream, found, shadow, int(now))
        finally:
            await shadow.drop()
    finally:
        await client.close()
