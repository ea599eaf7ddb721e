"""SQL for a person at a terminal: one query, its rows as an aligned table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evometrics.schemas.errors import EvometricsError
from evometrics.sinks.client import CLICKHOUSE_ERRORS, open_client
from evometrics.sinks.settings import ClickHouseSettings

MAX_CELL = 60


class QueryFailed(EvometricsError, ValueError):
    """ClickHouse refused the query; the message is ClickHouse's own."""


@dataclass(frozen=True, slots=True)
class Found:
    """A query's result: column names and rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


async def query(settings: ClickHouseSettings, text: str) -> Found:
    """Run one query in the settings' database.

    Raises `QueryFailed` with ClickHouse's reason, `ClickHouseUnavailable` within seconds where it does
    not answer.
    """
    if not text.strip():
        raise QueryFailed("the query is empty; give one, such as 'SELECT count() FROM evolution_metrics'")
    client = await open_client(settings)
    try:
        result = await client.query(text.strip().rstrip(";"))
    except CLICKHOUSE_ERRORS as error:
        asked = cell(" ".join(text.split()))
        raise QueryFailed(f"{asked}: {' '.join(str(error).split())}") from None
    finally:
        await client.close()
    return Found(list(result.column_names), [tuple(row) for row in result.result_rows])


def table(found: Found) -> str:
    """Return the rows as text in columns: numbers to the right, long cells cut."""
    cells = [[cell(value) for value in row] for row in found.rows]
    widths = [
        max(len(line[number]) for line in [found.columns, *cells]) for number in range(len(found.columns))
    ]
    right = [
        bool(found.rows) and all(isinstance(row[number], int | float | None) for row in found.rows)
        for number in range(len(found.columns))
    ]

    def line(values: list[str]) -> str:
        parts = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(values, widths, right, strict=True)
        ]
        return "  ".join(parts).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(found.columns), rule, *map(line, cells)])


def cell(value: Any) -> str:
    """Return a value as it is shown."""
    if value is None:
        return "-"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"
