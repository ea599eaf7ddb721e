"""One statement on one chDB connection.

Tested with chDB 4.4: a connection opens in 0.1 ms and holds its own settings, current database and temporary
tables; statements of different connections run concurrently and release the interpreter lock. An insert's
data go through an unnamed file, as fast as through chDB's streaming insert (`send_insert`), and also as one
block. The streaming insert is not used: it misses any error after parsing (a violated constraint, a full
disk, a limit) and reports rows as written that were not.

A result is written INTO OUTFILE, whose file is a pipe: exact in every format, and never held whole. `query`
holds it in memory three times over.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

import chdb

from evometrics.deploy.clickhouse.blockwise import BY_BLOCKS, send_blocks
from evometrics.deploy.clickhouse.classes import classify
from evometrics.deploy.clickhouse.exchange import EngineError, Request, Result, Summary
from evometrics.deploy.clickhouse.external import loaded
from evometrics.deploy.clickhouse.native import native_writer
from evometrics.deploy.clickhouse.pipe import ResultPipe
from evometrics.deploy.clickhouse.reader import READS_ONLY, Admission, Guard
from evometrics.deploy.clickhouse.statement import INPUT_CALL, Ending, Insert, Query, quote, raw

# Columns that an Avro writer lacks take the table's DEFAULT. There is no queue for async inserts here.
# Formatting on several threads takes ten times the memory, and no less time.
BASE_SETTINGS = {
    "input_format_avro_allow_missing_fields": "1",
    "async_insert": "0",
    "output_format_parallel_formatting": "0",
    "output_format_parquet_parallel_encoding": "0",
    "output_format_parquet_row_group_size_bytes": str(32 * 1024**2),
}
# A body of up to so many bytes is one block, so one part per partition of the table, under one deduplication
# token. A larger one is read in blocks, with bounded memory, and as on a server some of them may be stored
# when a later one fails. A block takes some five times its bytes while it is made, sorted and written.
ONE_BLOCK_BYTES = 64 * 1024**2
ONE_BLOCK = {
    "max_insert_block_size": "1000000000",
    "min_insert_block_size_rows": "1000000000",
    "min_insert_block_size_bytes": str(64 * 1024**3),
}
BLOCKS = {
    "max_threads": "1",
    "max_block_size": "8192",
    "max_insert_block_size": "8192",
    "min_insert_block_size_rows": "1000000",
    "min_insert_block_size_bytes": str(8 * 1024**2),
    "input_format_max_block_size_bytes": str(2 * 1024**2),
    "input_format_parallel_parsing": "0",
    "storage_file_read_method": "pread",  # mapped pages would count as the process's memory
}


def open_connection(folder: str) -> Any:
    """Return a connection to the folder's engine, with the settings every statement starts from."""
    connection = chdb.connect(folder)
    apply_settings(connection, BASE_SETTINGS)
    return connection


def run(connection: Any, request: Request, guard: Guard, pipe: ResultPipe | None = None) -> Result:
    """Run the request; its settings and database stay on the connection. Raises chDB's errors.

    A reading statement writes its result to `pipe`, if there is one.
    """
    began = time.monotonic()
    statement = request.statement
    admit = None
    if request.reader is not None:
        admit = guard.enter(connection, request, request.reader)
        apply_settings(connection, request.defaults)  # its limits are those of tables that it brings, too
    elif request.database:
        connection.query(f"USE {quote(request.database, '`')}")
    settings = {
        **(insert_settings(request) if isinstance(statement, Insert) else {}),
        **request.defaults,
        **request.settings,
    }
    readonly = {"readonly": settings.pop("readonly")} if "readonly" in settings else {}
    apply_settings(connection, settings)
    with loaded(connection, request.external):
        apply_settings(connection, readonly)
        if admit is not None:
            apply_settings(connection, READS_ONLY)
        if isinstance(statement, Query):
            return run_query(connection, request, statement, admit, pipe, began)
        if request.read_only:
            raise read_only_error()
        if statement.reads_input:
            return insert_from_input(connection, request, statement, began)
        return insert_data(connection, request, statement, began)


