"""Raw tables as events again: each once, in the order in which Kafka had them, ready to be sent.

ClickHouse encodes them. The columns of a table, in the order of the newest Avro schema, come out of
`FORMAT Avro` as the very bytes that `WireFormat` would write: a record's encoding is its fields' encodings
one after another, and there is one way to encode each (the union's null comes first on both sides). So no
field passes through Python, a double keeps its bits, and what is left to do for a row is to cut it out of
the container and to put the framing before it. The container names the schema it was written with, and
`check_columns` holds that against ours each time.

The tables are sorted by agent, Kafka was by time: what is read at a time is a slice of Kafka's time with so
many events, sorted by ClickHouse. Each slice looks at the times of all rows once, so larger ones cost less
and take more memory. A slice ends between two milliseconds. It depends on `_timestamp` and `event_id` alone,
which stay what they are when a sink stores the same event again from another offset.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas import codec
from evometrics.schemas.catalog import newest, plain
from evometrics.schemas.primitives import read_length, read_text
from evometrics.schemas.topics import RAW_TOPICS, Topic
from evometrics.schemas.wire import WireFormat
from evometrics.sinks.client import CLICKHOUSE_ERRORS, ClickHouseUnavailable, explain, open_client
from evometrics.sinks.settings import ClickHouseSettings

#: Comes before each datum: the message's time in Kafka (milliseconds) and its event time (microseconds).
HEAD = struct.Struct("<qq")
ID_END = 1 + 36
MAGIC = b"Obj\x01"
SYNC_BYTES = 16
#: Each row in a block of its own, which says how long it is: no row is shorter than this many bytes.
FORMAT = (
    "FORMAT Avro SETTINGS output_format_avro_codec = 'null', output_format_avro_sync_interval = 32, "
    "output_format_avro_string_column_pattern = '.*', "
    # an event's duplicates have its event time, so they are in its partition of the table
    "do_not_merge_across_partitions_select_final = 1"
)


class TableMismatch(RuntimeError):
    """A table's columns are not those of the newest schema; the message names them and a way out."""


class RawEvent(NamedTuple):
    """One event as it is sent.

    Attributes:
        at: the message's time in Kafka, milliseconds.
        occurred_at: event time, microseconds.
        value: the message value, framed.
    """

    at: int
    occurred_at: int
    topic: str
    event_id: bytes
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class RawSelection:
    """Which events are meant; those that fit all that is given.

    Attributes:
        topics: their topics.
        since, until: event time, from the first and up to but without the second, microseconds.
        agents: whose; empty for all, and what is about no agent.
    """

    topics: tuple[Topic, ...] = RAW_TOPICS
    since: int | None = None
    until: int | None = None
    agents: tuple[str, ...] = ()

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return the condition in SQL, on a table called `r`, and its parameters."""
        conditions, given = ["1"], dict[str, Any]()
        if self.since is not None:
            conditions.append("r.occurred_at >= fromUnixTimestamp64Micro({since:Int64})")
            given["since"] = self.since
        if self.until is not None:
            conditions.append("r.occurred_at < fromUnixTimestamp64Micro({until:Int64})")
            given["until"] = self.until
        if self.agents:
            conditions.append("r.agent_id IN {agents:Array(String)}")
            given["agents"] = list(self.agents)
        return " AND ".join(conditions), given

    def identity(self) -> list[Any]:
        """Return what tells this selection from others."""
        return [sorted(t.name for t in self.topics), self.since, self.until, sorted(set(self.agents))]


def select_events(topic: Topic, where: str) -> str:
    """Return the query for a topic's events from `begin` up to but without `end` (milliseconds)."""
    columns = []
    for field in newest(topic.record).source["fields"]:
        name, kind = field["name"], field["type"]
        logical = next(
            (k["logicalType"] for k in branches(kind) if isinstance(k, dict) and "logicalType" in k), ""
        )
        shown = {"uuid": "toString(r.{})", "timestamp-micros": "toUnixTimestamp64Micro(r.{})"}
        columns.append(f"{shown.get(logical, 'r.{}').format(name)} AS {name}")
    return f"""SELECT
    toFixedString(concat(
        reinterpretAsFixedString(toUnixTimestamp64Milli(r._timestamp)),
        reinterpretAsFixedString(toUnixTimestamp64Micro(r.occurred_at))
    ), {HEAD.size}) AS _head,
    {", ".join(columns)}
FROM {topic.table}_rows AS r FINAL
WHERE r._timestamp >= fromUnixTimestamp64Milli({{begin:Int64}})
    AND r._timestamp < fromUnixTimestamp64Milli({{end:Int64}}) AND {where}
ORDER BY r._timestamp, r._partition, r._offset, r.event_id
{FORMAT}"""


