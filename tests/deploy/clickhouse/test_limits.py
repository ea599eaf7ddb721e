"""What readers may take: a number of statements at once, time and memory; and inserts that never wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import aiohttp
import pytest

from evometrics.deploy.clickhouse.limits import ReaderLimits
from evometrics.deploy.clickhouse.precedence import Precedence
from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.clickhouse.settings import ServerSettings
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import free_ports
from tests.support.clickhouse_front import ask

READER = {"user": "analyst"}
ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
LIMITS = {"READERS": "2", "READER_WAIT_SECONDS": "0.2", "READER_SECONDS": "1.5", "READER_MEMORY_MB": "200"}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with low limits."""
    folder: Path = tmp_path_factory.mktemp("limited")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    spec = clickhouse_process(folder / "db", port, folder / "clickhouse.log")
    env = {f"EVOMETRICS_CLICKHOUSE_SERVER_{name}": value for name, value in LIMITS.items()}
    child = ChildProcess(replace(spec, env={**spec.env, **env}))
    asyncio.run(child.start())
    try:
        with urlopen(url, data=b"CREATE DATABASE evometrics"):
            pass
        yield url
    finally:
        asyncio.run(child.stop())


@pytest.fixture
async def http(limited: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(limited) as session:
        yield session


async def test_more_readers_than_there_are_places_are_refused_and_the_writer_is_served(
    http: aiohttp.ClientSession,
) -> None:
    endless = [asyncio.create_task(ask(http, ENDLESS, **READER)) for _ in range(2)]
    await asyncio.sleep(0.3)
    status, error = await ask(http, "SELECT 1", **READER)
    assert status == 500
    assert error.startswith("Code: 202. DB::Exception: Too many simultaneous queries. Maximum: 2 (")
    assert "has waited for 0.2 s (reader_wait_seconds)" in error
    await ask(http, "CREATE TABLE served (n UInt64) ORDER BY n")
    assert (await ask(http, "INSERT INTO served VALUES (1), (2)"))[0] == 200
    assert await ask(http, "SELECT count() FROM served") == (200, "2\n")
    # Their time is up by now, or soon, and their places are free again.
    for status, error in await asyncio.gather(*endless):
        assert status == 408 and error.startswith("Code: 159. DB::Exception: Timeout exceeded")
    assert await ask(http, "SELECT 1", **READER) == (200, "1\n")


async def test_a_reader_that_takes_too_much_memory_is_told_so(http: aiohttp.ClientSession) -> None:
    much = "SELECT length(groupArray(number)) FROM numbers(100000000)"
    status, error = await ask(http, much, **READER)
    assert status == 500 and error.startswith("Code: 241. DB::Exception:")
    assert "MEMORY_LIMIT_EXCEEDED" in error


async def test_a_client_that_does_not_read_gives_its_place_back_in_time(http: aiohttp.ClientSession) -> None:
    wide = "SELECT number, repeat('x', 1000) FROM numbers(100000000)"
    async with http.post("/", params=READER, data=wide) as response:
        await response.content.read(10)
        # A second one has the other place until its time is up; then the first one's is up too.
        await ask(http, ENDLESS, **READER)
        assert await ask(http, "SELECT 1", **READER) == (200, "1\n")
        body = b""
        with pytest.raises(aiohttp.ClientPayloadError):
            async for piece in response.content.iter_any():
                body = body[-10_000:] + piece
        assert b"Code: 159." in body


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_execution_time", "1000"),
        ("max_execution_time", "0"),
        ("max_memory_usage", "0"),
        ("max_memory_usage", "300000000"),
    ],
)
async def test_a_reader_may_not_raise_its_limits(http: aiohttp.ClientSession, name: str, value: str) -> None:
    for status, error in (
        await ask(http, "SELECT 1", **READER, **{name: value}),
        await ask(http, f"SELECT 1 SETTINGS {name} = {value}", **READER),
        await ask(http, f"SET {name} = {value}", **READER, session_id="raises"),
    ):
        assert status == 500 and error.startswith(f"Code: 452. DB::Exception: Setting {name} shouldn't be")
        assert ("and 0 is without limit" in error) == (value == "0")
    status, error = await ask(http, "SELECT 1 SETTINGS priority = 1", **READER)
    assert "Code: 164." in error


async def test_a_reader_may_lower_its_limits_for_a_session(http: aiohttp.ClientSession) -> None:
    session = {**READER, "session_id": "lower"}
    asked = "SELECT getSetting('max_memory_usage'), getSetting('max_execution_time')"
    assert await ask(http, asked, **session) == (200, "209715200\t1.5\n")
    assert await ask(http, "SET max_memory_usage = 1000000000 / 10, max_threads = 1", **session) != (200, "")
    assert await ask(http, "SET max_memory_usage = 100000000", **session) == (200, "")
    assert await ask(http, asked, **session) == (200, "100000000\t1.5\n")
    assert await ask(http, asked, **session, max_execution_time="1") == (200, "100000000\t1\n")
    assert await ask(http, asked, **session) == (200, "100000000\t1.5\n")


def test_the_limits_follow_the_machine_unless_they_are_set() -> None:
    limits = ServerSettings().limits
    assert limits.number >= 2
    assert limits.memory * limits.number > 10**8
    chosen = ServerSettings(readers=3, reader_wait_seconds=1, reader_seconds=2, reader_memory_mb=4)
    assert chosen.limits == ReaderLimits(3, 1.0, 2.0, 4 * 1024**2)
    with pytest.raises(ValueError, match="reader_seconds"):
        ServerSettings(reader_seconds=0)


def test_inserts_have_precedence_for_half_of_the_time() -> None:
    rare, frequent = Precedence(), Precedence()
    now = time.monotonic()
    for _ in range(1000):
        assert rare.begin(now)
        rare.end(now + 0.02)
        now += 0.1
    preceded, began = 0.0, now
    while now < began + 100:
        if frequent.begin(now):
            preceded += 0.02
            frequent.end(now + 0.02)
        now += 0.02
    assert 40 < preceded < 60
