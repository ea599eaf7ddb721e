"""ClickHouse's HTTP interface in front of chDB, as clients of ClickHouse use it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.process.child import ChildProcess, ProcessFailedError
from evometrics.deploy.process.ports import free_ports


def client_of(url: str, **options: object) -> Client:
    """A clickhouse-connect client of the server."""
    parts = urlsplit(url)
    return clickhouse_connect.get_client(host=parts.hostname, port=parts.port, **options)  # type: ignore[arg-type]


def test_clickhouse_connect_creates_inserts_and_reads(clickhouse: str) -> None:
    client = client_of(clickhouse)
    client.command("CREATE DATABASE http_basics")
    client.command("CREATE TABLE http_basics.t (n UInt32, s String, m Map(String, Float64)) ORDER BY n")
    rows = [[1, "один", {"a": 0.5}], [2, "it's", {}]]
    summary = client.insert("http_basics.t", rows, column_names=["n", "s", "m"])
    assert summary.written_rows == 2
    assert [list(row) for row in client.query("SELECT * FROM http_basics.t ORDER BY n").result_rows] == rows
    assert client.query("SELECT n, s FROM http_basics.t LIMIT 0").column_names == ("n", "s")
    assert client.command("SELECT count() FROM http_basics.t") == 2


def test_a_query_takes_parameters_settings_and_a_database(clickhouse: str) -> None:
    client_of(clickhouse).command("CREATE DATABASE http_parameters")
    client = client_of(clickhouse, database="http_parameters")
    client.command("CREATE TABLE t (n UInt32) ORDER BY n")
    told = client.query(
        "SELECT {text:String}, {numbers:Array(Int8)}, getSetting('max_threads'), currentDatabase()",
        parameters={"text": "tab\t quote' slash\\", "numbers": [1, 2]},
        settings={"max_threads": 1},
    )
    assert told.result_rows == [("tab\t quote' slash\\", [1, 2], 1, "http_parameters")]


def test_errors_carry_clickhouses_code_and_text(clickhouse: str) -> None:
    client = client_of(clickhouse)
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as caught:
        client.query("SELECT * FROM nowhere")
    assert caught.value.code == 60
    with pytest.raises(DatabaseError, match="UNKNOWN_SETTING"):
        client.command("SELECT 1", settings={"no_such_setting": 1})
    with pytest.raises(DatabaseError, match="UNKNOWN_DATABASE"):
        client_of(clickhouse, database="http_no_such_database").query("SELECT 1")


@pytest.mark.parametrize("codec", ["lz4", "zstd", "gzip"])
def test_compressed_bodies_are_read(clickhouse: str, codec: str) -> None:
    client = client_of(clickhouse, compress=codec)
    client.command(f"CREATE TABLE http_compressed_{codec} (n UInt32, s String) ORDER BY n")
    client.insert(f"http_compressed_{codec}", [[n, "x" * 100] for n in range(5000)], column_names=["n", "s"])
    assert client.query(f"SELECT count(), sum(n) FROM http_compressed_{codec}").result_rows == [
        (5000, 12497500)
    ]


async def test_a_damaged_compressed_body_is_a_clear_error(http: aiohttp.ClientSession) -> None:
    async with http.post("/", data=b"no gzip", headers={"Content-Encoding": "gzip"}) as response:
        assert response.status == 400
        assert "not valid gzip" in await response.text()


async def test_the_async_client_runs_queries_side_by_side(clickhouse: str) -> None:
    parts = urlsplit(clickhouse)
    client = await clickhouse_connect.get_async_client(host=parts.hostname, port=parts.port)
    answers = await asyncio.gather(*(client.query(f"SELECT {n}") for n in range(50)))
    assert [answer.result_rows for answer in answers] == [[(n,)] for n in range(50)]
    await client.close()


async def test_curl_reads_and_writes(http: aiohttp.ClientSession) -> None:
    async with http.get("/ping") as response:
        assert (response.status, await response.text()) == (200, "Ok.\n")
    async with http.get("/") as response:
        assert await response.text() == "Ok.\n"
    async with http.post("/", data="CREATE TABLE http_curl (n UInt8, s String) ORDER BY n") as response:
        assert (response.status, await response.text()) == (200, "")
    async with http.post(
        "/", params={"query": "INSERT INTO http_curl VALUES"}, data="(1,'a'),(2,'b');"
    ) as response:
        assert json.loads(response.headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    async with http.post("/", data="INSERT INTO http_curl FORMAT CSV\n3,c\n") as response:
        assert response.status == 200
    async with http.get("/", params={"query": "SELECT n, s FROM http_curl ORDER BY n"}) as response:
        assert await response.text() == "1\ta\n2\tb\n3\tc\n"
        assert response.headers["X-ClickHouse-Format"] == "TabSeparated"
    asked = {"query": "SELECT sum(n) AS total FROM http_curl", "default_format": "JSONEachRow"}
    async with http.get("/", params=asked) as response:
        assert await response.json(content_type=None) == {"total": 6}
    # `curl -d` labels its body as a form, which ClickHouse does not mind.
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with http.post("/", data=b"SELECT 1 + 1", headers=headers) as response:
        assert await response.text() == "2\n"
    form = aiohttp.FormData({"query": "SELECT {n:Int8}", "param_n": "7"}, default_to_multipart=True)
    async with http.post("/", data=form) as response:
        assert await response.text() == "7\n"


async def test_an_insert_may_select_from_its_body(http: aiohttp.ClientSession) -> None:
    async with http.post("/", data="CREATE TABLE http_input (n UInt64) ORDER BY n"):
        pass
    query = "INSERT INTO http_input SELECT n * 10 FROM input('n UInt64') FORMAT JSONEachRow"
    async with http.post("/", params={"query": query}, data=b'{"n": 1}\n{"n": 2}') as response:
        assert response.status == 200, await response.text()
    async with http.get("/", params={"query": "SELECT sum(n) FROM http_input"}) as response:
        assert await response.text() == "30\n"


async def test_an_error_is_an_http_error_with_its_code(http: aiohttp.ClientSession) -> None:
    async with http.get("/", params={"query": "SELECT * FROM nowhere"}) as response:
        assert (response.status, response.headers["X-ClickHouse-Exception-Code"]) == (404, "60")
        assert (await response.text()).startswith("Code: 60. DB::Exception: ")
    async with http.post("/", data="SELEKT ((") as response:
        assert (response.status, response.headers["X-ClickHouse-Exception-Code"]) == (400, "62")


@pytest.mark.parametrize(
    ("format_", "data", "code"), [("Values", "('x')", 6), ("JSONEachRow", '{"a":1}\n{"a":"x"}\n', 27)]
)
async def test_an_error_in_an_inserts_data_has_a_servers_words(
    http: aiohttp.ClientSession, format_: str, data: str, code: int
) -> None:
    query = f"INSERT INTO FUNCTION null('a Int8') FORMAT {format_}"
    async with http.post("/", params={"query": query}, data=data) as response:
        assert response.headers["X-ClickHouse-Exception-Code"] == str(code)
        words = (await response.text()).strip()
    assert words.startswith(f"Code: {code}. DB::Exception: Cannot parse ") and words.count("Code: ") == 1
    assert re.search(r"InputFormat: data for INSERT was parsed from query\. \([A-Z_]+\)$", words)
    assert words.count("_TEXT)") + words.count("_FAILED)") == 1
    assert "/dev/fd" not in words and "executing File" not in words


async def test_get_changes_nothing(http: aiohttp.ClientSession) -> None:
    for query in ("CREATE TABLE http_get (n UInt8) ORDER BY n", "INSERT INTO http_get VALUES (1)"):
        async with http.get("/", params={"query": query}) as response:
            assert (response.status, response.headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    async with http.get("/", params={"query": "EXISTS http_get"}) as response:
        assert await response.text() == "0\n"


async def test_a_second_statement_in_one_request_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.post("/", data="SELECT 1; DROP TABLE http_any") as response:
        assert (response.status, response.headers["X-ClickHouse-Exception-Code"]) == (400, "62")


async def test_a_session_keeps_what_was_set_and_nothing_else(http: aiohttp.ClientSession) -> None:
    async def ask(query: str, **parameters: str) -> str:
        async with http.post(
            "/", params={"session_id": "http_session", **parameters}, data=query
        ) as response:
            return (await response.text()).strip()

    await ask("SET max_block_size = 123")
    await ask("CREATE TEMPORARY TABLE mine (n UInt8)")
    await ask("INSERT INTO mine VALUES (7)", insert_deduplication_token="once", max_block_size="99")
    assert await ask("SELECT n FROM mine") == "7"
    assert await ask("SELECT getSetting('max_block_size'), getSetting('insert_deduplication_token')") == "123"
    async with http.post("/", data="SELECT * FROM mine") as response:
        assert response.status == 404


async def test_a_session_serves_one_request_at_a_time(http: aiohttp.ClientSession) -> None:
    async def ask() -> int:
        parameters = {"session_id": "http_busy_session"}
        async with http.post(
            "/", params=parameters, data="SELECT sleepEachRow(0.2) FROM numbers(3)"
        ) as response:
            return int(response.headers.get("X-ClickHouse-Exception-Code", 0))

    assert sorted(await asyncio.gather(ask(), ask())) == [0, 373]


async def test_inserts_go_on_beside_more_slow_reads_than_there_are_threads(
    http: aiohttp.ClientSession,
) -> None:
    async with http.post("/", data="CREATE TABLE http_beside (n UInt32) ORDER BY n"):
        pass
    slow = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"

    async def read() -> None:
        async with http.post("/", data=slow, params={"max_threads": "1"}) as response:
            await response.read()

    readers = [asyncio.create_task(read()) for _ in range(20)]
    await asyncio.sleep(0.5)
    for n in range(5):
        async with http.post("/", data=f"INSERT INTO http_beside VALUES ({n})") as response:
            assert response.status == 200
    assert not any(reader.done() for reader in readers)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    # A read whose client disconnected ends, and makes room for others.
    running = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT count() FROM numbers(10000%'"
    for _ in range(100):
        async with http.get("/", params={"query": running}) as response:
            left = await response.text()
        if left == "0\n":
            break
        await asyncio.sleep(0.1)
    assert left == "0\n"


async def test_a_password_is_asked_for_where_one_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("EVOMETRICS_CLICKHOUSE_SERVER_PASSWORD", "secret")
    spec = clickhouse_process(tmp_path / "db", port, tmp_path / "clickhouse.log")
    child = ChildProcess(spec)
    await child.start()
    try:
        url = f"http://127.0.0.1:{port}"
        assert await asyncio.to_thread(lambda: client_of(url, password="secret").command("SELECT 1")) == 1
        with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED"):
            await asyncio.to_thread(lambda: client_of(url, password="wrong"))
    finally:
        await child.stop()


async def test_a_second_server_on_the_folder_is_told_who_has_it(tmp_path: Path) -> None:
    ports = free_ports(2)
    first, second = (
        ChildProcess(clickhouse_process(tmp_path / "db", port, tmp_path / f"{port}.log")) for port in ports
    )
    await first.start()
    try:
        with pytest.raises(ProcessFailedError, match=rf"is open in another process \(id {first.pid}\)"):
            await second.start()
    finally:
        await first.stop()
    assert first.exit_code == 0


async def test_a_stop_ends_reads_under_way_and_closes_the_folder(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    child = ChildProcess(clickhouse_process(tmp_path / "db", port, tmp_path / "clickhouse.log"))
    await child.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        slow = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
        reading = asyncio.create_task(http.post("/", data=slow))
        await asyncio.sleep(0.3)
        await child.stop()
        await asyncio.gather(reading, return_exceptions=True)
    assert child.exit_code == 0
    assert child.log_tail().endswith("closed")