def branches(kind: Any) -> list[Any]:
    """Return a field's types: more than one where it may be null."""
    return kind if isinstance(kind, list) else [kind]


def check_columns(record: str, written: Mapping[str, Any]) -> None:
    """Raise `TableMismatch` unless a container's rows, after their head, are datums of the newest schema."""
    found = [(field["name"], kind_of(field["type"])) for field in written["fields"][1:]]
    wanted = [(field["name"], kind_of(field["type"])) for field in newest(record).source["fields"]]
    if found != wanted:
        differing = [f"{a} in place of {b}" for a, b in zip(found, wanted, strict=True) if a != b]
        raise TableMismatch(
            f"the table of {record} holds {', '.join(differing)}: it is of another version of evometrics; "
            "run `evometrics migrate` on the source with the version that is to send"
        )


def kind_of(avro: Any) -> Any:
    """Return how a field is encoded, so that fields encoded alike are equal."""
    try:
        return codec.kind_of(plain(avro) if isinstance(avro, dict | list) else avro)
    except KeyError:
        return avro


def read_container(container: bytes) -> tuple[Any, Iterator[bytes]]:
    """Return the schema that a container of one-record blocks was written with, and the records.

    Raises `ValueError` where it is no such container.
    """
    if container[: len(MAGIC)] != MAGIC:
        raise ValueError(f"ClickHouse sent no Avro container, but {container[:100]!r}")
    metadata, place = {}, len(MAGIC)
    while count := container[place]:
        place += 1
        for _ in range(count >> 1):
            name, place = read_text(container, place)
            length, place = read_length(container, place)
            metadata[name] = container[place : place + length]
            place += length
    return json.loads(metadata["avro.schema"]), records(container, place + 1 + SYNC_BYTES)


def records(container: bytes, place: int) -> Iterator[bytes]:
    """Return the record of each block from a place on."""
    while place < len(container):
        if container[place] != 2:
            raise ValueError("ClickHouse put more than one row into a block of its Avro container")
        size, place = read_length(container, place + 1)
        yield container[place : place + size]
        place += size + SYNC_BYTES


def raw_event(topic: str, prefix: bytes, record: bytes) -> RawEvent:
    """Return the event of a record: `HEAD`, then a datum that begins with ids of event, agent, node."""
    at, occurred_at = HEAD.unpack_from(record)
    datum = record[HEAD.size :]
    length, place = read_length(datum, ID_END)
    if not length:
        length, place = read_length(datum, place)
    key = datum[place : place + length]
    return RawEvent(at, occurred_at, topic, datum[1:ID_END], key, prefix + datum)


