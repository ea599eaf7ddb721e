"""Joins Avro datums into a container that ClickHouse decodes itself: no event is decoded in Python.

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

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from evometrics.schemas.wire.binary import write_bytes, write_long, write_text
from evometrics.schemas.wire.catalog import WriterSchema

SYNC = hashlib.blake2b(b"evometrics", digest_size=16).digest()
PROVENANCE: list[dict[str, Any]] = [
    {"name": "_partition", "type": "int"},
    {"name": "_offset", "type": "long"},
    {"name": "_timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
]
END: list[dict[str, Any]] = [{"name": "_topic", "type": "string"}]


@dataclass(frozen=True, slots=True)
class ContainerFormat:
    """The common parts of the containers of one writer schema.

    Attributes:
        header: the container's beginning, up to its first block.
        columns: the columns to name in the insert, in the wrapper schema's order.
    """

    header: bytes
    columns: tuple[str, ...]


def container_format(schema: WriterSchema) -> ContainerFormat:
    """Build the wrapper schema and the header for messages written with `schema`."""
    fields = PROVENANCE + [{"name": f["name"], "type": f["type"]} for f in schema.source["fields"]] + END
    wrapper = {"type": "record", "name": schema.source["name"], "namespace": "evometrics", "fields": fields}
    metadata = {b"avro.schema": json.dumps(wrapper).encode(), b"avro.codec": b"null"}
    pairs = b"".join(write_bytes(key) + write_bytes(value) for key, value in metadata.items())
    header = b"Obj\x01" + write_long(len(metadata)) + pairs + b"\x00" + SYNC
    return ContainerFormat(header, tuple(str(f["name"]) for f in fields))


def block_end(topic: str) -> bytes:
    """Return the end of a topic's blocks, after the datum (`write_block`)."""
    return write_text(topic) + SYNC


def container(fmt: ContainerFormat, blocks: Iterable[bytes]) -> bytes:
    """Return a whole container of these blocks, in their order."""
    return b"".join((fmt.header, *blocks))
