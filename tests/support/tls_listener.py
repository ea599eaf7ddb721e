"""A listener that speaks TLS before a server that does not.

On OpenSSL's own sockets, in threads: asyncio's TLS hangs up without the alert that says why, unlike servers.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
CHUNK = 1 << 16


def server_context(pair: tuple[Path, Path], clients: Path | None = None) -> ssl.SSLContext:
    """Return a context with a certificate and key; `clients`: who signs the client certificates it wants."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients)
    context.load_cert_chain(*pair)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def tls_listener(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """Forward what comes over TLS to a port of this machine; give the listener's own port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):  # a client that is refused, or that hangs up
                self.request.settimeout(60)
                with (
                    context.wrap_socket(self.request, server_side=True) as client,
                    socket.create_connection((HOST, port)) as server,
                ):
                    back = threading.Thread(target=pump, args=(server, client), daemon=True)
                    back.start()
                    pump(client, server)
                    back.join()

    with listening(Handler) as own:
        yield own


class Listener(socketserver.ThreadingTCPServer):
    """Has a thread for each connection, and waits for none of them in the end."""

    daemon_threads = True
    block_on_close = False


@contextmanager
def listening(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    """Have a handler answer on a free port of this machine; give the port."""
    with Listener((HOST, 0), handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield int(listener.server_address[1])
        listener.shutdown()
        thread.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Copy one direction until either end is closed."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
