"""Native as a server writes it for clients that name a protocol revision (`client_protocol_version`).

chDB writes Native for revision 0 only, where a DateTime's time zone is missing, too. The format Buffers has
the very bytes of Native's columns, with their sizes in place of names and types. So the types are asked for
with DESCRIBE, and each revision's own fields are put between the columns
(https://clickhouse.com/docs/interfaces/formats/Native; NativeWriter, BlockInfo in ClickHouse's sources).
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import chdb

from evometrics.deploy.clickhouse.exchange import EngineError

#: From this revision on, a column tells whether its serialization is other than the type's default one.
CUSTOM_SERIALIZATION = 54454
#: Fields of a block that are for servers: 1 = overflows: no; 2 = bucket: none; the end.
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
DEFAULT_SERIALIZATION = b"\x00"
NUMBERS = struct.Struct("<QQ")
SIZE = struct.Struct("<Q")
SYNTAX_ERROR = 62


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result, as the engine writes its name and its type."""

    name: bytes
    type: bytes


class NativeWriter:
    """Makes Native of Buffers; a `Transform`. Copies nothing but what a piece cuts in two."""

    def __init__(self, columns: Sequence[ResultColumn], revision: int) -> None:
        flag = DEFAULT_SERIALIZATION if revision >= CUSTOM_SERIALIZATION else b""
        self._heads = [text(column.name) + text(column.type) + flag for column in columns]
        self._info = BLOCK_INFO if revision else b""
        self._waiting = b""
        self._columns = 0  # of the present block, that are still to come
        self._bytes = 0  # of the present column, that are still to come

    def feed(self, piece: bytes) -> Iterator[bytes]:
        data, position = self._waiting + piece, 0
        made: list[bytes | memoryview] = []
        view = memoryview(data)
        while True:
            if self._bytes:
                taken = view[position : position + self._bytes]
                made.append(taken)
                position += len(taken)
                self._bytes -= len(taken)
                if self._bytes:
                    break
            elif self._columns:
                if len(data) - position < SIZE.size:
                    break
                made.append(self._heads[len(self._heads) - self._columns])
                (self._bytes,) = SIZE.unpack_from(data, position)
                position += SIZE.size
                self._columns -= 1
            else:
                if len(data) - position < NUMBERS.size:
                    break
                self._columns, rows = NUMBERS.unpack_from(data, position)
                position += NUMBERS.size
                if self._columns != len(self._heads):
                    raise EngineError.named(
                        49,
                        "LOGICAL_ERROR",
                        f"{self._columns} columns, but {len(self._heads)} were described",
                    )
                made.append(self._info + varint(self._columns) + varint(rows))
        self._waiting = data[position:]
        if made:
            yield b"".join(made)

    def end(self) -> Iterator[bytes]:
        if self._waiting or self._columns or self._bytes:
            raise EngineError.named(33, "CANNOT_READ_ALL_DATA", "The engine's last block is cut off")
        yield from ()


def described(connection: Any, sql: bytes, params: Mapping[str, str]) -> list[ResultColumn] | None:
    """Return the columns of a query's result; None for a statement that is no SELECT. Raises chDB's errors.

    `sql` is without FORMAT.
    """
    asking = b"DESCRIBE TABLE (" + sql + b"\n) SETTINGS describe_compact_output = 1"
    try:
        return columns_in(connection.query(asking, "RowBinary", params=dict(params)).bytes())
    except (RuntimeError, chdb.ChdbError) as error:
        if EngineError.of(str(error)).code == SYNTAX_ERROR:
            return None
        raise


def rewritten(connection: Any, native: bytes, revision: int) -> bytes:
    """Return a whole result in Native of a revision, given it in that of revision 0.

    For the answers of statements that DESCRIBE does not take, such as SHOW, which are small. The connection
    must be one that reads files.
    """
    if not native:
        return b""
    with tempfile.TemporaryFile(prefix="evometrics-native-") as file:
        file.write(native)
        file.flush()
        source = f"file('/dev/fd/{file.fileno()}', 'Native')"
        file.seek(0)
        columns = columns_in(
            connection.query(f"DESCRIBE {source} SETTINGS describe_compact_output = 1", "RowBinary").bytes()
        )
        file.seek(0)
        buffers = connection.query(f"SELECT * FROM {source} SETTINGS max_threads = 1", "Buffers").bytes()
    writer = NativeWriter(columns, revision)
    return b"".join([*writer.feed(buffers), *writer.end()])


def columns_in(described_rows: bytes) -> list[ResultColumn]:
    """Return the columns that DESCRIBE named, in RowBinary: two strings each."""
    strings, position = [], 0
    while position < len(described_rows):
        size, shift = 0, 0
        while True:
            byte = described_rows[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        strings.append(described_rows[position : position + size])
        position += size
    return [ResultColumn(name, kind) for name, kind in zip(strings[::2], strings[1::2], strict=True)]


def text(value: bytes) -> bytes:
    return varint(len(value)) + value


def varint(number: int) -> bytes:
    """Return an unsigned number as LEB128."""
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)
