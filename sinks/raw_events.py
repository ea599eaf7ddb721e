"""Raw tables as events again: each once, in the order in which Kafka had them, ready to be sent.

ClickHouse encodes them. The columns of a table, in the order of the newest Avro schema, come out of
`FORMAT Avro` as the very bytes that `WireFormat` would write: a record's encoding is its fields' encodings
one after another, and there is one way to encode each (the union's null comes first on both sides). So no
field passes through Python, a double keeps its bits, and what is left to do for a row is to cut it out of
the container and to put the framing before it. The container names the schema it was written with, and
`check_columns` holds that against ours each time.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from evometrics.schemas import codec
from evometrics.schemas.binary import read_length, read_long, read_text
from evometrics.schemas.catalog import newest, plain
from evometrics.schemas.topics import Topic

#: Comes before each datum: the message's time in Kafka (milliseconds), its event time (microseconds), and its
#: partition.
HEAD = struct.Struct("<qqi")
ID_END = 1 + 36
#: How a datum begins: the length of its event_id, zigzag-coded.
ID_LENGTH = 36 << 1
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
        partition: the partition it came from at first.
    """

    at: int
    occurred_at: int
    topic: str
    event_id: bytes
    key: bytes
    value: bytes
    partition: int = 0


def select_events(topic: Topic, where: str) -> str:
    """Return the query for a topic's events from `begin` up to but without `end` (milliseconds).

    `first` and `last` are the bounds of their event times (microseconds). Which rows are meant is found in
    what is small of them, and only those are read whole: FINAL would read every column of the whole table.
    """
    columns = []
    for field in newest(topic.record).source["fields"]:
        name, kind = field["name"], field["type"]
        logical = next(
            (k["logicalType"] for k in branches(kind) if isinstance(k, dict) and "logicalType" in k), ""
        )
        shown = {"uuid": "toString(r.{})", "timestamp-micros": "toUnixTimestamp64Micro(r.{})"}
        columns.append(f"{shown.get(logical, 'r.{}').format(name)} AS {name}")
    meant = (
        "r._timestamp >= fromUnixTimestamp64Milli({begin:Int64}) "
        "AND r._timestamp < fromUnixTimestamp64Milli({end:Int64}) "
        "AND r.occurred_at >= fromUnixTimestamp64Micro({first:Int64}) "
        "AND r.occurred_at <= fromUnixTimestamp64Micro({last:Int64}) "
        f"AND {where}"
    )
    row = "r.event_id, r._partition, r._offset"
    return f"""SELECT
    toFixedString(concat(
        reinterpretAsFixedString(toUnixTimestamp64Milli(r._timestamp)),
        reinterpretAsFixedString(toUnixTimestamp64Micro(r.occurred_at)),
        reinterpretAsFixedString(r._partition)
    ), {HEAD.size}) AS _head,
    {", ".join(columns)}
FROM {topic.table}_rows AS r
PREWHERE {meant}
WHERE ({row}) IN (SELECT {row} FROM {topic.table}_rows AS r FINAL WHERE {meant})
ORDER BY r._timestamp, r._partition, r._offset, r.event_id
LIMIT 1 BY r.event_id
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


def check_known_columns(record: str, columns: Iterable[str]) -> None:
    """Raise `TableMismatch` where a table has columns that the newest schema has no field for."""
    known = {field["name"] for field in newest(record).source["fields"]}
    more = sorted(name for name in columns if name not in known and not name.startswith("_"))
    if more:
        raise TableMismatch(
            f"the table of {record} has {', '.join(more)}, of a newer version than this one: its events "
            "would come without; use the version of evometrics that has them"
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
        count, (size, place) = container[place] >> 1, read_length(container, place + 1)
        if count > 1:
            raise ValueError("ClickHouse put more than one row into a block of its Avro container")
        if count:  # of no rows there is a block as well
            yield container[place : place + size]
        place += size + SYNC_BYTES


def raw_event(topic: str, prefix: bytes, record: bytes) -> RawEvent:
    """Return the event of a record: `HEAD`, then a datum that begins with ids of event, agent, node."""
    at, occurred_at, partition = HEAD.unpack_from(record)
    datum = record[HEAD.size :]
    key, _ = read_key(datum, ID_END)
    return RawEvent(at, occurred_at, topic, datum[1:ID_END], key, prefix + datum, partition)


def read_head(value: bytes, position: int) -> tuple[bytes, bytes, int]:
    """Return the id, the key and the event time (microseconds) of the datum at a position.

    Of any version: all begin with ids of event, agent and node, and the time. Raises one of `UNUSUAL` where
    they are not there.
    """
    id_end = position + ID_END
    if value[position] != ID_LENGTH:
        raise ValueError("no event_id")
    key, place = read_key(value, id_end)
    occurred_at, _ = read_long(value, place)
    return value[position + 1 : id_end], key, occurred_at


def read_key(value: bytes, place: int) -> tuple[bytes, int]:
    """Return the message key of the event whose agent and node stand at a place, and where these end."""
    length, agent = read_length(value, place)
    more, node = read_length(value, agent + length)
    return value[agent : agent + length] or value[node : node + more], node + more
