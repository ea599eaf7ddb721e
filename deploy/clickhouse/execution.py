"""Requests run on the engine's threads, and their results streamed to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from evometrics.deploy.clickhouse.classes import StatementClass
from evometrics.deploy.clickhouse.engine import Engine
from evometrics.deploy.clickhouse.exchange import Answer, EngineError, Request, Result
from evometrics.deploy.clickhouse.limits import ReaderLimits
from evometrics.deploy.clickhouse.pipe import ResultPipe
from evometrics.deploy.clickhouse.pools import INSERTS_FIRST, Pool, Pools
from evometrics.deploy.clickhouse.precedence import InsertsFirst
from evometrics.deploy.clickhouse.processes import Kill
from evometrics.deploy.clickhouse.running import Running
from evometrics.deploy.clickhouse.statement import Query
from evometrics.deploy.clickhouse.streamed import streamed, whole

T = TypeVar("T")

#: The length from which on a statement is parsed on a thread.
LONG_STATEMENT = 16 * 1024
#: Seconds after its time limit at which a statement is ended that the engine has not ended: it waits for a
#: client that does not read.
GRACE_SECONDS = 1.0
#: Seconds that a statement with `replace_running_query` waits for the end of the one before it.
REPLACE_SECONDS = 5.0
KILLED = "Query was cancelled by KILL QUERY"


class Execution:
    """Runs requests; used in one event loop."""

    def __init__(self, engine: Engine, limits: ReaderLimits | None = None) -> None:
        self._engine = engine
        self._pools = Pools(limits or ReaderLimits())
        self._inserts_first = InsertsFirst()
        self._kills = ThreadPoolExecutor(2, thread_name_prefix="kill")
        self._stops: set[asyncio.Task[None]] = set()

    async def run(self, request: Request) -> Answer:
        """Run a request until the first bytes of its result are there, or the end; raises `EngineError`.

        A reading statement whose client has gone is ended; another one goes on.
        """
        try:
            kind = await self._kind(request)
            if kind is not None and kind.controls and (kill := await self._kill_statement(request)):
                return await self._run_kill(kill, request)
            pool = self._pools.of(request, kind)
            await self._replace(request)
            await pool.enter()
        except BaseException:
            request.close_files()
            raise
        request = replace(request, defaults={**pool.settings, **request.defaults})
        leave = Leaving(pool.leave, 2)
        try:
            running = self._started(request, pool, reads=kind is not None and kind.reads)
        except BaseException:
            request.close_files()
            pool.leave()
            raise
        assert running.done is not None
        running.done.add_done_callback(lambda _: leave())
        if running.pipe is None:
            leave()
            return whole(await asyncio.shield(running.done))
        try:
            answer = await streamed(running, running.pipe, self._rest(running, running.pipe))
        except BaseException:
            leave()
            self._end(running)
            raise
        return replace(answer, release=both(answer.release, leave))

    async def close(self) -> None:
        """End what is running, and wait until it has ended."""
        await asyncio.to_thread(self._engine.kill_all)
        await asyncio.to_thread(self._pools.close)
        await asyncio.to_thread(self._kills.shutdown)

    def owner(self, query_id: str) -> str | None:
        """Return whose the running statement with an id is; None if there is none."""
        return self._engine.statements.owner(query_id)

    def _started(self, request: Request, pool: Pool, *, reads: bool) -> Running:
        """Begin a statement's execution on a thread of its pool."""
        loop = asyncio.get_running_loop()
        statements = self._engine.statements
        running = Running(request)
        statements.enter(running)
        try:
            running.pipe = ResultPipe() if reads else None
        except OSError as error:
            statements.leave(running)
            raise EngineError.named(76, "CANNOT_OPEN_FILE", str(error)) from None
        first = pool.may_precede and request.rows is None and self._inserts_first.begin()
        if first:
            running.request = replace(running.request, defaults={**INSERTS_FIRST, **running.request.defaults})
        timer: asyncio.TimerHandle | None = None
        if running.pipe is not None and (seconds := time_limit(running.request)):
            timer = loop.call_later(seconds + GRACE_SECONDS, self._time_out, running, seconds)
        running.done = loop.run_in_executor(pool.threads, running.execute, self._engine.run)

        def end(done: asyncio.Future[Result]) -> None:
            statements.leave(running)
            if first:
                self._inserts_first.end()
            if timer is not None:
                timer.cancel()
            if not done.cancelled():
                done.exception()  # Nobody may be waiting for it any more.

        running.done.add_done_callback(end)
        return running

    async def _kind(self, request: Request) -> StatementClass | None:
        """Return what a request's statement does; None for an insert of data."""
        if not isinstance(request.statement, Query):
            return None
        sql = request.statement.sql
        if len(sql) < LONG_STATEMENT:
            return self._engine.classify(sql)
        return await asyncio.to_thread(self._engine.classify, sql)

    async def _replace(self, request: Request) -> None:
        """End the statement that has the request's id, if the request says so and it is the same user's."""
        running = self._engine.statements.named(request.query_id)
        if running is None or request.settings.get("replace_running_query", "0") in ("0", "false"):
            return
        if running.request.user == request.user:
            error = EngineError.named(394, "QUERY_WAS_CANCELLED", "Query was replaced by one with its id")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop(running, error), REPLACE_SECONDS)

    async def _kill_statement(self, request: Request) -> Kill | None:
        return await self._on_kill_thread(lambda: self._engine.as_kill(request))

    async def _run_kill(self, kill: Kill, request: Request) -> Answer:
        """End the statements that a KILL QUERY means, and return the engine's kind of answer to one."""
        found = await self._on_kill_thread(lambda: self._engine.matching(kill, request))
        statements = [self._engine.statements.on(each.thread) for each in found]
        if kill.ends:
            error = EngineError.named(394, "QUERY_WAS_CANCELLED", KILLED)
            stops = [self._stopping(running, error) for running in statements if running is not None]
            if kill.waits:
                await asyncio.gather(*stops)
        status = ("finished" if kill.waits else "waiting") if kill.ends else "unknown_status"
        answer = kill.answer(status, found)
        return whole(await self._on_kill_thread(lambda: self._engine.run(replace(request, statement=answer))))

    async def _rest(self, running: Running, pipe: ResultPipe) -> AsyncGenerator[bytes, None]:
        """Yield what follows a result's first bytes; ends the statement when it is closed early."""
        assert running.done is not None
        try:
            while True:
                await self._inserts_first.wait()
                if not (piece := await pipe.read()):
                    break
                yield piece
            await asyncio.shield(running.done)
        finally:
            self._end(running)

    def _end(self, running: Running) -> None:
        """End a statement whose result nobody waits for any more; does nothing after its end."""
        self._stopping(running, EngineError.named(394, "QUERY_WAS_CANCELLED", "The client has disconnected"))

    def _time_out(self, running: Running, seconds: float) -> None:
        message = f"Timeout exceeded: elapsed more than {seconds * 1000:.0f} ms with sending the result"
        self._stopping(running, EngineError.named(159, "TIMEOUT_EXCEEDED", message))

    def _stopping(self, running: Running, error: EngineError) -> asyncio.Task[None]:
        """Begin to end a statement."""
        stop = asyncio.create_task(self._stop(running, error))
        self._stops.add(stop)
        stop.add_done_callback(self._stops.discard)
        return stop

    async def _stop(self, running: Running, error: EngineError) -> None:
        await running.stop(error, lambda each: self._on_kill_thread(lambda: self._kill(each)))

    def _kill(self, running: Running) -> None:
        with contextlib.suppress(RuntimeError):  # the engine is busy, or closing: it is tried again
            running.kill(self._engine.kill)

    def _on_kill_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._kills, work)


class Leaving:
    """Calls `leave` when it was called itself by all who stay: the execution, and the answer."""

    def __init__(self, leave: Callable[[], None], stay: int) -> None:
        self._leave = leave
        self._stay = stay

    def __call__(self) -> None:
        self._stay -= 1
        if self._stay == 0:
            self._leave()


def both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    """Return what calls both."""

    def call() -> None:
        try:
            first()
        finally:
            second()

    return call


def time_limit(request: Request) -> float:
    """Return the seconds that a statement may take; 0 for no limit, also where the text is none."""
    text = {**request.defaults, **request.settings}.get("max_execution_time", "0")
    try:
        return max(float(text), 0.0)
    except ValueError:
        return 0.0  # The engine refuses it.
