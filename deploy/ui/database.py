"""ClickHouse's answers as rows by column, shared by those who ask the same within a second."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from evometrics.deploy.ui.page import Rows, Section
from evometrics.deploy.ui.shared import Shared
from evometrics.sinks.query import MetricsQuery

#: Statements that run at once; others wait, so that the sink keeps its share of ClickHouse.
AT_ONCE = 4
#: Seconds for which an answer serves others who ask the same.
FRESH_SECONDS = 1.0
MOST_ANSWERS = 200


class Database:
    """Runs statements."""

    def __init__(self, query: MetricsQuery) -> None:
        self.query = query
        self.places = asyncio.Semaphore(AT_ONCE)
        self.answers: Shared[Rows] = Shared(MOST_ANSWERS)

    async def rows(self, section: Section, *, whole: bool = False) -> Rows:
        """Return a section's rows, or all of them. Raises `QueryFailed`, `ClickHouseUnavailable`."""
        values = {**section.values, **section.whole} if whole else section.values
        if (find := section.find) is None:
            return await self.ask(section.sql, values)
        return await self.answers.get(key_of(section.sql, values), FRESH_SECONDS, lambda: find(self.fetch))

    async def ask(self, sql: str, values: Mapping[str, Any], *, fresh_seconds: float = FRESH_SECONDS) -> Rows:
        """Return a statement's rows, from an answer that is at most so old."""
        return await self.answers.get(key_of(sql, values), fresh_seconds, lambda: self.fetch(sql, values))

    async def fetch(self, sql: str, values: Mapping[str, Any]) -> Rows:
        async with self.places:
            found = await self.query.sql(sql, values)
        return [dict(zip(found.columns, row, strict=True)) for row in found]


def key_of(sql: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """Return what is equal for all who ask the same."""
    return sql, repr(sorted(values.items()))
