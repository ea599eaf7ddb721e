"""Native as a server writes it for clients that name a protocol revision (`client_protocol_version`).

chDB writes Native for revision 0 only, where a DateTime's time zone is missing, too. The format Buffers has
the very bytes of Native's columns, with their sizes in place of names and types. So the types are asked for
with DESCRIBE, and each revision's own fields are put between the columns
(https://clickhouse.com/docs/interfaces/formats/Native; NativeWriter, BlockInfo in ClickHouse's sources).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import chdb

from evometrics.deploy.clickhouse.exchange import EngineError, Request

#: From this revision on, a column tells whether its serialization is other than the type's default one.
CUSTOM_SERIALIZATION = 54454
#: Fields of a block that are for servers: 1 = overflows: no; 2 = bucket: none; the end.
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
DEFAULT_SERIALIZATION = b"\x00"
NUMBERS = struct.Struct("<QQ")
SIZE = struct.Struct("<Q")
SYNTAX_ERROR, READONLY = 62, 164


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


def native_writer(connection: Any, sql: bytes, request: Request) -> NativeWriter:
    """Return what makes Native out of the Buffers of a reading statement, given without its FORMAT.

    Raises chDB's errors for a statement that is refused.
    """
    params = dict(request.params)
    columns = described(connection, sql, params)
    return NativeWriter(columns if columns is not None else named(connection, sql, params), request.revision)


def described(connection: Any, sql: bytes, params: dict[str, str]) -> list[ResultColumn] | None:
    """Return the columns of a SELECT's result, None for another statement; raises chDB's errors."""
    asking = b"DESCRIBE TABLE (" + sql + b"\n)"
    # A limit on the result's size is not one on the number of its columns.
    own = b" SETTINGS describe_compact_output = 1, max_result_rows = 0, max_result_bytes = 0"
    for statement in (asking + own, asking):
        try:
            answer = connection.query(statement, "RowBinaryWithNames", params=params).bytes()
        except (RuntimeError, chdb.ChdbError) as error:
            code = EngineError.of(str(error)).code
            if code == SYNTAX_ERROR:
                return None
            if code != READONLY or statement is asking:
                raise
        else:
            return columns_in(answer)
    return None


def named(connection: Any, sql: bytes, params: dict[str, str]) -> list[ResultColumn]:
    """Return the columns of a statement that DESCRIBE does not take, such as SHOW, by running it."""
    answer = Strings(connection.query(sql, "RowBinaryWithNamesAndTypes", params=params).bytes())
    if answer.ended:
        return []
    count = answer.number()
    names = [answer.string() for _ in range(count)]
    return [ResultColumn(name, answer.string()) for name in names]


def columns_in(described_rows: bytes) -> list[ResultColumn]:
    """Return the columns that DESCRIBE named, in RowBinaryWithNames; all its own columns are strings."""
    answer = Strings(described_rows)
    names = [answer.string() for _ in range(answer.number())]
    found = []
    while not answer.ended:
        row = [answer.string() for _ in names]
        found.append(ResultColumn(row[0], row[1]))
    return found


class Strings:
    """Reads RowBinary's strings and unsigned numbers (LEB128) one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def ended(self) -> bool:
        return self._position == len(self._data)

    def number(self) -> int:
        number, shift = 0, 0
        while True:
            byte = self._data[self._position]
            self._position += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    def string(self) -> bytes:
        size = self.number()
        self._position += size
        return self._data[self._position - size : self._position]


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
