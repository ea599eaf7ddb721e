"""One statement on one chDB connection.

Tried with chDB 4.4: a connection opens in 0.1 ms and holds its own settings, current database and temporary
tables; statements of different connections run side by side and let go of the interpreter lock; an insert
takes its data in pieces, fastest in those a socket gives (64 to 256 KiB), and still makes one block of them.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import chdb

from evometrics.deploy.clickhouse.exchange import Answer, EngineError, Request
from evometrics.deploy.clickhouse.statement import INPUT_CALL, Insert, Query

NATIVE: Any = importlib.import_module("chdb._chdb")

# Columns an Avro writer does not have take the table's DEFAULT. There is no queue for async inserts here.
BASE_SETTINGS = {"input_format_avro_allow_missing_fields": "1", "async_insert": "0"}
# A body is one block, so one part per partition of the table, under one deduplication token.
ONE_BLOCK = {
    "max_insert_block_size": "1000000000",
    "min_insert_block_size_rows": "1000000000",
    "min_insert_block_size_bytes": str(64 * 1024**3),
}


def open_connection(folder: str) -> Any:
    """A connection to the folder's engine, with the settings every statement starts from."""
    connection = chdb.connect(folder)
    apply_settings(connection, BASE_SETTINGS)
    return connection


def run(connection: Any, request: Request) -> Answer:
    """Run the request; its settings and database stay on the connection. Raises what chDB raises."""
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
    """Run a statement that carries all it needs."""
    told = connection._conn.classify_query(query.sql)
    reads = told["query_class"] == NATIVE.query_class.READ_ONLY
    parses = told["query_class"] != NATIVE.query_class.UNKNOWN
    if told["statement_count"] > 1:
        raise EngineError.named(62, "SYNTAX_ERROR", "Multi-statements are not allowed")
    if request.read_only and parses and not reads:
        raise read_only_error()
    result = connection.query(query.sql, request.format, params=dict(request.params))
    return Answer(
        elapsed=time.monotonic() - began,
        payload=result.bytes(),
        format=(query.format or request.format) if reads else None,
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        result_rows=result.rows_read() if reads else 0,
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
    )


def insert_data(connection: Any, request: Request, insert: Insert, began: float) -> Answer:
    """Hand the data to the engine piece by piece, as they arrived; all of them are stored or none."""
    inserter = connection.send_insert(insert.sql, insert.format or request.format)
    try:
        for piece in pieces(insert, request):
            inserter.append(piece)
        done = inserter.finish()
    except BaseException:
        inserter.cancel()
        raise
    elapsed = time.monotonic() - began
    return Answer(elapsed, written_rows=done.rows_written, written_bytes=done.bytes_written)


def insert_from_input(connection: Any, request: Request, insert: Insert, began: float) -> Answer:
    """INSERT ... SELECT ... FROM input(): chDB takes no data beside a SELECT, so they go by way of a file."""
    with tempfile.NamedTemporaryFile(prefix="evometrics-insert-") as file:
        for piece in pieces(insert, request):
            file.write(piece)
        file.flush()
        source = f"file({quote(file.name)}, {quote(insert.format or request.format)}, "
        sql = INPUT_CALL.sub(lambda _: source, insert.sql)
        result = connection.query(sql, params=dict(request.params))
    elapsed = time.monotonic() - began
    return Answer(elapsed, written_rows=result.rows_written(), written_bytes=result.bytes_written())


def pieces(insert: Insert, request: Request) -> Iterator[bytes]:
    """An insert's data: what stood behind the statement, then the rest."""
    if insert.data:
        yield insert.data
    yield from request.data


def apply_settings(connection: Any, settings: Mapping[str, str]) -> None:
    """Set query settings on a connection; raises for a name or value the engine does not know."""
    for name in settings:
        if not name.isidentifier():
            raise EngineError.named(115, "UNKNOWN_SETTING", f"Unknown setting {name!r}")
    if settings:
        connection.query("SET " + ", ".join(f"{name} = {quote(value)}" for name, value in settings.items()))


def quote(text: str, mark: str = "'") -> str:
    """A SQL literal or, with a backtick, an identifier."""
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


def read_only_error() -> EngineError:
    """What ClickHouse says to a GET that would change something."""
    return EngineError.named(
        164,
        "READONLY",
        "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
        "You should use method POST for modifying queries",
    )
