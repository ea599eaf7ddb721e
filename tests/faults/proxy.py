"""A TCP proxy in front of a server that can cut off one client process, or all of them, for a while."""

from __future__ import annotations

import asyncio
import contextlib
import time

import psutil

CHUNK = 1 << 18
HOST = "127.0.0.1"


def ports_of(pid: int) -> set[int]:
    """Return the local ports of a process's TCP connections, none where it has ended."""
    try:
        return {c.laddr.port for c in psutil.Process(pid).net_connections(kind="tcp") if c.laddr}
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return set()


class Proxy:
    """Forwards connections to a server on this machine.

    Attributes:
        held: what clients send waits where it has these bytes in it; None = nothing waits.
    """

    def __init__(self, port: int, upstream: int) -> None:
        self.port = port
        self.upstream = upstream
        self.server: asyncio.Server | None = None
        self.open: dict[int, asyncio.Task[None]] = {}
        self.cut_until: dict[int | None, float] = {}
        self.held: bytes | None = None
        self.released = asyncio.Event()

    async def start(self) -> None:
        """Listen."""
        self.server = await asyncio.start_server(self.accept, HOST, self.port, limit=CHUNK)

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self.server is not None:
            self.server.close()
        await self.drop(set(self.open))

    async def cut(self, pid: int | None, seconds: float) -> None:
        """Drop a process's connections (None: everybody's) and refuse new ones for some seconds."""
        self.cut_until[pid] = time.monotonic() + seconds
        await self.drop(set(self.open) if pid is None else ports_of(pid) & set(self.open))

    def hold(self, what: bytes) -> None:
        """Let what clients send wait where it has these bytes in it, until `release`."""
        self.held = what
        self.released.clear()

    def release(self) -> None:
        """Send on what waits."""
        self.held = None
        self.released.set()

    async def drop(self, ports: set[int]) -> None:
        tasks = [task for port in ports if (task := self.open.get(port))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def refused(self, port: int) -> bool:
        now = time.monotonic()
        return any(
            until > now and (pid is None or port in ports_of(pid)) for pid, until in self.cut_until.items()
        )

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("peername")[1]
        task = asyncio.current_task()
        assert task is not None
        self.open[port] = task
        try:
            if not self.refused(port):
                await self.forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.open.pop(port, None)
            writer.transport.abort()

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(HOST, self.upstream, limit=CHUNK)
        try:
            pumps = [
                asyncio.ensure_future(pump(reader, up_writer, self)),
                asyncio.ensure_future(pump(up_reader, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in pumps:
                    task.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            up_writer.transport.abort()


async def pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: Proxy | None = None
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            if proxy is not None and proxy.held is not None and proxy.held in data:
                await proxy.released.wait()
            writer.write(data)
            await writer.drain()
