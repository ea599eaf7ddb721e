"""A request's body while it arrives: in memory, and on the disk if it is long.

An insert begins when all of its data have arrived, so that a body that is cut off stores nothing. Its data
reach the engine through an unnamed file in any case; many are written to it as they come.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from typing import IO

from evometrics.deploy.clickhouse.exchange import EngineError
from evometrics.deploy.clickhouse.statement import Insert, raw
from evometrics.deploy.clickhouse.wire import split

#: Bytes of a body that are kept in memory, and bytes that are written to the file at a time.
KEPT_BYTES = 16 * 1024**2
WRITTEN_BYTES = 2 * 1024**2


class Spool:
    """A body that has arrived.

    Attributes:
        kept: its pieces; empty if its data are in the file.
        file: an insert's data, from the file's beginning; None for a body that was kept.
        parameters: the request's, with the statement that stood at the beginning of a body in the file.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self.kept: list[bytes] = []
        self.file: IO[bytes] | None = None
        self.parameters = parameters

    @classmethod
    async def filled(cls, pieces: AsyncIterator[bytes], parameters: Mapping[str, str]) -> Spool:
        """Take a whole body; raises `EngineError` if it has no place on the disk, or is no insert's."""
        spool = cls(parameters)
        try:
            await spool._fill(pieces)
        except BaseException as error:
            if spool.file is not None:
                spool.file.close()
            if isinstance(error, OSError) and not isinstance(error, ConnectionError):
                raise EngineError.named(243, "NOT_ENOUGH_SPACE", str(error)) from None
            raise
        return spool

    async def _fill(self, pieces: AsyncIterator[bytes]) -> None:
        waiting = 0
        async for piece in pieces:
            self.kept.append(piece)
            waiting += len(piece)
            if waiting >= (WRITTEN_BYTES if self.file is not None else KEPT_BYTES):
                await self._write()
                waiting = 0
        if self.file is not None:
            await self._write()
            await asyncio.to_thread(self.file.flush)

    async def _write(self) -> None:
        """Move what is kept to the file, the statement at its beginning to the parameters."""
        if self.file is None:
            statement, data = await asyncio.to_thread(split, raw(self.parameters.get("query", "")), self.kept)
            if not isinstance(statement, Insert):
                raise EngineError.named(62, "SYNTAX_ERROR", f"The query is longer than {KEPT_BYTES} bytes")
            self.kept = [statement.data, *data]
            written_as = f" FORMAT {statement.format}\n" if statement.format else ""
            self.parameters = {**self.parameters, "query": statement.sql + written_as}
            self.file = tempfile.TemporaryFile(prefix="evometrics-insert-")  # noqa: SIM115 - the request's
        pieces, self.kept = self.kept, []
        await asyncio.to_thread(self.file.writelines, pieces)
