"""Finds the events that ClickHouse has already.

The queries go to the raw table, which keeps events for 90 days after they were stored, and to the table
computed from it, which is kept for two years. A snapshot that the stream makes of an evolution's event counts
as present if that event is: it may still be in flight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.deploy.history.staging import Staged
from evometrics.schemas.events import KpiSnapshot
from evometrics.schemas.topics import (
    BY_NAME,
    EVOLUTION_COMPLETED,
    EVOLUTION_METRICS,
    EVOLUTION_STARTED,
    KPI_DELTAS,
    KPI_SNAPSHOTS,
)
from evometrics.schemas.wire.framing import WireFormat

WIRE = WireFormat()
#: Microseconds by which an evolution may appear to have begun after its end.
CLOCKS_APART = 86_400_000_000
#: Microseconds by which a tool's file and a live adapter may date the same candidate differently.
DATES_APART = 3_600_000_000

#: Besides its own table, where a topic's event leaves its id: table and column.
COMPUTED_FROM: Mapping[str, tuple[str, str]] = {
    EVOLUTION_COMPLETED.name: (EVOLUTION_METRICS.table, "source_event_id"),
    KPI_SNAPSHOTS.name: (KPI_DELTAS.table, "snapshot_event_id"),
}


async def known_ids(client: AsyncClient, events: Sequence[Staged]) -> set[str]:
    """Return the ids of the events that are in ClickHouse; at most some thousand events per call.

    Raises as the client does.
    """
    found: set[str] = set()
    for topic in {event.topic for event in events}:
        asked = [event for event in events if event.topic == topic]
        stored = await ids_in(client, BY_NAME[topic].table, "event_id", asked)
        found |= stored
        if topic in COMPUTED_FROM and len(stored) < len(asked):
            missing = [event for event in asked if event.event_id not in stored]
            found |= await ids_in(client, *COMPUTED_FROM[topic], missing)
        if topic == KPI_SNAPSHOTS.name:
            found |= await made_by_the_stream(client, [e for e in asked if e.event_id not in found])
    return found


async def made_by_the_stream(client: AsyncClient, snapshots: Sequence[Staged]) -> set[str]:
    """Return the ids of the snapshots that are made of an event which is in ClickHouse."""
    sources: dict[str, str] = {}
    for snapshot in snapshots:
        event = WIRE.decode(snapshot.value)
        if isinstance(event, KpiSnapshot) and event.source_event_id is not None:
            sources[snapshot.event_id] = event.source_event_id
    if not sources:
        return set()
    # A snapshot has the time of its event, or that at which its event's evolution began.
    since = min(snapshot.at for snapshot in snapshots if snapshot.event_id in sources) - CLOCKS_APART
    there: set[str] = set()
    for topic in (EVOLUTION_COMPLETED, EVOLUTION_STARTED):
        result = await client.query(
            f"SELECT DISTINCT toString(event_id) FROM {topic.table}_rows "
            f"WHERE occurred_at >= fromUnixTimestamp64Micro(toInt64({since})) "
            f"AND event_id IN ({listed(sources.values())})"
        )
        there |= {row[0] for row in result.result_rows}
    return {event_id for event_id, source in sources.items() if source in there}


async def ids_in(client: AsyncClient, table: str, column: str, events: Sequence[Staged]) -> set[str]:
    """Return the ids of events that are in a column of a table; its rows have the events' times."""
    ids = listed(event.event_id for event in events)
    first = min(event.at for event in events) - DATES_APART
    last = max(event.at for event in events) + DATES_APART
    result = await client.query(
        f"SELECT DISTINCT toString({column}) FROM {table}_rows "
        f"WHERE occurred_at >= fromUnixTimestamp64Micro(toInt64({first})) "
        f"AND occurred_at <= fromUnixTimestamp64Micro(toInt64({last})) AND {column} IN ({ids})"
    )
    return {row[0] for row in result.result_rows}


def listed(ids: Iterable[str]) -> str:
    """Return ids as an SQL list."""
    return ", ".join(f"'{each}'" for each in ids)
