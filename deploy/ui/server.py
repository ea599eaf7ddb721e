"""Serves the pages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from importlib import resources

from aiohttp import web

from evometrics.deploy.ui import cells, charts, guard
from evometrics.deploy.ui.database import Database
from evometrics.deploy.ui.difference import TEXTS
from evometrics.deploy.ui.letters import DeadLetterPages
from evometrics.deploy.ui.live import Live
from evometrics.deploy.ui.looks import WIDTHS
from evometrics.deploy.ui.page import BadChoice, Page, Section, address
from evometrics.deploy.ui.pages import PAGES
from evometrics.deploy.ui.rendering import environment, rendered
from evometrics.deploy.ui.upstream import Upstream
from evometrics.schemas.errors import EvometricsError
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings

logger = logging.getLogger(__name__)

STATIC = {
    "page.css": "text/css",
    "text.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


class Ui:
    """The handlers of the pages; `writes` is whether they lead to what changes something."""

    def __init__(self, query: MetricsQuery, *, writes: bool) -> None:
        self.writes = writes
        self.database = Database(query)
        self.live = Live(self.database)
        self.pages = {page.name: page for page in PAGES}

    def routes(self) -> list[web.RouteDef]:
        """Return which address is answered by what."""
        return [
            web.get("/", self.first),
            web.get("/health/live", self.live_still),
            web.get("/live", self.live.stream),
            web.get("/static/{file}", self.static),
            web.get("/{page}", self.page),
            web.get("/{page}/sections", self.sections),
            web.get("/{page}/{section}.csv", self.csv),
            web.get("/{page}/{section}.png", self.png),
            web.get("/{page}/{section}.txt", self.text),
        ]

    async def first(self, request: web.Request) -> web.Response:
        """Lead to the first page."""
        raise web.HTTPFound(f"/{PAGES[0].name}")

    async def live_still(self, request: web.Request) -> web.Response:
        """Answer a supervisor."""
        return web.Response(text="ok\n")

    async def static(self, request: web.Request) -> web.Response:
        """Answer with a file of the package."""
        name = request.match_info["file"]
        if name not in STATIC:
            raise web.HTTPNotFound(text=f"no file {name}\n")
        body = (resources.files("evometrics.deploy.ui") / "static" / name).read_bytes()
        return web.Response(body=body, content_type=STATIC[name], charset="utf-8")

    async def page(self, request: web.Request) -> web.Response:
        """Answer with a page."""
        page = self.asked(request)
        html = await rendered(
            self.database,
            page,
            PAGES,
            page.state(request.query),
            width=width_for(request),
            writes=self.writes,
        )
        return web.Response(text=html, content_type="text/html")

    async def sections(self, request: web.Request) -> web.Response:
        """Answer with a page's sections alone, for a page that is open."""
        page = self.asked(request)
        state = page.state(request.query)
        width = width_for(request)
        html = await self.live.sections(
            address(page.name, **state, width=width),
            lambda draw: rendered(
                self.database, page, PAGES, state, whole=False, width=width, writes=self.writes, draw=draw
            ),
        )
        return web.Response(text=html, content_type="text/html")

    async def csv(self, request: web.Request) -> web.Response:
        """Answer with all rows of a section."""
        section = self.asked_section(request)
        text = cells.csv_text(await self.database.rows(section, whole=True))
        return download(request, section, "csv", "text/csv", text.encode())

    async def png(self, request: web.Request) -> web.Response:
        """Answer with a section's picture."""
        section = self.asked_section(request)
        if section.draw is None:
            raise web.HTTPNotFound(text=f"{section.name} has no picture\n")
        spec = section.draw(await self.database.rows(section))
        return download(request, section, "png", "image/png", await asyncio.to_thread(charts.png, spec))

    async def text(self, request: web.Request) -> web.Response:
        """Answer with a section's texts."""
        section = self.asked_section(request)
        plain = TEXTS.get(section.kind)
        if plain is None:
            raise web.HTTPNotFound(text=f"{section.name} has no text\n")
        text = await asyncio.to_thread(plain, await self.database.rows(section))
        return download(request, section, "txt", "text/plain", text.encode())

    def asked(self, request: web.Request) -> Page:
        """Return the page that a request names."""
        page = self.pages.get(name := request.match_info["page"])
        if page is None:
            raise web.HTTPNotFound(text=f"no page {name}; pages are {', '.join(self.pages)}\n")
        return page

    def asked_section(self, request: web.Request) -> Section:
        """Return the section that a request names."""
        page = self.asked(request)
        sections = {one.name: one for one in page.sections(page.state(request.query))}
        section = sections.get(name := request.match_info["section"])
        if section is None:
            raise web.HTTPNotFound(text=f"{page.name} has no {name}; it has {', '.join(sections)}\n")
        return section


