"""Joins Avro datums into a container that ClickHouse decodes itself: no event is decoded in Python.

A record's encoding is its fields' encodings one after another, so `varint(partition) varint(offset)
varint(timestamp)` before a datum is a record of a wrapper schema with three fields more. A container is
a header (schema, sync marker) and blocks of `count, size, records, sync marker` (Avro specification,
"Object Container Files"). Here each message has a block of its own: size and marker then hold a reader
to the message's end, so a damaged message can't be read into its neighbour, any choice of blocks is a
container, and ClickHouse reads as many rows per second as from large blocks.

After the datum comes the topic's name, as the column `_topic`: a reader takes what follows the fields it
knows without a word, so a datum that is shorter or longer than its message shows in that column, which
the tables' constraint `whole` compares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from evometrics.schemas.catalog import WriterSchema

SYNC = hashlib.blake2b(b"evometrics", digest_size=16).digest()
ONE_RECORD = b"\x02"
PROVENANCE: list[dict[str, Any]] = [
    {"name": "_partition", "type": "int"},
    {"name": "_offset", "type": "long"},
    {"name": "_timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
]
END: list[dict[str, Any]] = [{"name": "_topic", "type": "string"}]


def spelled(number: int) -> bytes:
    """Encode a number from 0 on: 7 bits a byte, lowest first, the high bit set in all bytes but the last."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


#: Two bytes of an encoding at a time: as its end, and as two bytes that others follow.
PAIR = 1 << 14
ENDS = [spelled(number) for number in range(PAIR)]
FOLLOWED = [bytes((number & 0x7F | 0x80, number >> 7 | 0x80)) for number in range(PAIR)]


def varint(number: int) -> bytes:
    """Encode an Avro int or long: zigzag, then 7 bits a byte, lowest first."""
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    if rest < PAIR:
        return ENDS[rest]
    out = b""
    while rest >= PAIR:
        out += FOLLOWED[rest & PAIR - 1]
        rest >>= 14
    return out + ENDS[rest]


def text(value: bytes) -> bytes:
    """Encode Avro bytes or a string: length, then the bytes."""
    return varint(len(value)) + value


@dataclass(frozen=True, slots=True)
class ContainerFormat:
    """What the containers of one writer schema have in common.

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
    pairs = b"".join(text(key) + text(value) for key, value in metadata.items())
    header = b"Obj\x01" + varint(len(metadata)) + pairs + b"\x00" + SYNC
    return ContainerFormat(header, tuple(str(f["name"]) for f in fields))


def block_end(topic: str) -> bytes:
    """Return what comes after the datum in each block of a topic."""
    return text(topic.encode()) + SYNC


def block(partition: bytes, offset: bytes, timestamp: bytes, datum: bytes, end: bytes) -> bytes:
    """Return the block of one message.

    Partition, offset and timestamp (milliseconds) are varints already: the first and the last are the same
    for many messages. `end` is the topic's `block_end`.
    """
    size = len(partition) + len(offset) + len(timestamp) + len(datum) + len(end) - len(SYNC)
    return b"".join((ONE_RECORD, varint(size), partition, offset, timestamp, datum, end))


def container(fmt: ContainerFormat, blocks: Iterable[bytes]) -> bytes:
    """Return a whole container of these blocks, in their order."""
    return b"".join((fmt.header, *blocks))
