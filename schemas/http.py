"""The small HTTP server of a long-running part: `/metrics`, `/health/live`, `/health/ready`.

In `schemas/` because streams and sinks both serve it; standard library only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)

REQUEST_SECONDS = 5
PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
PLAIN_TEXT = "text/plain; charset=utf-8"

#: Returns None where all is well, else what is wrong, in words.
Check = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class HealthServer:
    """A server that is listening; `close` it when the part ends."""

    server: asyncio.Server
    port: int

    async def close(self) -> None:
        """Stop listening."""
        self.server.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.server.wait_closed(), REQUEST_SECONDS)


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where a part serves its health and metrics.

    Attributes:
        port: TCP port, 0 = any free one.
        host: address to bind; loopback unless others (a scraper, a kubelet) are to reach it.
    """

    port: int
    host: str = "127.0.0.1"


async def serve(
    address: HttpAddress, metrics: Callable[[], bytes], live: Check, ready: Check
) -> HealthServer:
    """Listen on an address in the running event loop.

    `metrics` gives the Prometheus text; `live` and `ready` give None (200 ok) or what is wrong (503).
    Raises `OSError` naming the port where it is taken.
    """

    def answer(path: str) -> tuple[str, str, bytes]:
        if path == "/metrics":
            return "200 OK", PROMETHEUS_TEXT, metrics()
        check = {"/health/live": live, "/health/ready": ready}.get(path)
        if check is None:
            return "404 Not Found", PLAIN_TEXT, b"try /metrics, /health/live or /health/ready\n"
        wrong = check()
        if wrong is None:
            return "200 OK", PLAIN_TEXT, b"ok\n"
        return "503 Service Unavailable", PLAIN_TEXT, f"{wrong}\n".encode()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), REQUEST_SECONDS)
            method, target = head.split(b" ", 2)[:2]
            try:
                status, kind, body = answer(target.decode("latin-1").partition("?")[0])
            except Exception:
                log.exception("%s failed", target.decode("latin-1"))
                status, kind, body = "500 Internal Server Error", PLAIN_TEXT, b"see the log\n"
            if method not in (b"GET", b"HEAD"):
                status, kind, body = "405 Method Not Allowed", PLAIN_TEXT, b"GET only\n"
            lines = (
                f"HTTP/1.1 {status}",
                f"Content-Type: {kind}",
                f"Content-Length: {len(body)}",
                "Connection: close",
            )
            writer.write("\r\n".join((*lines, "", "")).encode() + (b"" if method == b"HEAD" else body))
            await asyncio.wait_for(writer.drain(), REQUEST_SECONDS)
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # a client that went away or does not speak HTTP
        finally:
            writer.close()

    server = await asyncio.start_server(handle, address.host, address.port)
    return HealthServer(server, server.sockets[0].getsockname()[1])
