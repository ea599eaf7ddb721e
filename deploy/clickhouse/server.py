"""The HTTP server in front of the engine."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from evometrics.deploy.clickhouse.access import Access
from evometrics.deploy.clickhouse.engine import Engine
from evometrics.deploy.clickhouse.exchange import Answer, EngineError, Request, Result
from evometrics.deploy.clickhouse.execution import Execution
from evometrics.deploy.clickhouse.reader import as_reader
from evometrics.deploy.clickhouse.settings import ServerSettings
from evometrics.deploy.clickhouse.statement import Query
from evometrics.deploy.clickhouse.web_guard import web_guard
from evometrics.deploy.clickhouse.wire import (
    answer_headers,
    content_type,
    credentials,
    decompress,
    exception_block,
    exception_tag,
    http_status,
    read_request,
)
from evometrics.schemas.service.health import HealthSettings, Standing, Watchdog

SHUTDOWN_SECONDS = 5.0
PING_SECONDS = 5.0

PING = Request(Query("SELECT 1"))


class ClickHouseServer:
    """Serves a chDB folder over HTTP; `start` opens it, `stop` closes it."""

    def __init__(self, folder: Path, settings: ServerSettings, health: HealthSettings | None = None) -> None:
        self._folder = folder
        self._host = settings.host
        self._port = settings.port
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
        self._execution = Execution(self._engine)
        facts = self._engine.run(Request(Query("SELECT displayName(), timezone()"))).payload.decode()
        name, timezone = facts.rstrip("\n").split("\t")
        self._headers = {"X-ClickHouse-Server-Display-Name": name, "X-ClickHouse-Timezone": timezone}
        app = web.Application(middlewares=[self._web_guard.middleware()])
        app.on_response_prepare.append(self._web_guard.on_prepare)
        for path in ("/ping", "/replicas_status"):
            app.router.add_get(path, self._ok)
        app.router.add_get("/health/live", self._live)
        app.router.add_get("/health/ready", self._ready)
        app.router.add_get("/", self._handle)
        app.router.add_post("/", self._handle)
        # Handlers are cancelled when their client disconnects: a SELECT nobody waits for is ended.
        self._runner = web.AppRunner(app, handler_cancellation=True, auto_decompress=False, access_log=None)
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
        query_id = http.query.get("query_id") or str(uuid.uuid4())
        headers = {**self._headers, "X-ClickHouse-Query-Id": query_id}
        try:
            answer = await self._answer(http, query_id)
        except EngineError as error:
            headers["X-ClickHouse-Exception-Code"] = str(error.code)
            return web.Response(text=f"{error}\n", status=http_status(error.code), headers=headers)
        if answer is None:
            return web.Response(text="Ok.\n", headers=headers)
        try:
            return await send(http, answer, headers)
        finally:
            await answer.close()

    async def _answer(self, http: web.Request, query_id: str) -> Answer | None:
        parameters: dict[str, str] = dict(http.query)
        user = await self._access.login(http.remote or "", *credentials(parameters, http.headers))
        if http.content_type == "multipart/form-data":
            form = await http.post()
            parameters |= {name: value for name, value in form.items() if isinstance(value, str)}
            body = []
        else:
            # The pieces are kept as they arrive, and an insert begins only when all of them have arrived.
            body = [piece async for piece in http.content.iter_any()]
        encoding = http.headers.get("Content-Encoding", "")
        if encoding:
            body = list(await asyncio.to_thread(decompress, body, encoding))
        request = read_request(http.method, parameters, http.headers, body, query_id)
        if request is not None and user.reader is not None:
            request = as_reader(request, user.reader)
        return await self._execution.run(request) if request else None


async def send(http: web.Request, answer: Answer, headers: dict[str, str]) -> web.StreamResponse:
    """Send a result, each piece when the client has taken the one before."""
    tag = exception_tag()
    headers |= answer_headers(answer) | {
        "Content-Type": content_type(answer.format),
        "X-ClickHouse-Exception-Tag": tag,
    }
    if answer.rest is None:
        return web.Response(body=answer.payload, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_length = answer.size
    await response.prepare(http)
    try:
        await response.write(answer.payload)
        async for piece in answer.rest:
            await response.write(piece)
    except EngineError as error:
        # A server leaves the body without its end, so that nobody takes it for a whole one.
        await response.write(exception_block(error, tag))
        if http.transport is not None:
            http.transport.close()
    return response


def health_answer(wrong: str | None) -> web.Response:
    return web.Response(text="ok\n" if wrong is None else f"{wrong}\n", status=200 if wrong is None else 503)
