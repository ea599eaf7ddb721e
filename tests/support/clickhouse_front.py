"""A proxy before a ClickHouse front: notes the statements that pass, and may let its user only read.

It may also take the statements that manage users, which the engine then reads and does not run.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

HOST = "127.0.0.1"
#: Parameters of a request that are no settings.
PARAMETERS = re.compile(
    r"database|query|query_id|default_format|param_.*|client_protocol_version|wait_end_of_query"
)
#: Statements that a user without DDL rights may not send.
DDL = re.compile(r"\s*(CREATE|ALTER|DROP)\b")
#: Statements about users, roles and profiles.
USERS = re.compile(r"(CREATE (ROLE|SETTINGS PROFILE)|GRANT)\b")
DROPPED = {"host", "content-length", "transfer-encoding", "content-encoding", "content-type"}


@dataclass
class Front:
    """A running proxy.

    Attributes:
        url: its address.
        roles: those that it was told to make; None: the engine is asked, which manages no users.
        statements: what was asked, in order, with the settings that came with it.
    """

    upstream: str
    readonly: bool = False
    without_ddl: bool = False
    roles: set[str] | None = None
    url: str = ""
    statements: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def handle(self, http: web.Request) -> web.Response:
        body, parameters = await http.read(), dict(http.query)
        fields = await form(http) if http.content_type == "multipart/form-data" else {}
        text = parameters.get("query") or fields.get("query") or body.decode(errors="replace")
        given = {name: value for name, value in parameters.items() if not PARAMETERS.fullmatch(name)}
        if http.path == "/":
            self.statements.append((text, given))
        if self.roles is not None and (other := self.managed(text)):
            body = other.encode()
        if self.without_ddl and (found := DDL.match(text)):
            return refusal(497, f"Not enough privileges: it's necessary to have the grant {found[0].strip()}")
        if self.readonly:
            if given:  # what a server answers a user whose profile has readonly=1
                name = next(iter(given))
                return refusal(164, f"Cannot modify '{name}' setting in readonly mode")
            parameters["readonly"] = "1"
        headers = {
            name: value
            for name, value in http.headers.items()
            if name.lower() not in DROPPED - {"content-encoding", "content-type"}
        }
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                http.method, self.upstream + http.path, params=parameters, data=body, headers=headers
            ) as answer,
        ):
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in DROPPED}
            return web.Response(
                body=await answer.read(),
                status=answer.status,
                headers={**kept, "Content-Type": answer.headers.get("Content-Type", "text/plain")},
            )

    def managed(self, text: str) -> str | None:
        """Return what is asked instead of a statement about users, None for another one."""
        assert self.roles is not None
        if text.startswith("SELECT name FROM system.roles"):
            return f"SELECT arrayJoin({sorted(self.roles)}::Array(String)) AS name FORMAT Native"
        if not USERS.match(text):
            return None
        self.roles |= set(re.findall(r"^CREATE ROLE IF NOT EXISTS (\w+)", text))
        read = text.replace("'", "''")
        return f"SELECT formatQuerySingleLine('{read}')"


def refusal(code: int, words: str) -> web.Response:
    """Return the answer of a server that refuses a statement."""
    text = f"Code: {code}. DB::Exception: {words}.\n"
    return web.Response(text=text, status=500, headers={"X-ClickHouse-Exception-Code": str(code)})


async def form(http: web.Request) -> dict[str, str]:
    return {name: str(value) for name, value in (await http.post()).items()}


@contextmanager
def running_front(
    upstream: str, *, readonly: bool = False, without_ddl: bool = False, roles: set[str] | None = None
) -> Iterator[Front]:
    """Run a proxy in a thread of its own, so that tests may have event loops of theirs."""
    front = Front(upstream, readonly, without_ddl, roles)
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def serve() -> Callable[[], Any]:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", front.handle)
        runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        (address,) = runner.addresses
        front.url = f"http://{HOST}:{address[1]}"
        return runner.cleanup

    def run() -> None:
        asyncio.set_event_loop(loop)
        cleanup = loop.run_until_complete(serve())
        started.set()
        loop.run_forever()
        loop.run_until_complete(cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield front
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)


async def ask(http: aiohttp.ClientSession, sql: str, **parameters: str) -> tuple[int, str]:
    """Ask a front over HTTP; return the status and what it answers."""
    async with http.post("/", params=parameters, data=sql) as response:
        return response.status, await response.text()
