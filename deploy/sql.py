"""SQL for a person at a terminal: one query, its rows as an aligned table."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evometrics.deploy.clickhouse.statement import Query, parse
from evometrics.schemas.errors import EvometricsError
from evometrics.sinks.client import CLICKHOUSE_ERRORS, open_client
from evometrics.sinks.settings import ClickHouseSettings

MAX_CELL = 60
#: Rows that are kept until they are given on, and by which columns are made as wide as they are.
PAGE_ROWS = 10_000


class QueryFailed(EvometricsError, ValueError):
    """ClickHouse refused the query; the message is ClickHouse's own."""


@dataclass(frozen=True, slots=True)
class Found:
    """A query's result: column names and rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


async def query(settings: ClickHouseSettings, text: str) -> Found:
    """Run one query in the settings' database; return all of its rows.

    Raises `QueryFailed` with ClickHouse's reason, `ClickHouseUnavailable` within seconds where it does
    not answer.
    """
    columns: list[str] = []
    rows: list[tuple[Any, ...]] = []
    async for page in pages(settings, text):
        columns = page.columns
        rows += page.rows
    return Found(columns, rows)


async def pages(settings: ClickHouseSettings, text: str) -> AsyncIterator[Found]:
    """Run one query; give its rows as they arrive, by pages, of which the last may be empty.

    Raises as `query` does.
    """
    text = text.strip().rstrip(";")
    if not text:
        raise QueryFailed("the query is empty; give one, such as 'SELECT count() FROM evolution_metrics'")
    statement = parse(text.encode())
    if isinstance(statement, Query) and statement.format is not None:
        raise QueryFailed(f"leave FORMAT {statement.format} out; --json prints one JSON object a row")
    client = await open_client(settings)
    try:
        context = client.create_query_context(text)
        if context.is_command:
            done = await client.query(context=context)
            yield Found(list(done.column_names), [tuple(row) for row in done.result_rows])
            return
        found = Found([], [])
        async with await client.query_row_block_stream(text) as blocks:
            found = Found(list(blocks.source.column_names), [])
            async for block in blocks:
                found.rows.extend(tuple(row) for row in block)
                if len(found.rows) >= PAGE_ROWS:
                    yield found
                    found = Found(found.columns, [])
        yield found
    except CLICKHOUSE_ERRORS as error:
        asked = cell(" ".join(text.split()))
        raise QueryFailed(f"{asked}: {' '.join(str(error).split())}") from None
    finally:
        await client.close()


def as_json(value: Any) -> Any:
    """Return a value as JSON has it.

    What is no number (NaN, infinities) is null, the keys of a map are text, and so is all that JSON has
    nothing for. Bytes are what a FixedString holds, without the zeros that fill it.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key_text(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(each) for each in value]
    return plain(value)


def key_text(key: Any) -> str:
    """Return the key of a map as JSON has it."""
    found = as_json(key)
    return found if isinstance(found, str) else json.dumps(found)


def plain(value: Any) -> str:
    """Return a value as text."""
    if isinstance(value, bytes):
        return value.rstrip(b"\0").decode(errors="backslashreplace")
    return str(value)


class Columns:
    """How columns are shown: numbers to the right, each as wide as the widest cell of the rows given."""

    def __init__(self, found: Found) -> None:
        cells = [found.columns, *(map(cell, row) for row in found.rows)]
        self.names = found.columns
        self.widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        columns = list(zip(*found.rows, strict=True)) or [("",)] * len(found.columns)
        self.right = [all(isinstance(each, int | float | None) for each in column) for column in columns]

    def head(self) -> str:
        """Return the names and a rule."""
        return f"{self.line(self.names)}\n{'  '.join('-' * width for width in self.widths)}"

    def line(self, row: Sequence[Any]) -> str:
        """Return a row; its long cells are cut."""
        parts = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(map(cell, row), self.widths, self.right, strict=True)
        ]
        return "  ".join(parts).rstrip()


def table(found: Found) -> str:
    """Return the rows as text in columns."""
    columns = Columns(found)
    return "\n".join([columns.head(), *map(columns.line, found.rows)])


def cell(value: Any) -> str:
    """Return a value as it is shown."""
    if value is None:
        return "-"
    text = f"{value:.4g}" if isinstance(value, float) else plain(value)
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"
