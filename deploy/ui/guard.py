"""Who may see the pages: browsers of this machine at addresses of its own, and nothing from other sites.

Pages load nothing but what this server has, run no script but its own, and stand in no other site's frame.
Another name for this machine's address (DNS rebinding) is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from evometrics.deploy.clickhouse.web_guard import is_address

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def guarded(names: Collection[str]) -> Middleware:
    """Return the middleware that refuses other hosts and other sites, and sets the headers.

    `names`: host names that the page may be asked for by, besides addresses and localhost.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not known_host(request.host, names):
            return web.Response(status=421, text=f"this page is not served as {request.host!r}\n")
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and not (
            request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        ):
            return web.Response(status=403, text="refused: asked for by another site\n")
        return await handler(request)

    return middleware


def known_host(host: str, names: Collection[str]) -> bool:
    """Return whether a Host header has an address, localhost, or one of the names."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or name in names or is_address(name)


async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers of every answer."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
