"""Requests run on the engine's threads, and their results streamed to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import IO

from evometrics.deploy.clickhouse.engine import Engine
from evometrics.deploy.clickhouse.exchange import Answer, EngineError, Request, Result, Summary
from evometrics.deploy.clickhouse.pipe import PIECE_BYTES, ResultPipe
from evometrics.deploy.clickhouse.running import Running
from evometrics.deploy.clickhouse.statement import Query

READERS = 16
WRITERS = 16
#: The length from which on a statement is parsed on a thread.
LONG_STATEMENT = 16 * 1024


class Execution:
    """Runs requests; used in one event loop.

    Reads and writes have threads of their own, so that slow SELECTs never delay an insert.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="write")
        self._stops: set[asyncio.Task[None]] = set()

    async def run(self, request: Request) -> Answer:
        """Run a request until the first bytes of its result are there, or the end; raises `EngineError`.

        A reading statement whose client has gone is ended; another one goes on.
        """
        reads = await self._reads(request)
        running = Running(request, ResultPipe() if reads else None)
        pool = self._readers if reads else self._writers
        loop = asyncio.get_running_loop()
        running.done = loop.run_in_executor(pool, running.execute, self._engine.run)
        running.done.add_done_callback(forget)
        if running.pipe is None:
            return whole(await asyncio.shield(running.done))
        try:
            return await self._streamed(running, running.pipe)
        except BaseException:
            self._end(running)
            raise

    async def close(self) -> None:
        """End what is running, and wait until it has ended."""
        await asyncio.to_thread(self._engine.kill_all)
        for pool in (self._readers, self._writers):
            await asyncio.to_thread(pool.shutdown)

    async def _reads(self, request: Request) -> bool:
        """Return whether a request is a reader's."""
        if not isinstance(request.statement, Query):
            return False
        sql = request.statement.sql
        if len(sql) < LONG_STATEMENT:
            return self._engine.classify(sql).reads
        return (await asyncio.to_thread(self._engine.classify, sql)).reads

    async def _streamed(self, running: Running, pipe: ResultPipe) -> Answer:
        """Return the answer of a statement that writes to a pipe.

        As a ClickHouse server does, it holds a result's first megabyte back: an error until then is one from
        the beginning. A result that is shorter, or waited for, has its whole summary.
        """
        assert running.done is not None
        head, ended = await self._read_ahead(pipe)
        if ended:
            result = await asyncio.shield(running.done)
            return whole(result if result.payload else replace(result, payload=head))
        if not running.request.wait_end:
            return Answer(Summary(), pipe.format, head, self._rest(running, pipe))
        file = tempfile.TemporaryFile(prefix="evometrics-result-")  # noqa: SIM115 - closed by the answer
        try:
            size = len(head)
            while piece := await pipe.read():
                size += len(piece)
                await asyncio.to_thread(file.write, piece)
            result = await asyncio.shield(running.done)
            await asyncio.to_thread(file.seek, 0)
        except OSError as error:
            file.close()
            raise EngineError.named(243, "NOT_ENOUGH_SPACE", str(error)) from None
        except BaseException:
            file.close()
            raise
        summary = replace(result.summary, result_bytes=size)
        return Answer(summary, result.format, head, read_file(file), size, file.close)

    async def _read_ahead(self, pipe: ResultPipe) -> tuple[bytes, bool]:
        """Return a result's beginning, and whether it is all of it."""
        head = bytearray()
        while len(head) < PIECE_BYTES:
            piece = await pipe.read()
            if not piece:
                return bytes(head), True
            head += piece
        return bytes(head), False

    async def _rest(self, running: Running, pipe: ResultPipe) -> AsyncGenerator[bytes, None]:
        """Yield what follows a result's first bytes; ends the statement when it is closed early."""
        assert running.done is not None
        try:
            while piece := await pipe.read():
                yield piece
            await asyncio.shield(running.done)
        finally:
            self._end(running)

    def _end(self, running: Running) -> None:
        """End a statement whose result nobody waits for any more; does nothing after its end."""
        if running.pipe is not None:
            running.pipe.abandon()
        if running.done is None or running.done.done():
            return
        error = EngineError.named(394, "QUERY_WAS_CANCELLED", "The client has disconnected")
        stop = asyncio.create_task(running.stop(error, self._kill))
        self._stops.add(stop)
        stop.add_done_callback(self._stops.discard)

    def _kill(self, running: Running) -> None:
        with contextlib.suppress(RuntimeError):  # the engine is busy, or closing: it is tried again
            running.kill(self._engine.kill)


def whole(result: Result) -> Answer:
    """Return the answer to a statement that has ended."""
    size = len(result.payload)
    summary = replace(result.summary, result_bytes=size)
    return Answer(summary, result.format, result.payload, size=size)


async def read_file(file: IO[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield a file's bytes in pieces."""
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece


def forget(done: asyncio.Future[Result]) -> None:
    """Take note of an error that nobody waits for any more."""
    if not done.cancelled():
        done.exception()
