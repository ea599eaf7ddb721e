"""Connections that send no request, or a head of one too slowly, are closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from evometrics.deploy.clickhouse import listening

REQUEST = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A server whose limits are the front's, but for the time in which a head must arrive."""
    monkeypatch.setattr(listening, "HEAD_SECONDS", 0.3)

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return web.Response(text="Ok.\n")

    app = web.Application()
    app.router.add_get("/slow", slow)
    runner = listening.runner_of(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def drip(writer: asyncio.StreamWriter) -> None:
    """Send a head that never ends, a byte at a time."""
    writer.write(b"GET /slow HTTP/1.1\r\nX: ")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("before", [b"", REQUEST], ids=["new", "used"])
@pytest.mark.parametrize("dripping", [False, True], ids=["silent", "slow"])
async def test_a_connection_without_a_request_is_closed(port: int, before: bytes, dripping: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(before)
    if before:  # a request may take as long as it does
        assert b"Ok.\n" in await reader.readuntil(b"Ok.\n")
    sending = asyncio.create_task(drip(writer)) if dripping else None
    try:
        async with asyncio.timeout(30):
            assert await reader.read() == b""
    except ConnectionError:
        pass
    finally:
        if sending is not None:
            sending.cancel()
        writer.close()
