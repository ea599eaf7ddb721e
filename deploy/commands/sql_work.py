"""SQL at a terminal: one query, its rows as they arrive."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

from evometrics.deploy.clickhouse.statement import TOKEN, Insert, Query, parse
from evometrics.deploy.console.tables import QueryResult, cell
from evometrics.schemas.errors import EvometricsError
from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS, may_set, open_client
from evometrics.sinks.settings import ClickHouseSettings

#: Rows that are held before they are passed on; they determine the widths of the columns. ClickHouse sends as
#: many at a time: its default of 65,000 would be gigabytes if the rows are wide.
PAGE_ROWS = 2000
BLOCK_SETTING = "max_block_size"


class QueryFailed(EvometricsError, ValueError):
    """ClickHouse refused the query; the message is ClickHouse's own."""


async def query(settings: ClickHouseSettings, text: str) -> QueryResult:
    """Run one query in the settings' database; return all of its rows.

    Raises `QueryFailed` with ClickHouse's reason, `ClickHouseUnavailable` within seconds if it does not
    answer.
    """
    columns: list[str] = []
    rows: list[tuple[Any, ...]] = []
    async for page in pages(settings, text):
        columns = page.columns
        rows += page.rows
    return QueryResult(columns, rows)


async def pages(settings: ClickHouseSettings, text: str) -> AsyncIterator[QueryResult]:
    """Run one query; yield its rows as they arrive, by pages, of which the last may be empty.

    A statement without a result yields none. Raises as `query` does.
    """
    text = text.strip().rstrip(";")
    if not text:
        raise QueryFailed("the query is empty; give one, such as 'SELECT count() FROM evolution_metrics'")
    chosen = Query(without_comments(text)).format
    if chosen is not None and not isinstance(parse(text.encode()), Insert):
        raise QueryFailed(f"omit FORMAT {chosen}; --json prints one JSON object per row")
    if names_outfile(text):
        raise QueryFailed("omit INTO OUTFILE; redirect the output with > FILE")
    client = await open_client(settings)
    try:
        context = client.create_query_context(text)
        if context.is_command:
            await client.query(context=context)  # the answer describes the statement, and holds no rows
            return
        found = QueryResult([], [])
        async with await client.query_row_block_stream(
            text, settings=may_set(client, {BLOCK_SETTING: PAGE_ROWS})
        ) as blocks:
            found = QueryResult(list(blocks.source.column_names), [])
            async for block in blocks:
                found.rows.extend(tuple(row) for row in block)
                if len(found.rows) >= PAGE_ROWS:
                    yield found
                    found = QueryResult(found.columns, [])
        yield found
    except TypeError as error:
        if not str(error).startswith("unhashable"):
            raise
        raise QueryFailed("has a map whose keys are lists: select its mapKeys and mapValues") from None
    except CLICKHOUSE_ERRORS as error:
        asked = cell(" ".join(text.split()))
        raise QueryFailed(f"{asked}: {' '.join(str(error).split())}") from None
    finally:
        await client.close()


def without_comments(text: str) -> str:
    """Return a statement without its comments."""
    tokens = TOKEN.finditer(text.encode())
    return b"".join(b" " if token["gap"] else token[0] for token in tokens).decode()


def names_outfile(text: str) -> bool:
    """Return whether a statement asks for a file on the client's side, which a server can't write."""
    words = [(token["word"] or b"").upper() for token in TOKEN.finditer(text.encode()) if not token["gap"]]
    return (b"INTO", b"OUTFILE") in itertools.pairwise(words)
