"""Who may see the pages: browsers of this machine at addresses of its own, and nothing from other sites.

Pages load nothing but what this server has, run no script but its own, and stand in no other site's frame.
Another name for this machine's address (DNS rebinding) is refused. What a form would change is done only for
a form of this server's own pages.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from hmac import compare_digest
from typing import cast
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from multidict import MultiMapping

from evometrics.deploy.clickhouse.web_guard import is_address

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # with no-referrer a browser would send its own forms with `Origin: null`
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
READING = ("GET", "HEAD")
TOKEN = "token"
TOKEN_BYTES = 32


def guarded(names: Collection[str]) -> Middleware:
    """Return the middleware that refuses other hosts and other sites.

    `names`: host names that the page may be asked for by, besides addresses and localhost.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not known_host(request.host, names):
            return web.Response(status=421, text=f"this page is not served as {request.host!r}\n")
        if is_of_another_site(request):
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


def is_of_another_site(request: web.Request) -> bool:
    """Return whether a browser says that a page of another site asks, except by a link to a page here."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return not (request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate")
    origin = request.headers.get("Origin")
    return request.method not in READING and origin is not None and not is_own(origin, request.host)


def is_own(origin: str, host: str) -> bool:
    """Return whether an Origin header names the host that is asked."""
    scheme, _, place = origin.partition("://")
    return scheme in ("http", "https") and place.lower() == host.lower()


class FormToken:
    """A secret of this server's own forms: who can't read its pages can't send one."""

    def __init__(self) -> None:
        self.text = secrets.token_urlsafe(TOKEN_BYTES)

    async def form(self, request: web.Request) -> MultiMapping[str]:
        """Return the fields of a form of this server. Raises `HTTPForbidden` for any other."""
        if request.content_type != "application/x-www-form-urlencoded":
            raise web.HTTPForbidden(text="refused: this is no form of these pages")
        fields = await request.post()
        if not compare_digest(str(fields.get(TOKEN, "")).encode(), self.text.encode()):
            raise web.HTTPForbidden(
                text="refused: this form is not of the pages as they are served now. If you opened it before "
                "they were started again, go back, load its page again, and send it once more"
            )
        return cast("MultiMapping[str]", fields)  # a form of this type holds no files


async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers of every answer."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
