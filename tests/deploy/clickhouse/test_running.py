"""Statements that run are known by their clients' ids, and ended by them."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aiohttp
import clickhouse_connect
import pytest

from evometrics.deploy.clickhouse.exchange import EngineError, Request
from evometrics.deploy.clickhouse.running import Running, Statements
from evometrics.deploy.clickhouse.statement import Query
from tests.support.clickhouse_front import ask

ENDLESS = "count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
WRITING = "SELECT number FROM system.numbers"


async def begun(http: aiohttp.ClientSession, query_id: str) -> str:
    """Wait until a statement runs; return its text as clients see it."""
    listed = "SELECT query FROM system.processes WHERE query_id = {id:String} FORMAT TSVRaw"
    async with asyncio.timeout(30):
        while True:
            if found := (await ask(http, listed, param_id=query_id))[1]:
                return found.removesuffix("\n")
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "kill",
    [
        "KILL QUERY WHERE query_id = 'it''s this'",  # JDBC, DBeaver, @clickhouse/client
        "kill query where query_id in ('it''s this', 'other') sync",
        "/* stop */ KILL QUERY WHERE user = 'default' AND query LIKE '%sipHash64%' ASYNC FORMAT JSONEachRow",
        "KILL QUERY WHERE query_id = {id:String} SETTINGS max_threads = 1",
    ],
)
async def test_a_kill_ends_a_statement_by_the_id_its_client_gave(
    http: aiohttp.ClientSession, kill: str
) -> None:
    sql = f"-- mine\nSELECT {ENDLESS} FORMAT JSON"
    running = asyncio.create_task(ask(http, sql, query_id="it's this"))
    assert await begun(http, "it's this") == sql
    status, told = await ask(http, kill, param_id="it's this")
    assert status == 200
    assert "it's this" in told.replace("\\'", "'") and "sipHash64" in told
    status, error = await running
    assert (status, error[:20]) == (500, "Code: 394. DB::Excep")


async def test_a_kill_that_tests_or_means_nothing_ends_nothing(http: aiohttp.ClientSession) -> None:
    running = asyncio.create_task(ask(http, f"SELECT {ENDLESS}", query_id="tested"))
    await begun(http, "tested")
    _, told = await ask(http, "KILL QUERY WHERE query_id = 'tested' TEST")
    assert told.split("\t")[:3] == ["unknown_status", "tested", "default"]
    assert await ask(http, "KILL QUERY WHERE query_id = 'unknown'") == (200, "")
    status, error = await ask(http, "KILL QUERY WHERE no_such_column = 1")
    assert status == 404 and "Code: 47" in error
    assert not running.done()
    await ask(http, "KILL QUERY WHERE query_id = 'tested' SYNC")
    await running


async def test_a_kill_ends_a_result_that_its_client_does_not_read(http: aiohttp.ClientSession) -> None:
    async with http.post("/", params={"query_id": "unread"}, data=WRITING) as response:
        await response.content.readline()
        await begun(http, "unread")
        await ask(http, "KILL QUERY WHERE query_id = 'unread' SYNC")
        body = b""
        with pytest.raises(aiohttp.ClientPayloadError):
            async for piece in response.content.iter_any():
                body = body[-10_000:] + piece
    assert b"Code: 394." in body and body.endswith(b"__exception__\r\n")


async def test_an_insert_that_selects_is_listed_and_killed(http: aiohttp.ClientSession) -> None:
    await ask(http, "CREATE TABLE filled (n UInt64) ORDER BY n")
    running = asyncio.create_task(
        ask(http, "INSERT INTO filled SELECT number FROM system.numbers", query_id="fill")
    )
    assert await begun(http, "fill") == "INSERT INTO filled SELECT number FROM system.numbers"
    await ask(http, "KILL QUERY WHERE query_id = 'fill' SYNC")
    assert "Code: 394." in (await running)[1]


async def test_a_second_statement_of_an_id_is_refused_or_replaces_the_first(
    http: aiohttp.ClientSession,
) -> None:
    running = asyncio.create_task(ask(http, f"SELECT {ENDLESS}", query_id="twice"))
    await begun(http, "twice")
    _, error = await ask(http, "SELECT 1", query_id="twice")
    assert error.startswith("Code: 216. DB::Exception: Query with id = twice is already running")
    assert await ask(http, "SELECT 1", query_id="twice", replace_running_query="1") == (200, "1\n")
    assert "Code: 394." in (await running)[1]


async def test_a_statement_has_been_stopped_when_its_id_is_free() -> None:
    # Python 3.12 and later ask for the id in the very step of the loop in which the statement ends.
    loop = asyncio.get_running_loop()
    statements = Statements()
    running = Running(Request(Query("SELECT 1"), query_id="again"), done=loop.create_future())
    statements.enter(running)
    running.done.add_done_callback(lambda _: statements.leave(running))

    def kill(_: Running) -> asyncio.Future[None]:
        if not running.done.done():
            running.done.set_result(None)
        killed: asyncio.Future[None] = loop.create_future()
        killed.set_result(None)
        return killed

    await running.stop(EngineError.named(394, "QUERY_WAS_CANCELLED", "replaced"), kill)
    statements.enter(Running(Request(Query("SELECT 2"), query_id="again")))


async def test_the_list_of_statements_is_the_clients_own(http: aiohttp.ClientSession) -> None:
    async def ids(sql: str) -> list[str]:
        _, told = await ask(http, sql, query_id="lists", log_comment="kept")
        return [line for line in told.splitlines() if line]

    assert await ids("SELECT p.query_id FROM `system`.`processes` AS p WHERE p.query_id = 'lists'") == [
        "lists"
    ]
    assert await ids("SELECT processes.query_id FROM system.processes ORDER BY 1 LIMIT 1") == ["lists"]
    assert await ids("SELECT Settings['log_comment'] FROM system.processes WHERE query_id = 'lists'") == [
        "kept"
    ]
    assert await ids("SELECT query FROM system.processes WHERE query_id = 'lists' FORMAT TSVRaw") == [
        "SELECT query FROM system.processes WHERE query_id = 'lists' FORMAT TSVRaw"
    ]
    assert len(await ids("SHOW PROCESSLIST FORMAT JSONEachRow")) >= 1
    assert await ids("EXISTS TABLE system.processes") == ["1"]


def test_clickhouse_connect_finds_its_statement_by_its_id(clickhouse: str) -> None:
    parts = urlsplit(clickhouse)
    client = clickhouse_connect.get_client(host=parts.hostname, port=parts.port or 0)
    found = client.query("SELECT query_id FROM system.processes", settings={"query_id": "of_connect"})
    assert ("of_connect",) in found.result_rows


@pytest.mark.parametrize("spoils", ["parameter", "statement"])
async def test_readonly_in_a_session_forbids_changes_and_nothing_else(
    http: aiohttp.ClientSession, spoils: str
) -> None:
    session = {"session_id": f"readonly by {spoils}"}
    await ask(http, "CREATE TABLE IF NOT EXISTS kept (n UInt64) ORDER BY n")
    await ask(http, "CREATE TEMPORARY TABLE mine AS SELECT 42 AS n", **session)
    if spoils == "parameter":
        assert await ask(http, "SELECT n FROM mine", **session, readonly="1") == (200, "42\n")
        assert "Code: 164." in (await ask(http, "DROP TABLE kept", **session, readonly="1"))[1]
        assert await ask(http, "INSERT INTO kept VALUES (1)", **session) == (200, "")
        assert (await ask(http, "SELECT 1", **session, max_threads="1"))[0] == 200
        return
    assert await ask(http, "/* now */ SET max_threads = 1, readonly = 2", **session) == (200, "")
    assert await ask(http, "SELECT n, getSetting('max_threads') FROM mine", **session) == (200, "42\t1\n")
    assert (await ask(http, "SELECT 1", **session, max_block_size="10"))[0] == 200
    for statement in ("DROP TABLE kept", "INSERT INTO kept VALUES (1)", "SET readonly = 0"):
        assert "Code: 164." in (await ask(http, statement, **session))[1]
    assert await ask(http, "SELECT n FROM mine", **session) == (200, "42\n")
