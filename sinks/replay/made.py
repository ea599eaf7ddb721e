"""Snapshots that evolutions in the raw tables call for and that `kpi_snapshots` lacks, made by replay.

An evolution's event names the phases whose KPIs are its agent's snapshots (`schemas.snapshots`), and the
stream makes these. Of an event that it never read, because Kafka's retention had passed its offsets, the sink
may well have stored the row, and nobody has made the snapshot. What makes it here is the stream's own
computation, so that its id and values are what they would have been; it comes right after its event, as if
the stream had read both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter

from evometrics.schemas.evolutions.snapshots import snapshot_id
from evometrics.schemas.rules.validation import POST, PRE
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_STARTED, KPI_SNAPSHOTS, Topic
from evometrics.sinks.raw.event import RawEvent, read_head
from evometrics.sinks.raw.tables import SINCE, RawTables
from evometrics.streams.offline import OfflineStream

#: The phases that the stream makes snapshots of, by the events whose KPIs these are.
PHASES = {EVOLUTION_STARTED: (PRE,), EVOLUTION_COMPLETED: (PRE, POST)}
CALLING = tuple(PHASES)
#: What Kafka had before `end`, milliseconds.
BEFORE = "r._timestamp < fromUnixTimestamp64Milli({end:Int64})"


class MadeSnapshot(RawEvent):
    """A snapshot that no table has, with the time in Kafka and the partition of the event it came of."""


def called_for(topic: Topic, where: str) -> str:
    """Return the query for what events call for: their ids, and whether after the evolution."""
    phases = ", ".join(f"'{phase}'" for phase in PHASES[topic])
    return (
        f"SELECT r.event_id AS source, "
        f"arrayJoin(arrayIntersect(r.snapshot_phases, [{phases}])) = '{POST}' AS after "
        f"FROM {topic.table}_rows AS r FINAL WHERE notEmpty(r.snapshot_phases) AND {where}"
    )


def lacking(*, within: bool) -> str:
    """Return the query for what is called for by events since `begin`, and is not there.

    Within: by those before `end`, a small part of all, and the snapshots of these alone are looked for.
    """
    where = f"{SINCE} AND {BEFORE}" if within else SINCE
    all_called_for = " UNION ALL ".join(called_for(topic, where) for topic in PHASES)
    there = f"SELECT assumeNotNull(source_event_id), phase = '{POST}' FROM {KPI_SNAPSHOTS.table}_rows"
    only = f"source_event_id IN (SELECT source FROM ({all_called_for}))" if within else "1"
    return (
        f"SELECT source, after FROM ({all_called_for}) "
        f"WHERE (source, after) NOT IN ({there} WHERE source_event_id IS NOT NULL AND {only})"
    )


class Maker:
    """Makes the snapshots that the events of slices call for and `kpi_snapshots` lacks.

    Memory: those of a slice. All calls raise what `RawTables` raises.

    Args:
        tables: where the events are, and the snapshots would be.
        stream: makes them.
        begin: time in Kafka, milliseconds, before which none are made: their rows would be kept no more.
    """

    def __init__(self, tables: RawTables, stream: OfflineStream, begin: int) -> None:
        self.tables = tables
        self.stream = stream
        self.begin = begin

    async def count(self) -> int:
        """Return about how many are to be made."""
        sql = f"SELECT count() FROM ({lacking(within=False)})"
        ((number,),) = await self.tables.rows(sql, {"begin": self.begin})
        return int(number)

    async def with_made(self, events: Sequence[RawEvent]) -> list[RawEvent]:
        """Return a slice's events, which are in the order of time, each with the snapshots made of it."""
        if not events:
            return []
        within = {"begin": max(self.begin, events[0].timestamp), "end": events[-1].timestamp + 1}
        wanted: dict[bytes, set[bytes]] = {}
        for source, after in await self.tables.rows(lacking(within=True), within):
            made_id = snapshot_id(str(source), POST if after else PRE)
            wanted.setdefault(str(source).encode(), set()).add(made_id.encode())
        if not wanted:
            return list(events)
        made = await asyncio.to_thread(self.make, events, wanted)
        # a stable sort: an event comes before what is made of it
        return sorted([*events, *made], key=attrgetter("timestamp"))

    def make(
        self, events: Sequence[RawEvent], wanted: Mapping[bytes, Collection[bytes]]
    ) -> list[MadeSnapshot]:
        """Return the snapshots that are wanted, by their events' ids."""
        made = []
        for event in events:
            if event.event_id not in wanted:
                continue
            for topic, key, value, *_ in self.stream.snapshots(event):
                assert value is not None
                event_id, _, occurred_at = read_head(value, self.stream.wire.locate(value)[1])
                if event_id in wanted[event.event_id]:
                    made.append(
                        MadeSnapshot(
                            event.timestamp, occurred_at, topic, event_id, key, value, event.partition
                        )
                    )
        return made
