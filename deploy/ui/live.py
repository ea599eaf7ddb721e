"""Tells open pages that there is something new: one question to ClickHouse serves all of them, and one page.

Whoever has the same page open gets the same sections, made once after each news. The next news waits for as
long again as making them took, so that pages that are watched leave the sink its share of the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from evometrics.deploy.ui.database import FRESH_SECONDS, Database
from evometrics.deploy.ui.shared import Shared

logger = logging.getLogger(__name__)

#: Seconds between two questions; only while somebody looks.
PERIOD = 0.5
#: Sections of pages that are kept for others who have the same page open.
MOST_PAGES = 32
#: Seconds after which a silent connection gets a comment, so that nothing in between closes it.
KEEP_ALIVE = 15.0
#: Rows of the tables that pages read; ClickHouse knows them without reading any.
NEWS = (
    "SELECT sum(total_rows) AS rows FROM system.tables WHERE database = currentDatabase() AND name IN "
    "('evolution_metrics_rows', 'evolution_progressed_rows', 'kpi_snapshots_rows', 'dead_letters_rows')"
)


class Live:
    """Sends `rows` events to those who listen, whenever the number of rows has changed."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.listeners: set[asyncio.Queue[int]] = set()
        self.task: asyncio.Task[None] | None = None
        self.pages: Shared[str] = Shared(MOST_PAGES)
        self.making_seconds = 0.0

    async def sections(self, name: str, make: Callable[[], Awaitable[str]]) -> str:
        """Return the sections of a page; `name` is its address."""

        async def timed() -> str:
            began = time.monotonic()
            made = await make()
            self.making_seconds = max(self.making_seconds, time.monotonic() - began)
            return made

        return await self.pages.get(name, FRESH_SECONDS, timed)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer `/live` with server-sent events, as long as the reader stays."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        news: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        self.listeners.add(news)
        if self.task is None:
            self.task = asyncio.create_task(self.watch())
        try:
            while True:
                try:
                    rows = await asyncio.wait_for(news.get(), KEEP_ALIVE)
                    await response.write(f"event: rows\ndata: {rows}\n\n".encode())
                except TimeoutError:
                    await response.write(b": still here\n\n")
        except ConnectionError:
            return response
        finally:
            self.listeners.discard(news)

    async def watch(self) -> None:
        """Ask for the number of rows until nobody listens any more."""
        before = None
        try:
            while self.listeners:
                try:
                    rows = int((await self.database.fetch(NEWS, {}))[0]["rows"] or 0)
                except Exception as error:  # the pages say what is wrong
                    logger.debug("no news: %s", error)
                else:
                    if before is not None and rows != before:
                        self.tell(rows)
                    before = rows
                rest, self.making_seconds = max(PERIOD, self.making_seconds), 0.0
                await asyncio.sleep(rest)
        finally:
            self.task = None

    def tell(self, rows: int) -> None:
        """Tell everyone; who has not read the last news yet needs no other."""
        self.database.answers.renew()
        self.pages.renew()
        for news in self.listeners:
            with contextlib.suppress(asyncio.QueueFull):
                news.put_nowait(rows)

    async def stop(self) -> None:
        """Stop asking."""
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
