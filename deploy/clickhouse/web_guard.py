"""Keeps web pages out: a browser sends a page's requests to any address, also to a server on loopback.

A page of another site is told by the headers that browsers add and that pages can't change: `Origin` and
`Sec-Fetch-Site`. A page that has its own name point to this server's address (DNS rebinding) is of the same
site for the browser, but the name is in `Host`. Other clients send none of these, or this server's address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

HOSTS_VARIABLE = "EVOMETRICS_CLICKHOUSE_SERVER_HOSTS"
ORIGINS_VARIABLE = "EVOMETRICS_CLICKHOUSE_SERVER_ORIGINS"
LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
#: What `Sec-Fetch-Site` says of a request that no other site's page has made.
OWN_SITES = frozenset({"same-origin", "none"})
CORS_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Content-Encoding, X-ClickHouse-User, "
    "X-ClickHouse-Key, X-ClickHouse-Database, X-ClickHouse-Format",
    "Access-Control-Expose-Headers": "X-ClickHouse-Query-Id, X-ClickHouse-Summary, X-ClickHouse-Format, "
    "X-ClickHouse-Exception-Code",
    "Access-Control-Max-Age": "600",
}


@dataclass(frozen=True, slots=True)
class WebGuard:
    """Which requests may be a web page's.

    Attributes:
        hosts: names that clients may call the server by, in lower case, beside addresses and loopback names.
        origins: pages that may use it, as browsers write them: `https://host:port`.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Return why a request is refused, in words for its sender; None if it is not."""
        host = headers.get("Host", "")
        if host and not self.names_us(host):
            return f"Host: {host} is no name of this server. Use its address, or add it to {HOSTS_VARIABLE}"
        origin = headers.get("Origin")
        if origin is not None:
            if origin.lower() in self.origins or is_own(origin, host):
                return None
            return (
                f"Origin: {origin} is another site's page. If it may use this, add it to {ORIGINS_VARIABLE}"
            )
        site = headers.get("Sec-Fetch-Site", "none")
        if site not in OWN_SITES:
            return (
                f"Sec-Fetch-Site: {site}: another site's page has sent this. If it may, add its origin to "
                f"{ORIGINS_VARIABLE}"
            )
        return None

    def names_us(self, host: str) -> bool:
        """Return whether a `Host` is an address, which no other name can have led to, or a name of ours."""
        name = host_name(host)
        return is_address(name) or name in LOOPBACK_NAMES or name in self.hosts

    def cors(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return what allows a page to read the answer; nothing unless its origin is on the list."""
        origin = headers.get("Origin", "")
        if origin.lower() not in self.origins:
            return {}
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin", **CORS_HEADERS}

    def middleware(self) -> Middleware:
        """Return the check as aiohttp's middleware: nothing of a refused request is read."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            if (why := self.refusal(request.headers)) is not None:
                return web.Response(text=f"{why}\n", status=403)
            allowed = self.cors(request.headers)
            if allowed and request.method == "OPTIONS":
                return web.Response(status=204, headers=allowed)
            return await handler(request)

        return check

    async def on_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers of an allowed origin to an answer; a signal handler of aiohttp's."""
        response.headers.update(self.cors(request.headers))


def web_guard(bound: str, hosts: str, origins: str) -> WebGuard:
    """Return the guard of a server that listens on `bound`; names and origins are comma-separated."""
    names = [bound, *hosts.split(",")]
    return WebGuard(
        frozenset(host_name(name.strip()) for name in names if name.strip()),
        frozenset(origin.strip().lower().rstrip("/") for origin in origins.split(",") if origin.strip()),
    )


def is_own(origin: str, host: str) -> bool:
    """Return whether a page was served by the host that it sends to."""
    return bool(host) and origin.partition("://")[2].lower() == host.lower()


def host_name(host: str) -> str:
    """Return a `Host` without its port, in lower case."""
    if host.count(":") > 1 and not host.startswith("["):  # an IPv6 address, as it is bound
        return host.lower()
    return (urlsplit(f"//{host}").hostname or "").rstrip(".")


def is_address(name: str) -> bool:
    """Return whether a host is given by its number."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
