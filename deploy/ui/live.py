"""Tells open pages that there is something new: one question to ClickHouse serves all of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aiohttp import web

from evometrics.deploy.ui.database import Database

logger = logging.getLogger(__name__)

#: Seconds between two questions; only while somebody looks.
PERIOD = 0.5
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
                await asyncio.sleep(PERIOD)
        finally:
            self.task = None

    def tell(self, rows: int) -> None:
        """Tell everyone; who has not read the last news yet needs no other."""
        for news in self.listeners:
            with contextlib.suppress(asyncio.QueueFull):
                news.put_nowait(rows)

    async def stop(self) -> None:
        """Stop asking."""
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
