"""A proxy before a registry that lets in who logs in, and lets some only read, as secured registries do."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Guarded:
    """A running proxy.

    Attributes:
        url: of the registry's API through it.
        writers, readers: the `Authorization` of who may do everything, and of who may only read.
        requests: method and path of each request that was let through.
    """

    upstream: str
    writers: set[str]
    readers: set[str]
    url: str = ""
    requests: list[str] = field(default_factory=list)

    def status(self, authorization: str, method: str, path: str) -> int:
        """Return the status of a request that is refused, 200 for one that is not."""
        if authorization not in self.writers | self.readers:
            return 401
        writes = method == "PUT" or (method == "POST" and path.endswith("/versions"))
        return 403 if writes and authorization in self.readers else 200


@contextmanager
def guarded(registry_url: str, writers: set[str], readers: set[str]) -> Iterator[Guarded]:
    """Run a proxy before the registry of which a URL is given."""
    parts = urlsplit(registry_url)
    found = Guarded(f"{parts.scheme}://{parts.netloc}", writers, readers)

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status = found.status(self.headers.get("Authorization", ""), self.command, self.path)
            answer = b'{"error_code": %d, "message": "no"}' % status
            if status == 200:
                found.requests.append(f"{self.command} {self.path.removeprefix(parts.path)}")
                headers = {"Content-Type": self.headers["Content-Type"]}
                asked = urllib.request.Request(
                    found.upstream + self.path, body or None, headers, method=self.command
                )
                try:
                    with urllib.request.urlopen(asked, timeout=30) as told:
                        status, answer = told.status, told.read()
                except urllib.error.HTTPError as error:
                    status, answer = error.code, error.read()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = handle_one  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_address[1]}{parts.path}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()
