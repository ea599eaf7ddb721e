"""Results sent block by block, each as soon as the engine has made it, as a server sends them.

INTO OUTFILE gathers a megabyte before it writes, so that a slow query shows nothing for long. chDB's own
streaming gives each block by itself. That is a whole result only in the formats that drivers read: others
have brackets, totals or extremes behind their rows, which it leaves out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import chdb

from evometrics.deploy.clickhouse.exchange import EngineError

#: Formats whose results are their blocks' bytes, concatenated.
BY_BLOCKS = frozenset({"Native", "Buffers", "RowBinary"})
BAD_ARGUMENTS = 36


@dataclass(frozen=True, slots=True)
class Blocks:
    """What a result sent block by block was made of."""

    rows: int
    read_rows: int
    read_bytes: int


def send_blocks(
    connection: Any, sql: bytes, format_name: str, params: dict[str, str], end: int
) -> Blocks | None:
    """Write a result to a pipe's end; None, with nothing run, for a statement that chDB does not stream.

    Raises chDB's errors, and `EngineError` if nobody reads any more.
    """
    try:
        result = connection.send_query(sql, format_name, params=params)
    except (RuntimeError, chdb.ChdbError) as error:
        told = EngineError.of(str(error))
        if told.code == BAD_ARGUMENTS and "Streaming query is not supported" in str(error):
            return None
        raise
    rows = read_rows = read_bytes = 0
    with result as blocks:
        while (block := blocks.fetch()) is not None:
            rows += block.rows_read()
            read_rows = max(read_rows, block.storage_rows_read())
            read_bytes = max(read_bytes, block.storage_bytes_read())
            piece = memoryview(block.bytes())
            try:
                while piece:
                    piece = piece[os.write(end, piece) :]
            except BrokenPipeError:
                raise EngineError.named(394, "QUERY_WAS_CANCELLED", "The client has gone") from None
    return Blocks(rows, read_rows, read_bytes)
