"""Tells open pages that there is something new: one question to ClickHouse serves all of them, and one page.

Whoever has the same page open gets the same sections, made once after each news. The next news waits for as
long again as making them took, so that pages that are watched leave the sink its share of the machine. Their
numbers are new each time; their charts, which take longest to make, are a few seconds old at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from aiohttp import web

from evometrics.deploy.ui.database import FRESH_SECONDS, Database
from evometrics.deploy.ui.page import Rows, Section
from evometrics.deploy.ui.rendering import Drawing, Picture, drawn
from evometrics.deploy.ui.shared import Shared

logger = logging.getLogger(__name__)

#: Seconds between two questions; only while somebody looks.
PERIOD = 0.5
#: Seconds for which a chart is not drawn again, whatever is new.
PICTURE_SECONDS = 3.0
#: Charts that are kept.
MOST_PICTURES = 128
#: Sections of pages that are kept for others who have the same page open.
MOST_PAGES = 32
#: Seconds after which a silent connection gets a comment, so that nothing in between closes it.
KEEP_ALIVE = 15.0
#: Rows of the tables that pages read; ClickHouse knows them without reading any.
NEWS = (
    "SELECT sum(total_rows) AS rows FROM system.tables WHERE database = currentDatabase() AND name IN "
    "('evolution_metrics_rows', 'evolution_progressed_rows', 'kpi_snapshots_rows', 'dead_letters_rows')"
)


class Pictures:
    """The charts of open pages, each drawn at most once in some seconds.

    Attributes:
        owed_at: when the first of the charts that are not of the newest rows may be drawn again (monotonic
            seconds); None where all are.
    """

    def __init__(self) -> None:
        self.known: OrderedDict[tuple[str, str], tuple[float, Rows, Picture]] = OrderedDict()
        self.owed_at: float | None = None

    def of(self, page: str) -> Drawing:
        """Return what draws the sections of a page; `page` is its address."""

        async def draw(section: Section, rows: Rows, width: int) -> Picture:
            key = page, section.name
            if (known := self.known.get(key)) is not None:
                made_at, of_rows, picture = known
                if rows == of_rows:
                    return picture
                if time.monotonic() < made_at + PICTURE_SECONDS:
                    self.owed_at = min(self.owed_at or float("inf"), made_at + PICTURE_SECONDS)
                    return picture
            picture = await drawn(section, rows, width)
            self.known[key] = time.monotonic(), rows, picture
            self.known.move_to_end(key)
            while len(self.known) > MOST_PICTURES:
                self.known.popitem(last=False)
            return picture

        return draw

    @property
    def owed(self) -> bool:
        """Whether a chart is to be drawn again by now."""
        return self.owed_at is not None and time.monotonic() >= self.owed_at


class Live:
    """Sends `rows` events to those who listen, whenever there is something new for them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.listeners: set[asyncio.Queue[int]] = set()
        self.task: asyncio.Task[None] | None = None
        self.pages: Shared[str] = Shared(MOST_PAGES)
        self.pictures = Pictures()
        self.making_seconds = 0.0

    async def sections(self, name: str, make: Callable[[Drawing], Awaitable[str]]) -> str:
        """Return the sections of a page, which `make` makes; `name` is its address."""

        async def timed() -> str:
            began = time.monotonic()
            made = await make(self.pictures.of(name))
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
                    if before is not None and (rows != before or self.pictures.owed):
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
        self.pictures.owed_at = None  # those who fetch now say so again
        for news in self.listeners:
            with contextlib.suppress(asyncio.QueueFull):
                news.put_nowait(rows)

    async def stop(self) -> None:
        """Stop asking."""
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
