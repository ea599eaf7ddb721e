"""The HTTP server in front of the engine."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from evometrics.deploy.clickhouse.access import Access
from evometrics.deploy.clickhouse.body import body_pieces, is_form, received_form
from evometrics.deploy.clickhouse.engine import Engine
from evometrics.deploy.clickhouse.exchange import Answer, EngineError, Request, Result
from evometrics.deploy.clickhouse.execution import Execution
from evometrics.deploy.clickhouse.listening import KEEP_ALIVE, no_handle, options, runner_of
from evometrics.deploy.clickhouse.reader import as_reader
from evometrics.deploy.clickhouse.reply import Reply
from evometrics.deploy.clickhouse.settings import ServerSettings
from evometrics.deploy.clickhouse.spool import Spool
from evometrics.deploy.clickhouse.statement import Query
from evometrics.deploy.clickhouse.users import User
from evometrics.deploy.clickhouse.web_guard import web_guard
from evometrics.deploy.clickhouse.wire import credentials, read_request, url_parameters
from evometrics.deploy.process.service import HealthSettings, Standing, Watchdog

SHUTDOWN_SECONDS = 5.0
PING_SECONDS = 5.0

PING = Request(Query("SELECT 1"))


class ClickHouseServer:
    """Serves a chDB folder over HTTP; `start` opens it, `stop` closes it."""

    def __init__(self, folder: Path, settings: ServerSettings, health: HealthSettings | None = None) -> None:
        self._folder = folder
        self._host = settings.host
        self._port = settings.port
        self._limits = settings.limits
        self._access = Access(settings.users)
        self._web_guard = web_guard(settings.host, settings.hosts, settings.origins)
        self._pinger = ThreadPoolExecutor(1, thread_name_prefix="ping")
        self._ping: asyncio.Future[Result] | None = None
        self._pings = 0
        self._answers = True
        self._health = health or HealthSettings()
        self._watchdog: Watchdog
        self._runner: web.AppRunner | None = None
        self._engine: Engine
        self._execution: Execution
        self._headers: dict[str, str] = {}

    async def start(self) -> None:
        """Open the folder and listen; raises `FolderInUseError`, or `OSError` if the port is taken."""
        self._engine = await asyncio.to_thread(Engine, self._folder)
        self._execution = Execution(self._engine, self._limits)
        facts = self._engine.run(Request(Query("SELECT displayName(), timezone()"))).payload.decode()
        name, timezone = facts.rstrip("\n").split("\t")
        self._headers = {
            "X-ClickHouse-Server-Display-Name": name,
            "X-ClickHouse-Timezone": timezone,
            **KEEP_ALIVE,
        }
        app = web.Application(middlewares=[self._web_guard.middleware()])
        app.on_response_prepare.append(self._web_guard.on_prepare)
        for path in ("/ping", "/replicas_status"):
            app.router.add_get(path, self._ok)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        app.router.add_get("/", self._handle)
        app.router.add_post("/", self._handle)
        app.router.add_options("/", options)
        app.router.add_route("*", "/{path:.*}", no_handle)
        self._runner = runner_of(app)
        await self._runner.setup()
        await web.TCPSite(
            self._runner, self._host, self._port, shutdown_timeout=SHUTDOWN_SECONDS, backlog=512
        ).start()

        self._watchdog = Watchdog("ClickHouse", self._health, self._look)
        await self._watchdog.start()

    async def stop(self) -> None:
        """Finish requests in progress for a few seconds, end the rest, close the folder."""
        if self._runner is not None:
            await self._watchdog.stop()
            await self._runner.cleanup()
        await self._execution.close()
        await asyncio.to_thread(self._pinger.shutdown)
        await asyncio.to_thread(self._engine.close)

    async def _ok(self, _: web.Request) -> web.Response:
        return web.Response(text="Ok.\n", headers=self._headers)

    async def _look(self) -> Standing:
        """Query the engine on a separate thread: queueing for the others' threads would distort the check."""
        if self._ping is None or self._ping.done():
            self._ping = asyncio.get_running_loop().run_in_executor(self._pinger, self._engine.run, PING)
        done, _ = await asyncio.wait({self._ping}, timeout=PING_SECONDS)
        self._answers = bool(done) and self._ping.exception() is None
        self._pings += len(done)
        return Standing(self._pings, None if done else "the engine has not answered SELECT 1")

    async def _live(self, _: web.Request) -> web.Response:
        return health_answer(self._watchdog.live())

    async def _ready(self, _: web.Request) -> web.Response:
        return health_answer(None if self._answers else "the engine does not answer SELECT 1")

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        if http.method in ("GET", "HEAD") and not http.query_string:
            return await self._ok(http)
        asked = http.query.get("query_id") or http.headers.get("X-ClickHouse-Query-Id") or str(uuid.uuid4())
        query_id = "".join(letter for letter in asked if letter.isprintable())
        headers = {**self._headers, "X-ClickHouse-Query-Id": query_id}
        reply = Reply(http, {}, headers)
        try:
            parameters = url_parameters(http.rel_url.raw_query_string)
            user = await self._access.login(http.remote or "", *credentials(parameters, http.headers))
            reply = Reply(http, parameters, headers)
            answer = await self._answer(http, parameters, user, query_id)
        except EngineError as error:
            return reply.refuse(error)
        try:
            return await reply.send(answer)
        finally:
            await answer.close()

    async def _answer(
        self, http: web.Request, parameters: dict[str, str], user: User, query_id: str
    ) -> Answer:
        if is_form(http):
            form = await received_form(http, parameters)
            request = read_request(http.method, form.parameters, http.headers, (), query_id, form.external)
        else:
            # An insert begins only when all of its data have arrived.
            spool = await Spool.filled(body_pieces(http, parameters), parameters)
            request = read_request(http.method, spool.parameters, http.headers, spool.kept, query_id)
            request = replace(request, rows=spool.file)
        request = replace(request, user=user.name)
        if user.reader is not None:
            own = replace(user.reader, limits=self._limits.most, owner=self._execution.owner)
            try:
                request = as_reader(request, own)
            except EngineError:
                request.close_files()
                raise
        return await self._execution.run(request)


def health_answer(wrong: str | None) -> web.Response:
    return web.Response(text="ok\n" if wrong is None else f"{wrong}\n", status=200 if wrong is None else 503)
