"""How the server listens: the limits of a request's head, and what it answers to what is no query."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

#: A server's http_max_uri_size, http_max_fields and http_max_field_value_size.
URL_BYTES = 1_048_576
HEADERS = 1000
HEADER_BYTES = 131_072
#: Seconds in which a request's head must arrive, since the connection began or had its last answer. Clients
#: are told a little less, so that none sends a request while its connection is being closed.
HEAD_SECONDS = 32.0
TOLD_SECONDS = 30
KEEP_ALIVE = {"Keep-Alive": f"timeout={TOLD_SECONDS}"}

NO_HANDLE = """There is no handle {path}

Use / or /ping for health checks.
Send queries with the POST method, or as GET /?query=...
There are no web pages, such as /play and /dashboard of a ClickHouse server.
"""

log = logging.getLogger(__name__)


def runner_of(app: web.Application) -> web.AppRunner:
    """Return a runner whose limits are those of a ClickHouse server.

    A handler is cancelled when its client disconnects: a SELECT nobody waits for is ended.
    """
    log.addFilter(in_one_line)
    return web.AppRunner(
        app,
        handler_cancellation=True,
        auto_decompress=False,
        access_log=None,
        logger=log,
        keepalive_timeout=HEAD_SECONDS,
        max_line_size=URL_BYTES,
        max_headers=HEADERS,
        max_field_size=HEADER_BYTES,
    )


def in_one_line(record: logging.LogRecord) -> bool:
    """Log a request that is no HTTP in one line: where in aiohttp that was noticed tells nobody anything."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = f"{record.getMessage()}: {error.message!r:.200}", ()
        record.exc_info = None
    return True


async def options(_: web.Request) -> web.Response:
    """Answer OPTIONS; no other origin is allowed anything."""
    return web.Response(status=204, headers={"Allow": "GET, HEAD, POST, OPTIONS"})


async def no_handle(http: web.Request) -> web.Response:
    """Answer a request to a path, or with a method, that a server has nothing for either."""
    if http.method not in ("GET", "HEAD", "POST"):
        return web.Response(status=501, text=f"The method {http.method} is not implemented\n")
    return web.Response(status=404, text=NO_HANDLE.format(path=http.path[:200]))
