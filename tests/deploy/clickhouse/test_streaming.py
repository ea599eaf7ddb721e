"""Results are sent while they are made, in every format, and a client that goes ends its query."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import clickhouse_connect
import psutil
import pyarrow.ipc
import pyarrow.parquet
import pytest
from clickhouse_connect.driver.exceptions import StreamFailureError

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import free_ports

ROWS = 300_000
NUMBERS = f"SELECT number FROM numbers({ROWS})"
#: Fails after more than the megabyte that is held back.
FAILS_LATE = "SELECT throwIf(number = 49000), repeat('x', 1000) FROM numbers(50000)"
SMALL_BLOCKS = {"max_block_size": "1000", "max_threads": "1"}


@pytest.fixture
async def http(clickhouse: str) -> AsyncIterator[aiohttp.ClientSession]:
    plain = {"Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(clickhouse, headers=plain) as session:
        yield session


async def until_running(http: aiohttp.ClientSession, count: int, part: str) -> None:
    """Wait until so many statements with that text are running."""
    select = "SELECT count() FROM system.processes WHERE query NOT LIKE '%system.processes%'"
    async with asyncio.timeout(60):
        while True:
            async with http.post("/", data=f"{select} AND query LIKE '%{part}%'") as response:
                if int(await response.text()) == count:
                    return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("format_name", "numbers"),
    [
        ("JSON", lambda body: [int(row["number"]) for row in json.loads(body)["data"]]),
        ("CSVWithNames", lambda body: [int(line) for line in body.decode().splitlines()[1:]]),
        ("Parquet", lambda body: pyarrow.parquet.read_table(io.BytesIO(body))["number"].to_pylist()),
        ("ArrowStream", lambda body: pyarrow.ipc.open_stream(body).read_all()["number"].to_pylist()),
        ("TabSeparated", lambda body: [int(line) for line in body.splitlines()]),
    ],
)
async def test_a_long_result_is_whole_in_every_format(
    http: aiohttp.ClientSession, format_name: str, numbers: object
) -> None:
    async with http.post("/", data=f"{NUMBERS} FORMAT {format_name}") as response:
        body = await response.read()
        assert response.headers["X-ClickHouse-Format"] == format_name
    assert callable(numbers)
    assert numbers(body) == list(range(ROWS))


async def test_a_result_comes_while_its_query_runs_and_ends_with_its_reader(
    http: aiohttp.ClientSession,
) -> None:
    async with http.post("/", data="/* endless */ FROM system.numbers SELECT number") as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert (await response.content.readline(), await response.content.readline()) == (b"0\n", b"1\n")
        await until_running(http, 1, "endless")
    await until_running(http, 0, "endless")


async def test_a_query_whose_result_is_not_asked_for_ends(http: aiohttp.ClientSession) -> None:
    async with http.head(
        "/", params={"query": "/* headers */ SELECT number FROM system.numbers"}
    ) as response:
        assert response.status == 200
    await until_running(http, 0, "headers")


async def test_a_query_ends_with_its_client_whatever_stands_before_its_first_word(
    http: aiohttp.ClientSession,
) -> None:
    count = "count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
    for before in ("-- left", "/* left */ WITH 1 AS left", "# left\n(", "/* left */ EXPLAIN ANALYZE"):
        closing = ")" if before.endswith("(") else ""
        sql = f"{before}\nSELECT 'left', {count}{closing}"
        waiting = asyncio.create_task(http.post("/", data=sql))
        await until_running(http, 1, "left")
        waiting.cancel()
        await until_running(http, 0, "left")


async def test_a_short_result_has_its_length_and_summary(http: aiohttp.ClientSession) -> None:
    async with http.post("/", data="SELECT number FROM numbers(7) FORMAT JSONEachRow") as response:
        body = await response.read()
        summary = json.loads(response.headers["X-ClickHouse-Summary"])
        assert response.headers["Content-Length"] == summary["result_bytes"] == str(len(body))
        assert (summary["read_rows"], summary["result_rows"]) == ("7", "7")


async def test_an_error_in_the_middle_of_a_result_breaks_it_off(http: aiohttp.ClientSession) -> None:
    async with http.post("/", params=SMALL_BLOCKS, data=FAILS_LATE) as response:
        assert response.status == 200
        tag = response.headers["X-ClickHouse-Exception-Tag"]
        body = b""
        with pytest.raises(aiohttp.ClientPayloadError):
            async for piece in response.content.iter_any():
                body += piece
    assert re.fullmatch("[a-z]{16}", tag)
    assert body.count(b"x" * 1000) > 40_000
    frame = re.search(
        rb"\r\n__exception__\r\n(\w+)\r\n(.*)\n(\d+) (\w+)\r\n__exception__\r\n\Z", body, re.DOTALL
    )
    assert frame is not None
    assert frame[1] == frame[4] == tag.encode()
    assert frame[2].startswith(b"Code: 395.") and int(frame[3]) == len(frame[2]) + 1


def test_clickhouse_connect_tells_such_an_error(clickhouse: str) -> None:
    parts = urlsplit(clickhouse)
    client = clickhouse_connect.get_client(host=parts.hostname, port=parts.port or 0)
    stream = client.query_rows_stream(FAILS_LATE, settings=SMALL_BLOCKS)
    with pytest.raises(StreamFailureError, match="throwIf"), stream as rows:
        list(rows)
    assert client.command("SELECT 1") == 1


@pytest.mark.parametrize("name", ["wait_end_of_query", "http_wait_end_of_query"])
async def test_a_result_that_is_waited_for_fails_as_a_whole(http: aiohttp.ClientSession, name: str) -> None:
    async with http.post("/", params={**SMALL_BLOCKS, name: "1"}, data=FAILS_LATE) as response:
        assert response.status == 500
        assert response.headers["X-ClickHouse-Exception-Code"] == "395"
        assert (await response.text()).startswith("Code: 395.")
    wide = "SELECT number, repeat('x', 1000) FROM numbers(5000)"
    async with http.post("/", params={name: "1"}, data=wide) as response:
        body = await response.read()
        assert response.headers["Content-Length"] == str(len(body))
        summary = json.loads(response.headers["X-ClickHouse-Summary"])
        assert (summary["result_rows"], summary["result_bytes"]) == ("5000", str(len(body)))
    assert [int(line[: line.index(b"\t")]) for line in body.splitlines()] == list(range(5000))


async def test_a_result_takes_a_fraction_of_its_size_in_memory(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    child = ChildProcess(clickhouse_process(tmp_path / "db", port, tmp_path / "clickhouse.log"))
    await child.start()
    try:
        process = psutil.Process(child.pid)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            small = {"max_block_size": "2000"}
            sql = "SELECT number, repeat('x', 1000) FROM numbers({})"
            async with http.post("/", params=small, data=sql.format(5000)) as response:
                await response.read()
            before = peak = process.memory_info().rss
            size = 0
            async with http.post("/", params=small, data=sql.format(300_000)) as response:
                async for piece in response.content.iter_any():
                    size += len(piece)
                    peak = max(peak, process.memory_info().rss)
        assert size > 300_000_000
        assert peak - before < size / 3
    finally:
        await child.stop()


@pytest.mark.parametrize("sql", ["SELECT sleepEachRow(0.02), number FROM numbers(50)", "SELECT 1"])
@pytest.mark.parametrize("revision", ["0", "54460"])
async def test_a_driver_has_each_block_when_it_is_made(
    http: aiohttp.ClientSession, sql: str, revision: str
) -> None:
    asked = {"default_format": "Native", "client_protocol_version": revision, "max_block_size": "1"}
    async with http.post("/", params=asked, data=sql) as response:
        whole = "Content-Length" in response.headers
        pieces = [piece async for piece in response.content.iter_any()]
    # what ends within a tenth of a second is sent as a whole, with its length and summary
    assert (whole, len(pieces) > 5) == ((True, False) if sql == "SELECT 1" else (False, True))


async def test_totals_and_extremes_are_in_a_streamed_result(http: aiohttp.ClientSession) -> None:
    sql = "SELECT number % 2 AS n, count() FROM numbers(4) GROUP BY n WITH TOTALS ORDER BY n FORMAT {}"
    for name, wanted in (("TSV", b"0\t2\n1\t2\n\n0\t4\n"), ("CSV", b"0,2\n1,2\n\n0,4\n")):
        async with http.post("/", data=sql.format(name)) as response:
            assert await response.read() == wanted
