"""The small HTTP server of a long-running part: `/metrics`, `/health/live`, `/health/ready`.

In `schemas/` because streams, sinks and producers serve it; standard library only. It runs in threads of its
own, so that `/health/live` answers even while the part's event loop is blocked.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import select
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

log = logging.getLogger(__name__)

REQUEST_SECONDS = 5
WRITE_BYTES = 1_000_000
#: How long the event loop may take to answer `/health/ready`.
LOOP_SECONDS = 4
PLAIN_TEXT = "text/plain; charset=utf-8"

#: Prefix of the answers of a part that stopped deliberately and stays up to say why.
STOPPED = "stopped: "

#: Returns None where all is well, else what is wrong, in words.
Check = Callable[[], str | None]

T = TypeVar("T")


class LoopBlocked(TimeoutError):
    """The part's event loop did not answer in time."""


class ClientGone(ConnectionError):
    """Whoever asked has hung up: nobody waits for the answer."""


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where a part serves its health and metrics.

    Attributes:
        port: TCP port, 0 = any free one.
        host: address to bind; loopback unless others (a scraper, a kubelet) are to reach it.
    """

    port: int
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a client asks for.

    Attributes:
        path: without the query.
        headers: by name, in any case.
        client: its address, without the port.
        gone: returns whether it has hung up.
    """

    path: str
    headers: Message
    client: str
    gone: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a request.

    Attributes:
        kind: its content type.
        encoding: how the body is packed; None = not at all.
    """

    status: int
    kind: str
    body: bytes
    encoding: str | None = None


class HealthServer(ThreadingHTTPServer):
    """A listening server; `close` it when the part ends."""

    daemon_threads = True

    def __init__(self, address: HttpAddress, answer: Callable[[HttpRequest], Response]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        super().__init__((address.host, address.port), Handler)
        self.answer = answer

    @property
    def port(self) -> int:
        return self.server_port

    async def close(self) -> None:
        await asyncio.to_thread(self.end)

    def end(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing: a client disconnected or does not speak HTTP."""


class Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    server: HealthServer

    def do_GET(self) -> None:
        path, client = self.path.partition("?")[0], str(self.client_address[0])
        try:
            answer = self.server.answer(HttpRequest(path, self.headers, client, self.gone))
        except ClientGone:
            return
        except LoopBlocked as error:
            answer = Response(503, PLAIN_TEXT, f"{error}\n".encode())
        except Exception:
            log.exception("%s failed", self.path)
            answer = Response(500, PLAIN_TEXT, b"see the log\n")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        if answer.encoding is not None:
            self.send_header("Content-Encoding", answer.encoding)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            # the timeout is that of a whole write, whatever its length
            for first in range(0, len(answer.body), WRITE_BYTES):
                self.wfile.write(answer.body[first : first + WRITE_BYTES])

    def gone(self) -> bool:
        """Return whether the client has closed the connection."""
        try:
            poll = select.poll()
            poll.register(self.connection, select.POLLIN)
            return bool(poll.poll(0)) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    do_HEAD = do_GET  # noqa: N815 - the base class calls it so

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing: probes come every few seconds."""


async def serve(
    address: HttpAddress,
    metrics: Callable[[HttpRequest], Response] | None,
    live: Check,
    ready: Check,
    stopped: Check = lambda: None,
    notes: Callable[[], Iterable[str]] = tuple,
) -> HealthServer:
    """Listen on an address.

    `metrics` answers a scrape (`exposition`; None = this part has none); `live` and `ready` return None
    (200 ok) or what is wrong (503). `stopped` returns why a part deliberately does nothing: it is then live
    (a restart would not help) but not ready, and both answers say why. `notes` returns lines that follow in
    the answer of `/health/ready`: what an operator should know although it does not make the part unready.
    `ready` and `notes` are called in the running event loop, the others in one of the server's threads.
    Raises `OSError` naming the address where it is in use.
    """
    loop = asyncio.get_running_loop()

    def answer(request: HttpRequest) -> Response:
        path = request.path
        if path == "/metrics" and metrics is not None:
            return metrics(request)
        if path not in ("/health/live", "/health/ready"):
            return Response(404, PLAIN_TEXT, b"try /metrics, /health/live or /health/ready\n")
        is_live = path == "/health/live"
        if (why := stopped()) is not None:
            return Response(200 if is_live else 503, PLAIN_TEXT, text(STOPPED + why))
        if is_live:
            wrong, more = live(), list[str]()
        else:
            wrong, more = call_in(loop, lambda: (ready(), list(notes())))
        return Response(200 if wrong is None else 503, PLAIN_TEXT, text(wrong or "ok", *more))

    try:
        server = HealthServer(address, answer)
    except OSError as error:
        raise OSError(error.errno, f"{address.host}:{address.port}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def text(*lines: str) -> bytes:
    """Return lines as a response body."""
    return "".join(f"{line}\n" for line in lines).encode()


def call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], T]) -> T:
    """Call a function in a loop from another thread. Raises `LoopBlocked`."""

    async def call() -> T:
        return function()

    waiting = asyncio.run_coroutine_threadsafe(call(), loop)
    try:
        return waiting.result(LOOP_SECONDS)
    except concurrent.futures.TimeoutError:
        waiting.cancel()
        raise LoopBlocked(f"the event loop has not answered for {LOOP_SECONDS} s") from None
