"""Raw tables as events again: each once, in the order in which Kafka had them, ready to be sent.

ClickHouse encodes them. The columns of a table, in the order of the newest Avro schema, come out of `FORMAT
Avro` as the very bytes that `WireFormat` would write: a record's encoding is its fields' encodings one after
another, and there is one way to encode each (the union's null comes first on both sides). So no field passes
through Python, a double keeps its bits, and the only work left per row is to cut it out of the container and
to prepend the framing. The container names the schema it was written with, and `check_columns` compares that
with ours each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.topics import Topic
from evometrics.schemas.wire import codec
from evometrics.schemas.wire.binary import read_length, read_text
from evometrics.schemas.wire.catalog import newest, plain
from evometrics.sinks.raw.event import HEAD_BYTES

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
#: Each row in a block of its own, which gives its length: no row is shorter than this many bytes.
FORMAT = (
    "FORMAT Avro SETTINGS output_format_avro_codec = 'null', output_format_avro_sync_interval = 32, "
    "output_format_avro_string_column_pattern = '.*', "
    # for larger ones ClickHouse repeatedly allocates memory from the system
    "max_block_size = 8192, "
    # an event's duplicates have its event time, so they are in its partition of the table
    "do_not_merge_across_partitions_select_final = 1"
)


class TableMismatch(EvometricsError, RuntimeError):
    """A table's columns are not those of the newest schema; the message names them and a way out."""


def select_events(topic: Topic, where: str) -> str:
    """Return the query for a topic's events from `begin` up to, but not including, `end`, ms, in any order.

    `first` and `last` are the bounds of their event times (microseconds). The selection is made on small
    columns, and only the selected rows are read whole: FINAL would read every column of the whole table. On a
    cluster the selection is made once for all shards. A message that was stored twice may come twice; to sort
    such rows and to look for these costs ClickHouse half as much again as the rest, and `cut_events` little.
    """
    meant = (
        "r._timestamp >= fromUnixTimestamp64Milli({begin:Int64}) "
        "AND r._timestamp < fromUnixTimestamp64Milli({end:Int64}) "
        "AND r.occurred_at >= fromUnixTimestamp64Micro({first:Int64}) "
        "AND r.occurred_at <= fromUnixTimestamp64Micro({last:Int64}) "
        f"AND {where}"
    )
    row = "r.event_id, r._partition, r._offset"
    return f"""SELECT
    {event_columns(topic)}
FROM {topic.table}_rows AS r
PREWHERE {meant}
WHERE ({row}) GLOBAL IN (SELECT {row} FROM {topic.table}_rows AS r FINAL WHERE {meant})
{FORMAT}"""


def event_columns(topic: Topic) -> str:
    """Return what is selected of a row `r`: the head, then the fields as the newest schema has them."""
    columns = []
    for field in newest(topic.record).source["fields"]:
        name, kind = field["name"], field["type"]
        logical = next(
            (k["logicalType"] for k in branches(kind) if isinstance(k, dict) and "logicalType" in k), ""
        )
        shown = {"uuid": "toString(r.{})", "timestamp-micros": "toUnixTimestamp64Micro(r.{})"}
        columns.append(f"{shown.get(logical, 'r.{}').format(name)} AS {name}")
    return f"""toFixedString(concat(
        reinterpretAsFixedString(toUnixTimestamp64Milli(r._timestamp)),
        reinterpretAsFixedString(toUnixTimestamp64Micro(r.occurred_at)),
        reinterpretAsFixedString(r._partition),
        reinterpretAsFixedString(r._offset)
    ), {HEAD_BYTES}) AS _head,
    {", ".join(columns)}"""


def branches(kind: Any) -> list[Any]:
    """Return a field's types: more than one if it may be null."""
    return kind if isinstance(kind, list) else [kind]


def check_columns(record: str, written: Mapping[str, Any]) -> None:
    """Raise `TableMismatch` unless a container's rows, after their head, are datums of the newest schema."""
    found = [(field["name"], kind_of(field["type"])) for field in written["fields"][1:]]
    wanted = [(field["name"], kind_of(field["type"])) for field in newest(record).source["fields"]]
    if found != wanted:
        differing = [f"{a} instead of {b}" for a, b in zip(found, wanted, strict=True) if a != b]
        raise TableMismatch(
            f"the table of {record} holds {', '.join(differing)}: it is from another version of evometrics; "
            "run `evometrics migrate` on the source with the version that will send"
        )


def check_known_columns(record: str, columns: Iterable[str]) -> None:
    """Raise `TableMismatch` if a table has columns that the newest schema has no field for."""
    known = {field["name"] for field in newest(record).source["fields"]}
    more = sorted(name for name in columns if name not in known and not name.startswith("_"))
    if more:
        raise TableMismatch(
            f"the table of {record} has {', '.join(more)}, from a newer version than this one, and its "
            "events would lose them; use the version of evometrics that has them"
        )


def kind_of(avro: Any) -> Any:
    """Return how a field is encoded, so that fields encoded alike are equal."""
    try:
        return codec.kind_of(plain(avro) if isinstance(avro, dict | list) else avro)
    except KeyError:
        return avro


def read_header(container: bytes) -> tuple[Any, int]:
    """Return the schema that a container was written with, and where its blocks begin.

    Raises `ValueError` if it is not a container.
    """
    if container[: len(MAGIC)] != MAGIC:
        raise ValueError(f"ClickHouse sent {container[:100]!r} instead of an Avro container")
    metadata, place = {}, len(MAGIC)
    while count := container[place]:
        place += 1
        for _ in range(count >> 1):
            name, place = read_text(container, place)
            length, place = read_length(container, place)
            metadata[name] = container[place : place + length]
            place += length
    return json.loads(metadata["avro.schema"]), place + 1 + SYNC_BYTES
