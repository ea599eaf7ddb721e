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

If it is killed at any moment, the same command goes on from the last checkpoint (`checkpoints`), compares,
and applies what is left; from Kafka it begins again. It goes on with the raw rows that the first one copied
(`timeline`), so that it computes what that one would have. A run that is not gone on with is dropped by the
next one. If two replays run at once, the later one ends the earlier.

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

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import cached_property

from evometrics.schemas.topics import KPI_SNAPSHOTS, Topic
from evometrics.sinks.clickhouse.client import UNLIMITED_SECONDS, ClickHouseUnavailable, open_client
from evometrics.sinks.replay import sql as replay_sql
from evometrics.sinks.replay.checkpoints import ReplayProgress, fingerprint, interrupted
from evometrics.sinks.replay.compare import Comparison, ReadFrom, TableDifferences
from evometrics.sinks.replay.recompute import Computed, Recomputation
from evometrics.sinks.replay.settings import ReplaySettings
from evometrics.sinks.replay.shadow import ReplayEnded, ShadowTables
from evometrics.sinks.replay.source import EventSource, TableSource
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.streams.settings import StreamSettings


class Replay:
    """One replay. Use it through `replaying`."""

    def __init__(self, settings: ReplaySettings, source: EventSource, recomputation: Recomputation) -> None:
        self.settings = settings
        self.source = source
        self.recomputation = recomputation
        self.shadow = recomputation.shadow
        self.read = ReadFrom(self.begun, self.begun - round(settings.settle_seconds * 1000))

    @property
    def events(self) -> int:
        """The approximate number of events that will be read, including those that were."""
        return self.source.events

    @property
    def resumed(self) -> int:
        """The number of events that an interrupted replay, with which this one goes on, had computed."""
        return self.recomputation.resumed

    @property
    def begun(self) -> int:
        """When it, or the one that it goes on with, began to read, by ClickHouse's clock, milliseconds."""
        return self.recomputation.progress.begun

    @property
    def resumable(self) -> bool:
        """Whether the same command can go on from here, and not only begin again."""
        return self.recomputation.resumable

    @property
    def made(self) -> int:
        """The number of snapshots that were made, of any time and agent."""
        return self.recomputation.progress.made

    async def compute(self, done: Callable[[int], object]) -> Computed:
        """Fill the shadow tables; `done` is called with the number of events of each step."""
        reached = min(self.source.reached, self.read.settled * 1000)
        result = await self.recomputation.run(done, reached)
        self.read = replace(
            self.read,
            complete_from=self.source.complete_from,
            all_snapshots=self.source.all_snapshots,
            reached=reached,
        )
        return result

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
    *,
    again: bool = False,
) -> AsyncIterator[Replay]:
    """Open a replay, or go on with an interrupted one that was to do the same; `again`: begin in any case.

    It reads the raw tables from the time that the settings give, or `source`. At the end its tables are
    dropped; if it ends with an error and can be gone on with, they stay. All its methods raise what the
    source raises, `ClickHouseUnavailable` or `ReplayEnded`; running it again completes whatever was left half
    done.
    """
    # statements over all rows say nothing until they end
    client = await open_client(clickhouse, read_seconds=UNLIMITED_SECONDS)
    try:
        shadow = ShadowTables(client, clickhouse, settings.stored())
        async with source or TableSource(clickhouse, settings.sources(), settings.begin(stream)) as found:
            progress = await begin(settings, stream, found, shadow, again=again)
            recomputation = Recomputation(settings, stream, found, shadow, progress)
            try:
                yield Replay(settings, found, recomputation)
            except ReplayEnded:
                raise
            except BaseException:
                if not recomputation.resumable:
                    with suppress(ClickHouseUnavailable):  # the error under way says more
                        await shadow.drop()
                raise
            await shadow.drop()
    finally:
        await client.close()


async def begin(
    settings: ReplaySettings,
    stream: StreamSettings,
    source: EventSource,
    shadow: ShadowTables,
    *,
    again: bool,
) -> ReplayProgress:
    """Make a replay's tables, or take over those of an interrupted one; return how far it has come."""
    identity = await source.identity()
    selection = [settings.meant.identity(), settings.settle_seconds]
    computing = [stream.abandoned_after_seconds, stream.allowed_lateness_seconds]
    wanted = fingerprint(identity, selection, computing)
    left = None if again or identity is None else await interrupted(shadow, wanted)
    if left is not None and await shadow.take(left.run, left.tables):
        progress = left.progress
        shadow.number = progress.number
        await source.resume(shadow, progress.source, progress.passed)
        return progress
    try:
        await shadow.create()
        ((now,),) = await shadow.rows("SELECT toUnixTimestamp64Milli(now64(3))")
        await source.prepare(shadow)
    except BaseException:
        with suppress(ClickHouseUnavailable):
            await shadow.drop()
        raise
    return ReplayProgress(wanted, int(now), source.known())
