"""A result's way from an engine's thread to the event loop: a pipe, which holds the engine back when full."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os

from evometrics.deploy.clickhouse.transform import Transform

#: Bytes that a read returns at most, and roughly what the event loop holds of a result.
PIECE_BYTES = 1024 * 1024
#: Seconds after a result's first block in which it may end, to be answered as a whole.
READ_AHEAD_SECONDS = 0.1


class ResultPipe:
    """A pipe whose writing end an engine's thread has, and whose reading end belongs to the event loop.

    Attributes:
        end: its writing end, for the engine's thread.
        path: quoted where the engine takes the name of a file to write to.
        format: the result's format, set by the engine's thread before it writes.
        transform: what makes that format of what the engine writes, if that is another one.
    """

    def __init__(self) -> None:
        self._reading_end, self._writing_end = os.pipe()
        self.end = self._writing_end
        self.path = f"/dev/fd/{self._writing_end}"
        self.format: str | None = None
        self.transform: Transform | None = None
        self._stream = asyncio.StreamReader(limit=PIECE_BYTES // 2)
        self._transport: asyncio.ReadTransport | None = None
        with contextlib.suppress(AttributeError, OSError):  # Linux only; users may have a limit
            fcntl.fcntl(self._writing_end, fcntl.F_SETPIPE_SZ, PIECE_BYTES)

    async def read(self) -> bytes:
        """Return the next bytes; none when the writing end is closed and all was read, or abandoned."""
        if self._transport is None:
            if self._reading_end < 0:
                return b""
            end = os.fdopen(self._reading_end, "rb", buffering=0)
            self._reading_end = -1
            protocol = asyncio.StreamReaderProtocol(self._stream)
            self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, end)
        while (piece := await self._stream.read(PIECE_BYTES)) and self.transform is not None:
            if made := b"".join(self.transform.feed(piece)):
                return made
        return piece

    async def read_ahead(self) -> tuple[bytes, bool]:
        """Return a result's beginning, and whether it is all of it.

        That is a megabyte, or what has come in the tenth of a second after the first block: as from a server,
        a result that is made slowly is sent as it is made.
        """
        head = bytearray(await self.read())
        if not head:
            return b"", True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READ_AHEAD_SECONDS):
                while len(head) < PIECE_BYTES:
                    piece = await self.read()
                    if not piece:
                        return bytes(head), True
                    head += piece
        return bytes(head), False

    def finish(self) -> None:
        """Close the writing end: there is no more. From the engine's thread."""
        os.close(self._writing_end)

    def abandon(self) -> None:
        """Close the reading end: a write fails from now on, one that waits too. From the event loop."""
        if self._transport is not None:
            self._transport.close()
        elif self._reading_end >= 0:
            os.close(self._reading_end)
            self._reading_end = -1
