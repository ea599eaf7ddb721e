"""The answer of a statement that writes its result to a pipe: begun when its beginning is there, or whole."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import IO

from evometrics.deploy.clickhouse.exchange import Answer, EngineError, Result, Summary
from evometrics.deploy.clickhouse.pipe import PIECE_BYTES, ResultPipe
from evometrics.deploy.clickhouse.running import Running


async def streamed(running: Running, pipe: ResultPipe, rest: AsyncGenerator[bytes, None]) -> Answer:
    """Return a running statement's answer; `rest` yields what follows the beginning of its result.

    The beginning is held back for a moment: an error until then is one from the beginning, and a result that
    is whole by then, or waited for, has its whole summary. Raises `EngineError`.
    """
    assert running.done is not None
    head, ended = await pipe.read_ahead()
    if ended:
        result = await asyncio.shield(running.done)
        return whole(result if result.payload else replace(result, payload=head))
    if not running.request.wait_end:
        return Answer(Summary(), pipe.format, head, rest)
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


def whole(result: Result) -> Answer:
    """Return the answer to a statement that has ended."""
    size = len(result.payload)
    summary = replace(result.summary, result_bytes=size)
    return Answer(summary, result.format, result.payload, size=size)


async def read_file(file: IO[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield a file's bytes in pieces."""
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece
