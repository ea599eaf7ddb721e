"""One statement on one chDB connection.

Tested with chDB 4.4: a connection opens in 0.1 ms and holds its own settings, current database and temporary
tables; statements of different connections run concurrently and release the interpreter lock. An insert's
data go through an unnamed file, as fast as through chDB's streaming insert (`send_insert`), and also as one
block. The streaming insert is not used: it misses any error after parsing (a violated constraint, a full
disk, a limit) and reports rows as written that were not.

A result is fetched block by block, and a large one goes to a file: `query` holds it in memory three times
over. The client gets it when it is complete, with its error instead of a part of it, as from ClickHouse with
`wait_end_of_query=1`. In some formats the blocks are not the whole result (names, brackets, a footer); these
are still made in memory.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

import chdb

from evometrics.deploy.clickhouse.exchange import Answer, EngineError, Request
from evometrics.deploy.clickhouse.statement import INPUT_CALL, Insert, Query

NATIVE: Any = importlib.import_module("chdb._chdb")

# Columns that an Avro writer lacks take the table's DEFAULT. There is no queue for async inserts here.
BASE_SETTINGS = {"input_format_avro_allow_missing_fields": "1", "async_insert": "0"}
# A body is one block, so one part per partition of the table, under one deduplication token.
ONE_BLOCK = {
    "max_insert_block_size": "1000000000",
    "min_insert_block_size_rows": "1000000000",
    "min_insert_block_size_bytes": str(64 * 1024**3),
}

#: Formats whose results are their blocks' bytes, concatenated.
BY_BLOCKS = frozenset(
    {"Native", "RowBinary", "JSONEachRow", "JSONLines", "NDJSON", "TabSeparated", "TSV", "TabSeparatedRaw"}
    | {"TSVRaw", "CSV", "LineAsString"}
)
#: For other statements, such as SHOW, chDB returns only the whole result.
SELECTS = re.compile(r"[\s(]*(SELECT|WITH)\b", re.IGNORECASE)
#: Bytes of a result that are kept in memory.
KEPT_BYTES = 16_000_000


def open_connection(folder: str) -> Any:
    """Return a connection to the folder's engine, with the settings every statement starts from."""
    connection = chdb.connect(folder)
    apply_settings(connection, BASE_SETTINGS)
    return connection


def run(connection: Any, request: Request) -> Answer:
    """Run the request; its settings and database stay on the connection. Raises chDB's errors."""
    began = time.monotonic()
    statement = request.statement
    if request.database:
        connection.query(f"USE {quote(request.database, '`')}")
    settings = {**(ONE_BLOCK if isinstance(statement, Insert) else {}), **request.settings}
    if request.tag:
        settings["log_comment"] = request.tag
    apply_settings(connection, settings)
    if isinstance(statement, Query):
        return run_query(connection, request, statement, began)
    if request.read_only:
        raise read_only_error()
    if statement.reads_input:
        return insert_from_input(connection, request, statement, began)
    return insert_data(connection, request, statement, began)


def run_query(connection: Any, request: Request, query: Query, began: float) -> Answer:
    """Run a statement that needs no further data."""
    told = connection._conn.classify_query(query.sql)
    reads = told["query_class"] == NATIVE.query_class.READ_ONLY
    parses = told["query_class"] != NATIVE.query_class.UNKNOWN
    if told["statement_count"] > 1:
        raise EngineError.named(62, "SYNTAX_ERROR", "Multi-statements are not allowed")
    if request.read_only and parses and not reads:
        raise read_only_error()
    written_as = query.format or request.format
    if reads and written_as in BY_BLOCKS and SELECTS.match(query.sql):
        return run_by_blocks(connection, request, query, began)
    result = connection.query(query.sql, request.format, params=dict(request.params))
    payload = result.bytes()
    return Answer(
        elapsed=time.monotonic() - began,
        payload=payload,
        result_bytes=len(payload),
        format=written_as if reads else None,
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        result_rows=result.rows_read() if reads else 0,
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
    )


def run_by_blocks(connection: Any, request: Request, query: Query, began: float) -> Answer:
    """Run a reading statement, and collect its result block by block."""
    kept: list[bytes] = []
    size = rows = read_rows = read_bytes = 0
    with contextlib.ExitStack() as stack:
        rest: IO[bytes] | None = None
        blocks = connection.send_query(query.sql, request.format, params=dict(request.params))
        stack.enter_context(blocks)
        while (block := blocks.fetch()) is not None:
            piece = block.bytes()
            size += len(piece)
            rows += block.rows_read()
            read_rows = max(read_rows, block.storage_rows_read())
            read_bytes = max(read_bytes, block.storage_bytes_read())
            if size <= KEPT_BYTES:
                kept.append(piece)
                continue
            if rest is None:
                rest = tempfile.TemporaryFile(prefix="evometrics-result-")  # noqa: SIM115 - the answer's
                on_error = stack.enter_context(contextlib.ExitStack())
                on_error.callback(rest.close)
            rest.write(piece)
        if rest is not None:
            rest.seek(0)
            on_error.pop_all()
    return Answer(
        elapsed=time.monotonic() - began,
        payload=b"".join(kept),
        rest=rest,
        result_bytes=size,
        format=query.format or request.format,
        read_rows=read_rows,
        read_bytes=read_bytes,
        result_rows=rows,
    )


def insert_data(connection: Any, request: Request, insert: Insert, began: float) -> Answer:
    """Insert the data that came with the statement: all of them are stored or none."""
    with data_file(insert, request) as path:
        result = connection.query(insert.reading(quote(path), request.format))
    return inserted(result, began)


def insert_from_input(connection: Any, request: Request, insert: Insert, began: float) -> Answer:
    """Run INSERT ... SELECT ... FROM input()."""
    with data_file(insert, request) as path:
        source = f"file({quote(path)}, {quote(insert.format or request.format)}, "
        sql = INPUT_CALL.sub(lambda _: source, insert.sql)
        result = connection.query(sql, params=dict(request.params))
    return inserted(result, began)


@contextlib.contextmanager
def data_file(insert: Insert, request: Request) -> Iterator[str]:
    """Yield the path of an unnamed file with an insert's data; a kill leaves nothing behind."""
    with tempfile.TemporaryFile(prefix="evometrics-insert-") as file:
        file.write(insert.data)
        for piece in request.data:
            file.write(piece)
        file.seek(0)
        yield f"/dev/fd/{file.fileno()}"


def inserted(result: Any, began: float) -> Answer:
    elapsed = time.monotonic() - began
    return Answer(elapsed, written_rows=result.rows_written(), written_bytes=result.bytes_written())


def apply_settings(connection: Any, settings: Mapping[str, str]) -> None:
    """Set query settings on a connection; raises for a name or value the engine does not know."""
    for name in settings:
        if not name.isidentifier():
            raise EngineError.named(115, "UNKNOWN_SETTING", f"Unknown setting {name!r}")
    if settings:
        connection.query("SET " + ", ".join(f"{name} = {quote(value)}" for name, value in settings.items()))


def quote(text: str, mark: str = "'") -> str:
    """Return an SQL literal or, with a backtick, an identifier."""
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


def read_only_error() -> EngineError:
    """Return ClickHouse's error for a GET that would change something."""
    return EngineError.named(
        164,
        "READONLY",
        "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
        "You should use method POST for modifying queries",
    )
