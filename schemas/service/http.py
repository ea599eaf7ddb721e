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
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.message import Message
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from evometrics.schemas.service.checks import SettingsError, require

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
        certificate, key: PEM files of the server's certificate, and of its key unless it is in the same one;
            empty = plain HTTP.
        token: what clients must send as `Authorization: Bearer <token>`; empty = nothing.
    """

    port: int
    host: str = "127.0.0.1"
    certificate: str = ""
    key: str = ""
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Where a part serves its health and metrics, and to whom.

    Attributes:
        port: TCP port that serves `/metrics` and `/health`; none = they are not served.
        host: address to bind; loopback unless others (a scraper, a kubelet) are to reach it.
        certificate: PEM file with the server's certificate and its intermediates; empty = plain HTTP.
        key: PEM file with its key, unencrypted; empty = it is in `certificate`.
        token: what clients must send as `Authorization: Bearer <token>`; empty = everybody is answered.
    """

    port: int | None = None
    host: str = "127.0.0.1"
    certificate: str = ""
    key: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        port, wanted = self.port, "must be from 1 to 65535"
        require(port is None or 0 < port < 65536, "port", port, wanted)
        require(not self.key or bool(self.certificate), "key", self.key, "set certificate to its certificate")

    @property
    def address(self) -> HttpAddress | None:
        """Where to serve, None for not at all."""
        if self.port is None:
            return None
        return HttpAddress(self.port, self.host, self.certificate, self.key, self.token)


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
        self.tls = server_context(address.certificate, address.key) if address.certificate else None
        super().__init__((address.host, address.port), Handler)
        self.answer = answer
        self.token = address.token

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; its TLS handshake takes place in its own thread."""
        connection, client = super().get_request()
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, client

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
            if self.allowed():
                answer = self.server.answer(HttpRequest(path, self.headers, client, self.gone))
            else:
                answer = Response(401, PLAIN_TEXT, b"send Authorization: Bearer <token>\n")
        except ClientGone:
            return
        except LoopBlocked as error:
            answer = Response(503, PLAIN_TEXT, f"{error}\n".encode())
        except Exception:
            log.exception("%s failed", self.path)
            answer = Response(500, PLAIN_TEXT, b"see the log\n")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        if answer.status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        if answer.encoding is not None:
            self.send_header("Content-Encoding", answer.encoding)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            # the timeout is that of a whole write, whatever its length
            for first in range(0, len(answer.body), WRITE_BYTES):
                self.wfile.write(answer.body[first : first + WRITE_BYTES])

    def allowed(self) -> bool:
        """Return whether the client has sent the token, if one is set."""
        sent = self.headers.get("Authorization", "")
        return not self.server.token or compare_digest(sent.encode(), f"Bearer {self.server.token}".encode())

    def gone(self) -> bool:
        """Return whether the client has closed the connection."""
        try:
            poll = select.poll()
            poll.register(self.connection, select.POLLIN)
            if isinstance(self.connection, ssl.SSLSocket):  # it sends no more than its close
                return bool(poll.poll(0))
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
    Raises `OSError` naming the address where it is in use, `SettingsError` where its certificate can't be
    loaded.
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


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the TLS context of a server. Raises `SettingsError` where its files can't be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    files = [str(Path(path).expanduser()) if path else None for path in (certificate, key)]
    try:
        context.load_cert_chain(files[0] or "", files[1], lambda: b"")  # OpenSSL would ask at the terminal
    except OSError as error:  # an ssl.SSLError is one
        named = f"[http] certificate={certificate!r}, key={key!r}"
        raise SettingsError(f"{named}: {error.strerror or error}") from None
    return context


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
