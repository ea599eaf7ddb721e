"""ClickHouse's answers as rows by column, shared by those who ask the same within a second."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from evometrics.deploy.ui.page import Rows, Section
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
        self.answers: OrderedDict[tuple[str, str], tuple[float, asyncio.Task[Rows]]] = OrderedDict()

    async def rows(self, section: Section) -> Rows:
        """Return a section's rows. Raises `QueryFailed`, `ClickHouseUnavailable`."""
        return await self.ask(section.sql, section.values)

    async def ask(self, sql: str, values: Mapping[str, Any], *, fresh_seconds: float = FRESH_SECONDS) -> Rows:
        """Return a statement's rows, from an answer that is at most so old."""
        key = (sql, repr(sorted(values.items())))
        known = self.answers.get(key)
        if known is None or time.monotonic() - known[0] > fresh_seconds:
            task = asyncio.create_task(self.fetch(sql, values))
            known = self.answers[key] = time.monotonic(), task
            self.answers.move_to_end(key)
            while len(self.answers) > MOST_ANSWERS:
                self.answers.popitem(last=False)
        try:
            return await asyncio.shield(known[1])
        except Exception:
            if self.answers.get(key) is known:
                del self.answers[key]
            raise

    async def fetch(self, sql: str, values: Mapping[str, Any]) -> Rows:
        async with self.places:
            found = await self.query.sql(sql, values)
        return [dict(zip(found.columns, row, strict=True)) for row in found]
