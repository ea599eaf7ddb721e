"""Stores a replay's results: ClickHouse inserts those of some steps while the next are computed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from evometrics.schemas.service.tasks import end_tasks
from evometrics.schemas.topics import KPI_SNAPSHOTS, SUCCESS_RATES
from evometrics.schemas.wire.framing import SINGLE_OBJECT_LENGTH
from evometrics.sinks.raw.event import RawEvent
from evometrics.sinks.replay.checkpoints import Checkpoints, ReplayProgress
from evometrics.sinks.replay.made import MadeSnapshot
from evometrics.sinks.replay.shadow import ShadowRow, ShadowTables
from evometrics.streams.offline import Change
from evometrics.streams.producer import Message

#: Rows per insert: smaller inserts give ClickHouse more parts to merge.
INSERT_ROWS = 40_000
#: Position of a derived message's event_id: after the framing and the length of its text.
ID = slice(SINGLE_OBJECT_LENGTH + 1, SINGLE_OBJECT_LENGTH + 37)


@dataclass(slots=True)
class Gathered:
    """The results of some steps.

    Attributes:
        ids: of the events read, as text; empty for messages that are not events.
        rows: of each topic stored, under their numbers, or their ids if a later one replaces an earlier.
    """

    rows: dict[str, dict[bytes | int, ShadowRow]]
    ids: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of rows."""
        return sum(map(len, self.rows.values()))

    def add(self, events: Sequence[RawEvent], messages: Sequence[Message], stamp: int) -> None:
        """Add a step: of several rows of one success rate the last, which knows the most."""
        self.ids += [event.event_id for event in events]
        snapshots = self.rows.get(KPI_SNAPSHOTS.name)
        if snapshots is not None:
            for event in events:
                if isinstance(event, MadeSnapshot):
                    snapshots[len(snapshots)] = ShadowRow(event.timestamp, event.value, event.partition)
        for topic, _, value, *_ in messages:
            rows = self.rows.get(topic)
            if rows is not None:
                assert value is not None
                rows[value[ID] if topic == SUCCESS_RATES.name else len(rows)] = ShadowRow(stamp, value)


class Storing:
    """Stores the results of some steps while the next ones are computed; an async context manager.

    Attributes:
        rows: rows stored, including those of an interrupted replay that goes on.
        saved: whether a checkpoint is stored.
    """

    def __init__(self, shadow: ShadowTables, rows: int = 0) -> None:
        self.shadow = shadow
        self.checkpoints = Checkpoints(shadow)
        self.gathered = self.nothing()
        self.under_way: asyncio.Task[None] | None = None
        self.rows = rows
        self.saved = False

    def nothing(self) -> Gathered:
        """Return an empty `Gathered` for the selected tables."""
        return Gathered({topic.name: {} for topic in self.shadow.topics})

    async def __aenter__(self) -> Storing:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.under_way is not None:
            await end_tasks([self.under_way])

    async def put(self, events: Sequence[RawEvent], messages: Sequence[Message], stamp: int) -> None:
        """Add a step's events and their derived ones; waits while the rows of two inserts are pending.

        `stamp` is the time in Kafka, milliseconds, of the source.
        """
        self.gathered.add(events, messages, stamp)
        if max(len(self.gathered), len(self.gathered.ids)) >= INSERT_ROWS:
            await self.begin()

    async def begin(self, progress: ReplayProgress | None = None, changes: Sequence[Change] = ()) -> None:
        """Start storing what was gathered, once the previous insert is done. Raises what that one raised.

        With `progress`, a checkpoint is stored after it: the events that it counts are those put so far.
        """
        if self.under_way is not None:
            await self.under_way
        self.under_way = asyncio.create_task(self.store(self.gathered, progress, changes))
        self.gathered = self.nothing()

    async def end(self, progress: ReplayProgress | None = None) -> int:
        """Store the rest; return the number of rows stored. Raises what storing raised."""
        await self.begin(progress)
        assert self.under_way is not None
        await self.under_way
        self.under_way = None
        return self.rows

    async def store(
        self, gathered: Gathered, progress: ReplayProgress | None, changes: Sequence[Change]
    ) -> None:
        """Insert what was gathered, and a checkpoint."""
        await self.shadow.note_read(gathered.ids)
        for topic in self.shadow.topics:
            rows = gathered.rows[topic.name]
            if rows:
                await self.shadow.insert(topic, rows.values())
                self.rows += len(rows)
        if progress is not None:
            counted = replace(progress, rows=self.rows, number=self.shadow.number)
            await self.checkpoints.save(counted, changes)
            self.saved = True
