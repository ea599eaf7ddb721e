"""The body of an insert: messages' events as ClickHouse takes them.

Usually that is one block of its own format, Native, to which each datum adds its fields (`columns`):
ClickHouse then has half the work. Where a datum is not what our writers write, or a schema has what columns
are not made of here, the rows go in a container that ClickHouse decodes itself, and no event is decoded here.

A record's encoding is its fields' encodings one after another, so `varint(partition) varint(offset)
varint(timestamp)` before a datum is a record of a wrapper schema with three additional fields. A container is
a header (schema, sync marker) and blocks of `count, size, records, sync marker` (Avro specification, "Object
Container Files"). Here each message has a block of its own: size and marker then confine a reader to the
message, so a damaged message can't be read into its neighbour, any choice of blocks is a container, and
ClickHouse reads as many rows per second as from large blocks.

After the datum comes the topic's name, as the column `_topic`: a reader silently takes whatever follows the
fields it knows, so a datum that is shorter or longer than its message shows in that column, which the tables'
constraint compares.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from evometrics.schemas.wire.binary import UNUSUAL, write_block, write_bytes, write_long, write_text
from evometrics.schemas.wire.catalog import WriterSchema
from evometrics.schemas.wire.codec import fields_of
from evometrics.sinks.clickhouse.column_types import column_type
from evometrics.sinks.clickhouse.columns import PROVENANCE, EventColumns

SYNC = hashlib.blake2b(b"evometrics", digest_size=16).digest()
WRAPPER: list[dict[str, Any]] = [
    {"name": "_partition", "type": "int"},
    {"name": "_offset", "type": "long"},
    {"name": "_timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
]
END: list[dict[str, Any]] = [{"name": "_topic", "type": "string"}]
#: Fields that become columns here: kind, and the column's type or how it begins.
IN_COLUMNS = {
    "string": ("String", "UUID"),
    "bytes": ("String",),
    "long": ("Int64", "Int32", "DateTime64("),
    "double": ("Float64",),
    "boolean": ("Bool",),
    "array of string": ("Array(String)",),
    "array of double": ("Array(Float64)",),
    "map of string": ("Map(String, String)",),
    "map of double": ("Map(String, Float64)",),
}
#: Rows taken before others in the event loop have their turn, a few milliseconds.
ROWS_AT_ONCE = 500


class Placed(Protocol):
    """Where in Kafka a message is, and its time there, milliseconds."""

    @property
    def partition(self) -> int: ...

    @property
    def offset(self) -> int: ...

    @property
    def timestamp(self) -> int: ...


#: A value, where its datum begins, which extends to the end, and where it comes from.
Row: TypeAlias = tuple[bytes, int, Placed]


class Body(NamedTuple):
    """An insert's columns, the name of its format, and its rows."""

    columns: tuple[str, ...]
    format: str
    rows: bytes


@dataclass(frozen=True, slots=True)
class RowFormat:
    """The common parts of the inserts of one writer schema's messages.

    Attributes:
        header: a container's beginning, up to its first block.
        columns: the columns to name in the insert of a container, in the wrapper schema's order.
        fields: of `EventColumns`; None for a schema that has others.
    """

    header: bytes
    columns: tuple[str, ...]
    fields: tuple[tuple[str, str, str], ...] | None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns to name in the insert of a block."""
        return (*(name for name, _ in PROVENANCE), *(name for name, _, _ in self.fields or ()))


def row_format(schema: WriterSchema) -> RowFormat:
    """Return the format of inserts of messages written with `schema`."""
    fields = WRAPPER + [{"name": f["name"], "type": f["type"]} for f in schema.source["fields"]] + END
    wrapper = {"type": "record", "name": schema.source["name"], "namespace": "evometrics", "fields": fields}
    metadata = {b"avro.schema": json.dumps(wrapper).encode(), b"avro.codec": b"null"}
    pairs = b"".join(write_bytes(key) + write_bytes(value) for key, value in metadata.items())
    header = b"Obj\x01" + write_long(len(metadata)) + pairs + b"\x00" + SYNC
    return RowFormat(header, tuple(str(f["name"]) for f in fields), in_columns(schema))


def in_columns(schema: WriterSchema) -> tuple[tuple[str, str, str], ...] | None:
    """Return the fields of a schema as `EventColumns` takes them, None where it does not."""
    found = []
    try:
        for (name, kind, _), field in zip(fields_of(schema), schema.source["fields"], strict=True):
            column = column_type(field["type"])
            if not column.removeprefix("Nullable(").startswith(IN_COLUMNS[kind]):
                return None
            found.append((name, column, kind))
    except (KeyError, ValueError):  # a registry's schema may have kinds and types that are not among ours
        return None
    return tuple(found)


async def body(fmt: RowFormat, topic: str, rows: Sequence[Row]) -> Body:
    """Return the body of an insert of a topic's messages."""
    if fmt.fields is not None:
        columns = EventColumns(fmt.fields)
        try:
            for first in range(0, len(rows), ROWS_AT_ONCE):
                for row in rows[first : first + ROWS_AT_ONCE]:
                    columns.add(*row)
                await asyncio.sleep(0)
            return Body(fmt.names, "Native", columns.block())
        except UNUSUAL:  # ClickHouse decides
            pass
    end = block_end(topic)
    blocks = (
        write_block(at.partition, at.offset, at.timestamp, value, start, end) for value, start, at in rows
    )
    return Body(fmt.columns, "Avro", container(fmt, blocks))


def block_end(topic: str) -> bytes:
    """Return the end of a topic's blocks, after the datum (`write_block`)."""
    return write_text(topic) + SYNC


def container(fmt: RowFormat, blocks: Iterable[bytes]) -> bytes:
    """Return a whole container of these blocks, in their order."""
    return b"".join((fmt.header, *blocks))