def run_query(
    connection: Any,
    request: Request,
    query: Query,
    admit: Admission | None,
    pipe: ResultPipe | None,
    began: float,
) -> Result:
    """Run a statement that needs no further data."""
    kind = classify(connection, query.sql)
    if kind.statements > 1:
        raise EngineError.named(62, "SYNTAX_ERROR", "Multi-statements are not allowed")
    if request.read_only and kind.parses and not kind.reads:
        raise read_only_error()
    sql, default_format, written_as, writer = query.sql, request.format, None, None
    if kind.reads:
        written_as = query.format or request.format
        revised = request.revision > 0 and written_as == "Native"
        if revised:
            query, default_format = Query(Ending.of(query.sql).without_format), "Buffers"
            sql = query.sql
        written_in = default_format if revised else written_as
        if pipe is not None and written_in not in BY_BLOCKS:
            sql, written_in = into_file(connection, query, quote(pipe.path), default_format)
            written_as = written_as if revised else written_in
    if admit is not None:
        admit(sql, pipe.path if pipe is not None and sql != query.sql else "")
    if kind.reads:
        if revised:
            writer = native_writer(connection, raw(query.sql), request)
        if pipe is not None:
            pipe.format, pipe.transform = written_as, writer
        if pipe is not None and written_in in BY_BLOCKS:
            made = send_blocks(connection, raw(sql), default_format, dict(request.params), pipe.end)
            if made is not None:
                cost = Summary(
                    time.monotonic() - began, made.read_rows, made.read_bytes, result_rows=made.rows
                )
                return Result(cost, b"", written_as)
    result = connection.query(raw(sql), default_format, params=dict(request.params))
    payload = result.bytes()
    if writer is not None:
        payload = b"".join(writer.feed(payload))
    summary = Summary(
        elapsed=time.monotonic() - began,
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        result_rows=result.rows_read() if kind.reads else 0,
        result_bytes=len(payload),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
    )
    return Result(summary, payload, written_as)


def into_file(connection: Any, query: Query, path: str, default_format: str) -> tuple[str, str]:
    """Return the statement with its result going to a file, and the result's format.

    The engine formats it as it comes, header and footer included, in every format. (chDB's own streaming,
    `send_query`, gives whole results only in formats whose blocks stand alone.) A statement for which the
    grammar has no INTO OUTFILE is returned as it is.
    """
    ending = Ending.of(query.sql)
    clause = f"INTO OUTFILE {path} APPEND"  # a pipe exists already, and can't be truncated
    candidates = [(f"{ending.body}{ending.tail}\n{clause} FORMAT {default_format}", default_format)]
    if ending.format:
        candidates.insert(0, (f"{ending.body}{clause} {ending.tail}", ending.format))
    # What looks like FORMAT may be a column's name: the engine's parser decides.
    for sql, format_name in candidates:
        if classify(connection, sql).controls:
            return sql, format_name
    return query.sql, ending.format or default_format


def insert_data(connection: Any, request: Request, insert: Insert, began: float) -> Result:
    """Insert the data that came with the statement: all of them are stored or none."""
    with data_file(insert, request) as path:
        sql = insert.reading(quote(path), request.format)
        result = connection.query(raw(sql), params=dict(request.params))
    return inserted(result, began)


def insert_from_input(connection: Any, request: Request, insert: Insert, began: float) -> Result:
    """Run INSERT ... SELECT ... FROM input()."""
    with data_file(insert, request) as path:
        source = f"file({quote(path)}, {quote(insert.format or request.format)}, "
        sql = INPUT_CALL.sub(lambda _: source, insert.sql)
        result = connection.query(raw(sql), params=dict(request.params))
    return inserted(result, began)


def insert_settings(request: Request) -> Mapping[str, str]:
    """Return how an insert's data are divided into blocks."""
    if request.rows is not None and os.fstat(request.rows.fileno()).st_size > ONE_BLOCK_BYTES:
        return BLOCKS
    return ONE_BLOCK


@contextlib.contextmanager
def data_file(insert: Insert, request: Request) -> Iterator[str]:
    """Yield the path of an unnamed file with an insert's data; a kill leaves nothing behind."""
    if request.rows is not None:
        yield f"/dev/fd/{request.rows.fileno()}"
        return
    with tempfile.TemporaryFile(prefix="evometrics-insert-") as file:
        file.write(insert.data)
        for piece in request.data:
            file.write(piece)
        file.seek(0)
        yield f"/dev/fd/{file.fileno()}"


def inserted(result: Any, began: float) -> Result:
    elapsed = time.monotonic() - began
    return Result(Summary(elapsed, written_rows=result.rows_written(), written_bytes=result.bytes_written()))


def apply_settings(connection: Any, settings: Mapping[str, str]) -> None:
    """Set query settings on a connection; raises for a name or value the engine does not know."""
    for name in settings:
        if not name.isidentifier():
            raise EngineError.named(115, "UNKNOWN_SETTING", f"Unknown setting {name!r}")
    if settings:
        connection.query("SET " + ", ".join(f"{name} = {quote(value)}" for name, value in settings.items()))


def read_only_error() -> EngineError:
    """Return ClickHouse's error for a GET that would change something."""
    return EngineError.named(
        164,
        "READONLY",
        "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
        "You should use method POST for modifying queries",
    )