def width_for(request: web.Request) -> int:
    """Return how wide charts are drawn, in pixels: as the open page asks, or as a phone has room."""
    asked = request.query.get("width", "")
    if asked.isdecimal() and len(asked) < 6:
        return charts.width_near(int(asked))
    return WIDTHS[0] if "Mobi" in request.headers.get("User-Agent", "") else WIDTHS[-1]


def download(request: web.Request, section: Section, suffix: str, kind: str, body: bytes) -> web.Response:
    """Return an answer that browsers store as a file."""
    name = f"{request.match_info['page']}-{section.name}.{suffix}"
    charset = "utf-8" if kind.startswith("text/") else None
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=body, content_type=kind, charset=charset, headers=disposition)


@web.middleware
async def errors(request: web.Request, handler: Callable[..., object]) -> web.StreamResponse:
    """Answer with what is wrong, in words, as a page."""
    try:
        return await handler(request)  # type: ignore[misc, no-any-return]
    except BadChoice as error:
        return problem(400, str(error))
    except EvometricsError as error:
        return problem(502, str(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return problem(error.status, error.text or error.reason, wrote=request.method == "POST")
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        return problem(500, "a fault of these pages; their log has its traceback")


def problem(status: int, text: str, *, wrote: bool = False) -> web.Response:
    """Return the page that says what is wrong; `wrote` is whether something was to be changed."""
    heading = "Nothing was sent" if wrote else "This can't be shown"
    html = environment().get_template("problem.html").render(problem=text, heading=heading, pages=PAGES)
    return web.Response(status=status, text=html, content_type="text/html")


def application(
    query: MetricsQuery, names: Collection[str] = (), upstream: Upstream | None = None
) -> web.Application:
    """Return the pages as an application of aiohttp.

    `names`: host names that they may be asked for by; `upstream`: where lag is asked for and dead letters may
    be sent to again, None = nowhere: the pages only read ClickHouse.
    """
    app = web.Application(middlewares=[guard.guarded(names), errors])
    app.on_response_prepare.append(guard.set_headers)
    ui = Ui(query, writes=upstream is not None)
    app.add_routes(DeadLetterPages(query.settings, upstream.kafka if upstream else None).routes())
    if upstream is not None:
        app.add_routes([web.get("/lag", upstream.lag)])
    app.add_routes(ui.routes())

    async def stop(_: web.Application) -> None:
        await ui.live.stop()

    app.on_shutdown.append(stop)
    return app


async def serve(
    clickhouse: ClickHouseSettings,
    upstream: Upstream | None,
    host: str,
    port: int,
    ready: Callable[[str], None],
    stopping: asyncio.Event,
    names: Collection[str] = (),
) -> None:
    """Serve the pages until `stopping` is set; `ready` is called with their address.

    Port 0 is any free one; `upstream` and `names` are those of `application`, and `host` is a name, too.
    Raises `ClickHouseUnavailable` where ClickHouse does not answer at the start, `OSError` where the address
    is taken.
    """
    async with MetricsQuery(clickhouse) as query:
        runner = web.AppRunner(
            application(query, {host, *names}, upstream), access_log=None, shutdown_timeout=1.0
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
            bound, at = runner.addresses[0][:2]
            warming = asyncio.create_task(asyncio.to_thread(charts.warm_up))
            ready(f"http://{f'[{bound}]' if ':' in bound else bound}:{at}/")
            await stopping.wait()
            await warming
        finally:
            await runner.cleanup()
