"""An HTTPS proxy that reads what passes through it, and signs with its own authority, as companies' do."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.certificates import authority, certificate
from tests.support.tls_listener import HOST, listening, server_context


@contextmanager
def inspecting_proxy(folder: Path, asked: list[str]) -> Iterator[tuple[str, Path]]:
    """Answer 404 to every request for any server, and append its first line to `asked`.

    Gives the proxy's URL, and the certificate of its authority, whose clients have to trust it.
    """
    ca = authority(folder, "company")

    class Handler(socketserver.StreamRequestHandler):
        timeout = 60

        def handle(self) -> None:
            server = self.rfile.readline().split()[1].rpartition(b":")[0].decode()
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with (
                contextlib.suppress(OSError),  # a client that does not trust the authority
                context_for(server).wrap_socket(self.connection, server_side=True) as client,
            ):
                asked.append(client.recv(1 << 16).decode().splitlines()[0])
                client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    contexts: dict[str, ssl.SSLContext] = {}
    lock = threading.Lock()

    def context_for(server: str) -> ssl.SSLContext:
        with lock:
            if server not in contexts:
                contexts[server] = server_context(certificate(ca, "inspected", f"DNS:{server}"))
            return contexts[server]

    with listening(Handler) as port:
        yield f"http://{HOST}:{port}", ca
