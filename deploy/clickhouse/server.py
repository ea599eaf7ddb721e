"""The HTTP server in front of the engine."""

from __future__ import annotations

import asyncio
import hmac
import uuid
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from evometrics.deploy.clickhouse.engine import Engine
from evometrics.deploy.clickhouse.exchange import Answer, EngineError, Request
from evometrics.deploy.clickhouse.statement import Query
from evometrics.deploy.clickhouse.wire import (
    answer_headers,
    content_type,
    credentials,
    decompress,
    http_status,
    read_request,
)
from evometrics.schemas.service.health import HealthSettings, Standing, Watchdog

READERS = 16
WRITERS = 16
SHUTDOWN_SECONDS = 5.0
PING_SECONDS = 5.0
#: Bytes sent at a time from a result that is in a file.
PIECE_BYTES = 1_000_000


PING = Request(Query("SELECT 1"))


class ClickHouseServer:
    """Serves a chDB folder over HTTP; `start` opens it, `stop` closes it.

    Reads and writes have threads of their own, so that slow SELECTs never delay an insert.
    """

    def __init__(
        self, folder: Path, host: str, port: int, password: str = "", health: HealthSettings | None = None
    ) -> None:
        self._folder = folder
        self._host = host
        self._port = port
        self._password = password
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="write")
        self._pinger = ThreadPoolExecutor(1, thread_name_prefix="ping")
        self._ping: asyncio.Future[Answer] | None = None
        self._pings = 0
        self._answers = True
        self._health = health or HealthSettings()
        self._watchdog: Watchdog
        self._runner: web.AppRunner | None = None
        self._engine: Engine
        self._headers: dict[str, str] = {}

    async def start(self) -> None:
        """Open the folder and listen; raises `FolderInUseError`, or `OSError` if the port is taken."""
        self._engine = await asyncio.to_thread(Engine, self._folder)
        facts = self._engine.run(Request(Query("SELECT displayName(), timezone()"))).payload.decode()
        name, timezone = facts.rstrip("\n").split("\t")
        self._headers = {"X-ClickHouse-Server-Display-Name": name, "X-ClickHouse-Timezone": timezone}
        app = web.Application()
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
        await asyncio.to_thread(self._engine.cancel_all)
        for pool in (self._readers, self._writers, self._pinger):
            await asyncio.to_thread(pool.shutdown)
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
        headers |= answer_headers(answer)
        headers["Content-Type"] = content_type(answer.format)
        if answer.rest is None:
            return web.Response(body=answer.payload, headers=headers)
        with answer.rest as rest:
            response = web.StreamResponse(headers=headers)
            response.content_length = answer.result_bytes
            await response.prepare(http)
            await response.write(answer.payload)
            while piece := await asyncio.to_thread(rest.read, PIECE_BYTES):
                await response.write(piece)
            return response

    async def _answer(self, http: web.Request, query_id: str) -> Answer | None:
        parameters: dict[str, str] = dict(http.query)
        self._check_password(parameters, http.headers)
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
        return await self._run(request) if request else None

    async def _run(self, request: Request) -> Answer:
        reads = request.read_only or not changes_data(request)
        pool: Executor = self._readers if reads else self._writers
        running = asyncio.get_running_loop().run_in_executor(pool, self._engine.run, request)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            running.add_done_callback(forget)
            if reads:
                await asyncio.shield(asyncio.to_thread(self._engine.cancel, request.tag))
            raise

    def _check_password(self, parameters: Mapping[str, str], headers: Mapping[str, str]) -> None:
        user, password = credentials(parameters, headers)
        if self._password and not hmac.compare_digest(password.encode(), self._password.encode()):
            message = f"{user}: Authentication failed: password is incorrect, or there is no such user"
            raise EngineError.named(516, "AUTHENTICATION_FAILED", message)


def forget(done: asyncio.Future[Answer]) -> None:
    """Drop the answer, or the error, of a statement whose client has disconnected."""
    if not done.cancelled() and done.exception() is None and (rest := done.result().rest) is not None:
        rest.close()


def health_answer(wrong: str | None) -> web.Response:
    return web.Response(text="ok\n" if wrong is None else f"{wrong}\n", status=200 if wrong is None else 503)


READING = ("SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "USE")


def changes_data(request: Request) -> bool:
    """Return whether the statement may write; only chooses the threads it runs on."""
    statement = request.statement
    if not isinstance(statement, Query):
        return True
    words = statement.sql.lstrip("( \t\r\n").split(None, 1)
    return not words or words[0].upper() not in READING
