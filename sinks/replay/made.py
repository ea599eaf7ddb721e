"""Makes the snapshots that evolutions in the raw tables call for and that `kpi_snapshots` lacks.

An evolution's event names the phases whose KPIs are its agent's snapshots (`schemas.evolutions.snapshots`),
and the stream makes these. Of an event that it never read, because Kafka's retention had deleted it, the sink
may well have stored the row, but nobody has made the snapshot. Here the stream's own computation makes it, so
that its id and values are what they would have been; it follows its event directly, as if the stream had read
both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter

from evometrics.schemas.evolutions.snapshots import snapshot_id
from evometrics.schemas.rules.validation import POST, PRE
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_STARTED, KPI_SNAPSHOTS, Topic
from evometrics.sinks.raw.event import RawEvent, read_head
from evometrics.sinks.raw.tables import SINCE
from evometrics.sinks.replay.timeline import Timeline
from evometrics.streams.offline import OfflineStream

#: The phases for which the stream makes snapshots, by the events that hold their KPIs.
PHASES = {EVOLUTION_STARTED: (PRE,), EVOLUTION_COMPLETED: (PRE, POST)}
CALLING = tuple(PHASES)
#: Condition for what was in Kafka before `end`, milliseconds.
BEFORE = "r._timestamp < fromUnixTimestamp64Milli({end:Int64})"


class MadeSnapshot(RawEvent):
    """A snapshot that no table has, with the time in Kafka and the partition of its event."""


def called_for(topic: Topic, table: str, where: str) -> str:
    """Return the query for the snapshots that events call for: their ids, and whether after the evolution."""
    phases = ", ".join(f"'{phase}'" for phase in PHASES[topic])
    return (
        f"SELECT r.event_id AS source, "
        f"arrayJoin(arrayIntersect(r.snapshot_phases, [{phases}])) = '{POST}' AS after "
        f"FROM {table} AS r WHERE notEmpty(r.snapshot_phases) AND {where}"
    )


def lacking(name: Callable[[Topic], str], *, within: bool) -> str:
    """Return the query for snapshots that events since `begin` call for and that are missing.

    `name`: the name of a topic's table. `within`: only by events before `end`, a small part of all, and only
    their snapshots are looked up.
    """
    where = f"{SINCE} AND {BEFORE}" if within else SINCE
    all_called_for = " UNION ALL ".join(called_for(topic, name(topic), where) for topic in PHASES)
    there = f"SELECT assumeNotNull(source_event_id), phase = '{POST}' FROM {name(KPI_SNAPSHOTS)}"
    only = f"source_event_id IN (SELECT source FROM ({all_called_for}))" if within else "1"
    return (
        f"SELECT DISTINCT source, after FROM ({all_called_for}) "
        f"WHERE (source, after) NOT IN ({there} WHERE source_event_id IS NOT NULL AND {only})"
    )


class Maker:
    """Makes the snapshots that the events of slices call for and `kpi_snapshots` lacks.

    Memory: those of a slice. All calls raise what `RawTables` raises.

    Args:
        tables: copies of the tables of the events, and of the one where the snapshots would be.
        stream: makes them.
        begin: time in Kafka, milliseconds, before which none are made: their rows have expired.
    """

    def __init__(self, tables: Timeline, stream: OfflineStream, begin: int) -> None:
        self.tables = tables
        self.stream = stream
        self.begin = begin

    async def count(self, name: Callable[[Topic], str]) -> int:
        """Return how many are to be made by the tables of these names."""
        sql = f"SELECT count() FROM ({lacking(name, within=False)})"
        ((number,),) = await self.tables.rows(sql, {"begin": self.begin})
        return int(number)

    async def with_made(self, events: Sequence[RawEvent]) -> list[RawEvent]:
        """Return a slice's events, in order of time, each with the snapshots made from it."""
        if not events:
            return []
        within = {"begin": max(self.begin, events[0].timestamp), "end": events[-1].timestamp + 1}
        wanted: dict[bytes, set[bytes]] = {}
        for source, after in await self.tables.rows(lacking(self.tables.name, within=True), within):
            made_id = snapshot_id(str(source), POST if after else PRE)
            wanted.setdefault(str(source).encode(), set()).add(made_id.encode())
        if not wanted:
            return list(events)
        made = await asyncio.to_thread(self.make, events, wanted)
        # a stable sort: an event comes before its snapshots
        return sorted([*events, *made], key=attrgetter("timestamp"))

    def make(
        self, events: Sequence[RawEvent], wanted: Mapping[bytes, Collection[bytes]]
    ) -> list[MadeSnapshot]:
        """Return the wanted snapshots, by their events' ids."""
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