class RawTables:
    """The raw tables of one database, seen through a selection.

    Use it as an async context manager. Every call raises `ClickHouseUnavailable`, naming address and way
    out, where ClickHouse does not answer or refuses.

    What is selected must not grow at its older end while it is read: an event that is stored with a time in
    Kafka that was read already is not seen.
    """

    def __init__(self, settings: ClickHouseSettings, selection: RawSelection, wire: WireFormat) -> None:
        self.settings = settings
        self.selection = selection
        self.wire = wire
        self.client: AsyncClient | None = None

    async def __aenter__(self) -> RawTables:
        self.client = await open_client(self.settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.client is not None:
            await self.client.close()

    async def identity(self) -> str:
        """Return what tells these events from those of any other database or selection, 16 hex digits."""
        found = await self.rows(
            "SELECT toString(uuid) FROM system.databases WHERE name = currentDatabase()", {}
        )
        about = [self.settings.database, found[0][0], *self.selection.identity()]
        return hashlib.blake2b(json.dumps(about).encode(), digest_size=8).hexdigest()

    async def counts(self, begin: int) -> dict[str, int]:
        """Return the number of events by topic, of those that Kafka had at or after a time (milliseconds)."""
        where, given = self.selection.where()
        found = {}
        for topic in self.selection.topics:
            sql = f"SELECT count() FROM {topic.table}_rows AS r FINAL WHERE {where} AND {SINCE}"
            found[topic.name] = int((await self.rows(sql, given | {"begin": begin}))[0][0])
        return found

    async def bounds(self) -> tuple[int, int] | None:
        """Return when Kafka had the first and the last event, milliseconds; None where there is none."""
        where, given = self.selection.where()
        sql = f"SELECT count(), min(at), max(at) FROM ({self.times(where)})"
        ((number, first, last),) = await self.rows(sql, given | {"begin": 0})
        return (int(first), int(last)) if number else None

    async def slice_end(self, begin: int, events: int) -> int | None:
        """Return where the slice ends that begins at a time: the millisecond after so many events.

        None where there are no events from then on.
        """
        where, given = self.selection.where()
        first = f"SELECT at FROM ({self.times(where)}) ORDER BY at LIMIT {{events:UInt64}}"
        sql = f"SELECT count(), max(at) FROM ({first})"
        ((number, last),) = await self.rows(sql, given | {"begin": begin, "events": events})
        return int(last) + 1 if number else None

    def times(self, where: str) -> str:
        """Return the query for the times of all rows from `begin` on, duplicates and all."""
        at = "toUnixTimestamp64Milli(r._timestamp) AS at"
        return " UNION ALL ".join(
            f"SELECT {at} FROM {topic.table}_rows AS r WHERE {where} AND {SINCE}"
            for topic in self.selection.topics
        )

    async def read(self, begin: int, end: int) -> list[RawEvent]:
        """Return the events that Kafka had from a time up to but without another, in Kafka's order.

        Those of one millisecond are in the order of the offsets within each topic and partition. Raises
        `TableMismatch` too.
        """
        where, given = self.selection.where()
        found: list[RawEvent] = []
        for topic in self.selection.topics:
            container = await self.ask(select_events(topic, where), given | {"begin": begin, "end": end})
            schema, rows = read_container(container)
            check_columns(topic.record, schema)
            prefix = self.wire.prefixes[topic.record]
            found += [raw_event(topic.name, prefix, row) for row in rows]
        found.sort(key=lambda event: event.at)  # keeps the order of what is equal
        return found

    async def ask(self, sql: str, parameters: Mapping[str, Any]) -> bytes:
        """Return the bytes that answer a query."""
        assert self.client is not None
        try:
            return await self.client.raw_query(sql, dict(parameters))
        except CLICKHOUSE_ERRORS as error:
            raise ClickHouseUnavailable(explain(self.settings, error)) from error

    async def rows(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Return the rows that answer a query."""
        assert self.client is not None
        try:
            result = await self.client.query(sql, dict(parameters))
        except CLICKHOUSE_ERRORS as error:
            raise ClickHouseUnavailable(explain(self.settings, error)) from error
        rows: Sequence[Sequence[Any]] = result.result_rows
        return rows


#: What Kafka had at or after `begin`.
SINCE = "r._timestamp >= fromUnixTimestamp64Milli({begin:Int64})"
