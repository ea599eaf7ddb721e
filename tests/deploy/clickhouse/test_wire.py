"""What clients send and ask for over HTTP: compression, revisions, forms, parameters, media types, limits."""

from __future__ import annotations

import asyncio
import gzip
import json
import lzma
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import aiohttp
import clickhouse_connect
import pytest
from clickhouse_connect.driver.external import ExternalData

from evometrics.deploy.clickhouse.blocks import BlockReader, BlockWriter
from evometrics.deploy.clickhouse.encodings import COMPRESSORS, Decompressor
from evometrics.deploy.clickhouse.native import BLOCK_INFO
from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.clickhouse.transform import through
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import free_ports

LONG = "SELECT number, repeat('x', 100) FROM numbers(50000)"
FAILS_LATE = "SELECT throwIf(number = 49000), repeat('x', 1000) FROM numbers(50000)"


@pytest.fixture
async def http(clickhouse: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that shows bodies as they were sent."""
    plain = {"Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(clickhouse, headers=plain, auto_decompress=False) as session:
        yield session


async def ask(http: aiohttp.ClientSession, sql: str, body: bytes | None = None, **parameters: str) -> bytes:
    async with http.post("/", params={"query": sql, **parameters}, data=body) as response:
        said = await response.read()
        assert response.status == 200, said
        return said


@pytest.mark.parametrize("settings", [{}, {"network_compression_method": "ZSTD"}], ids=["lz4", "zstd"])
@pytest.mark.parametrize("sql", ["SELECT 1", LONG, "SELECT 1 WHERE 0"], ids=["short", "long", "empty"])
async def test_an_answer_comes_in_clickhouses_own_compression(
    http: aiohttp.ClientSession, sql: str, settings: dict[str, str]
) -> None:
    plain = await ask(http, sql)
    packed = await ask(http, sql, compress="1", **settings)
    assert b"".join(through(iter([packed]), BlockReader())) == plain
    assert len(packed) < max(50, len(plain) / 5)


@pytest.mark.parametrize("encoding", COMPRESSORS)
async def test_an_answer_comes_in_the_encoding_that_was_asked_for(
    http: aiohttp.ClientSession, encoding: str
) -> None:
    plain = await ask(http, LONG)
    async with http.post("/", data=LONG, headers={"Accept-Encoding": encoding}) as response:
        assert response.headers["Content-Encoding"] == encoding
        packed = await response.read()
    assert b"".join(through(iter([packed]), Decompressor(encoding))) == plain
    both = {"compress": "1", "http_zlib_compression_level": "1"}
    async with http.post("/", data=LONG, params=both, headers={"Accept-Encoding": encoding}) as response:
        blocks = through(iter([await response.read()]), Decompressor(encoding))
        assert b"".join(through(blocks, BlockReader())) == plain
    off = {"enable_http_compression": "0"}
    async with http.post("/", data=LONG, params=off, headers={"Accept-Encoding": encoding}) as response:
        assert "Content-Encoding" not in response.headers and await response.read() == plain


async def test_errors_are_encoded_as_results_are(http: aiohttp.ClientSession) -> None:
    asked = {"compress": "1"}
    async with http.post(
        "/", data="SELECT nothing", params=asked, headers={"Accept-Encoding": "gzip"}
    ) as response:
        assert response.headers["X-ClickHouse-Exception-Code"] == "47"
        blocks = gzip.decompress(await response.read())
    assert b"".join(through(iter([blocks]), BlockReader())).startswith(b"Code: 47.")
    small = {"max_block_size": "1000", "max_threads": "1"}
    async with http.post("/", data=FAILS_LATE, params={**small, **asked}) as response:
        assert response.status == 200
        body = b""
        with pytest.raises(aiohttp.ClientPayloadError):
            async for piece in response.content.iter_any():
                body += piece
    text = b"".join(through(iter([body]), BlockReader()))
    assert b"__exception__" in text and b"Code: 395." in text[-2000:]


async def test_a_body_may_be_compressed_in_any_way(http: aiohttp.ClientSession) -> None:
    await ask(http, "CREATE TABLE wire_bodies (n UInt32, s String) ORDER BY n")
    rows = b"".join(b"%d\t%s\n" % (n, b"x" * 50) for n in range(5000))
    into = {"query": "INSERT INTO wire_bodies FORMAT TSV"}
    for encoding, packed in [
        *((name, b"".join(through(iter([rows]), COMPRESSORS[name](3)))) for name in COMPRESSORS),
        ("xz", lzma.compress(rows)),
    ]:
        headers = {"Content-Encoding": encoding}
        async with http.post("/", params=into, data=packed, headers=headers) as response:
            assert json.loads(response.headers["X-ClickHouse-Summary"])["written_rows"] == "5000", encoding
    for method in ("LZ4", "ZSTD", "NONE"):
        writer = BlockWriter.of({"network_compression_method": method})
        blocks = b"".join(through(iter([rows]), writer))
        await ask(http, into["query"], blocks, decompress="1")
        # the statement, too, may be in the blocks
        whole = b"".join(through(iter([into["query"].encode() + b"\n" + rows]), writer))
        async with http.post("/", params={"decompress": "1"}, data=whole) as response:
            assert response.status == 200, await response.text()
    assert await ask(http, "SELECT count() FROM wire_bodies") == b"60000\n"
    async with http.post("/", params={**into, "decompress": "1"}, data=rows) as response:
        assert response.headers["X-ClickHouse-Exception-Code"] == "89"
    async with http.post("/", params=into, data=rows, headers={"Content-Encoding": "rot13"}) as response:
        assert (response.status, response.headers["X-ClickHouse-Exception-Code"]) == (501, "48")


async def test_native_is_written_for_the_clients_revision(http: aiohttp.ClientSession) -> None:
    sql = "SELECT toDateTime(0, 'Asia/Tokyo') AS t, toLowCardinality('x') AS s FROM numbers(2)"
    for asked in ({"default_format": "Native"}, {}):
        ending = "" if asked else " FORMAT Native SETTINGS max_threads = 1"
        told = await ask(http, sql + ending, client_protocol_version="54460", **asked)
        assert told.startswith(BLOCK_INFO + b"\x02\x02\x01t\x16DateTime('Asia/Tokyo')\x00" + bytes(8))
        assert b"\x01s\x16LowCardinality(String)\x00" in told
    plain = await ask(http, "SELECT 1 AS n", default_format="Native")
    assert plain == b"\x01\x01\x01n\x05UInt8\x01"
    told = await ask(http, "SELECT 1 AS n", default_format="Native", client_protocol_version="54405")
    assert told == BLOCK_INFO + plain
    # limits on a result are not limits on what DESCRIBE says of it
    told = await ask(
        http, "SELECT 1, 2", default_format="Native", client_protocol_version="54405", max_result_rows="1"
    )
    assert told.startswith(BLOCK_INFO + b"\x02\x01")
    for other in ("SHOW DATABASES", "EXISTS TABLE nowhere", "EXPLAIN SELECT 1", "DESCRIBE TABLE system.one"):
        told = await ask(http, other, default_format="Native", client_protocol_version="54460")
        assert told.startswith(BLOCK_INFO)
    async with http.post(
        "/", data="SELECT * FROM nowhere FORMAT Native", params={"client_protocol_version": "54460"}
    ) as response:
        assert response.headers["X-ClickHouse-Exception-Code"] == "60"


async def test_a_long_native_result_is_streamed_for_a_revision(http: aiohttp.ClientSession) -> None:
    sql = "SELECT number AS n, repeat('x', 50) AS s FROM numbers(200000)"
    told = await ask(http, sql, default_format="Native", client_protocol_version="54405")
    assert len(told) > 10_000_000
    assert told.replace(BLOCK_INFO, b"") == await ask(http, sql, default_format="Native")


def test_clickhouse_connect_has_the_time_zone_of_a_date_time(clickhouse: str) -> None:
    parts = urlsplit(clickhouse)
    client = clickhouse_connect.get_client(host=parts.hostname, port=parts.port or 0)
    ((time,),) = client.query("SELECT toDateTime('2030-01-01 09:00:00', 'Asia/Tokyo')").result_rows
    assert str(time.tzinfo) == "Asia/Tokyo" and time.hour == 9


async def test_external_tables_are_there_for_one_statement(http: aiohttp.ClientSession) -> None:
    def form(structure: str, rows: bytes = b"1\ta\n2\tb\n") -> aiohttp.FormData:
        made = aiohttp.FormData(quote_fields=False)
        made.add_field("mine", rows, filename="mine", content_type="application/octet-stream")
        made.add_field("mine_structure", structure)
        return made

    sql = "SELECT sum(n), max(s), toTypeName(any(s)) FROM mine"
    wanted = b"3\tb\tString\n"
    for _ in range(2):  # in a session, too
        async with http.post(
            "/", params={"query": sql, "session_id": "wire_external"}, data=form("n UInt8, s String")
        ) as response:
            assert await response.read() == wanted
    async with http.post("/", params={"query": sql}, data=form("n UInt8, s String")) as response:
        assert await response.read() == wanted
    types = aiohttp.FormData()
    types.add_field("t", b"1,2\n", filename="t")
    asked = {"query": "SELECT _1 + _2 FROM t", "t_types": "UInt8,Decimal(9, 2)", "t_format": "CSV"}
    async with http.post("/", params=asked, data=types) as response:
        assert await response.read() == b"3\n"
    # its columns are names and types, and nothing that would be evaluated
    for structure in ("n UInt8 DEFAULT 1", "n UInt8) AS SELECT (1", ""):
        async with http.post("/", params={"query": sql}, data=form(structure)) as response:
            assert response.status == 400, await response.text()
    async with http.post("/", params={"query": sql}) as response:
        assert response.status == 404


def test_clickhouse_connect_sends_external_data(clickhouse: str) -> None:
    parts = urlsplit(clickhouse)
    client = clickhouse_connect.get_client(host=parts.hostname, port=parts.port or 0)
    data = ExternalData(file_name="ids.csv", fmt="CSV", structure="id UInt64", data=b"1\n7\n")
    found = client.query("SELECT number FROM numbers(10) WHERE number IN ids", external_data=data)
    assert found.result_rows == [(1,), (7,)]


async def test_parameters_of_any_size_come_in_a_form_or_a_url(http: aiohttp.ClientSession) -> None:
    many = json.dumps([f"{n:036}" for n in range(40_000)]).replace('"', "'")
    form = aiohttp.FormData({"query": "SELECT length({ids:Array(String)})"}, default_to_multipart=True)
    form.add_field("param_ids", many)
    async with http.post("/", data=form) as response:
        assert await response.read() == b"40000\n"
    some = quote(many[: 38 * 5000 + 2].rsplit(",", 1)[0] + "]")
    async with http.get(
        f"/?query={quote('SELECT length({ids:Array(String)})')}&param_ids={some}"
    ) as response:
        assert len(some) > 200_000 and response.status == 200, await response.text()


async def test_parameters_stand_for_values_and_tables_of_an_insert(http: aiohttp.ClientSession) -> None:
    await ask(http, "CREATE TABLE wire_parameters (n UInt32, s String) ORDER BY n")
    given = {"param_n": "7", "param_s": "it's", "param_t": "wire_parameters"}
    await ask(http, "INSERT INTO wire_parameters VALUES ({n:UInt32}, {s:String})", **given)
    await ask(http, "INSERT INTO {t:Identifier} (n, s) FORMAT TSV", b"8\tx\n", **given)
    assert await ask(http, "SELECT * FROM {t:Identifier} ORDER BY n", **given) == b"7\tit\\'s\n8\tx\n"


async def test_a_statement_may_hold_any_bytes(http: aiohttp.ClientSession) -> None:
    async with http.post("/", data=b"SELECT hex('\xff\xfe')") as response:
        assert await response.read() == b"FFFE\n"
    url = str(http._base_url) + "?query=SELECT%20hex('%FF')"
    async with http.get(aiohttp.client.URL(url, encoded=True)) as response:
        assert await response.read() == b"FF\n"


async def test_the_media_type_is_that_of_the_format_a_statement_names(http: aiohttp.ClientSession) -> None:
    for sql, format_name, media in (
        ("SELECT 1 FORMAT JSON; -- and a comment", "JSON", "application/json; charset=UTF-8"),
        ("SELECT 'FORMAT JSON' -- FORMAT JSON", "TabSeparated", "text/tab-separated-values; charset=UTF-8"),
        ("SELECT 1 FORMAT XML", "XML", "application/xml; charset=UTF-8"),
        ("SELECT 1 FORMAT CSVWithNames", "CSVWithNames", "text/csv; charset=UTF-8; header=present"),
    ):
        async with http.post("/", data=sql) as response:
            assert (response.headers["X-ClickHouse-Format"], response.headers["Content-Type"]) == (
                format_name,
                media,
            )


async def test_paths_and_methods_that_are_nothing_are_answered_as_by_a_server(
    http: aiohttp.ClientSession,
) -> None:
    for method, path, status, text in (
        ("GET", "/", 200, "Ok.\n"),
        ("HEAD", "/", 200, ""),
        ("HEAD", "/?query=SELECT+1", 200, ""),
        ("GET", "/?query=", 400, "Empty query"),
        ("POST", "/", 400, "Empty query"),
        ("GET", "/play", 404, "There is no handle /play"),
        ("POST", "/dashboard", 404, "There is no handle /dashboard"),
        ("PUT", "/", 501, "PUT is not implemented"),
        ("OPTIONS", "/", 204, ""),
    ):
        async with http.request(method, path) as response:
            assert (response.status, text in await response.text()) == (status, True), (method, path)
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_session_that_must_be_there_and_is_not_is_refused(http: aiohttp.ClientSession) -> None:
    asked = {"session_id": "wire_checked", "session_check": "1"}
    async with http.post("/", params=asked, data="SELECT 1") as response:
        assert response.headers["X-ClickHouse-Exception-Code"] == "372"
    await ask(http, "SELECT 1", session_id="wire_checked")
    assert await ask(http, "SELECT 1", **asked) == b"1\n"


async def test_a_head_that_is_too_long_or_no_http_takes_one_line_of_the_log(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    log = tmp_path / "clickhouse.log"
    child = ChildProcess(clickhouse_process(tmp_path / "db", port, log))
    await child.start()
    try:
        before = len(log.read_text().splitlines())
        heads = [
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
            b"GET /?" + b"x" * 1_100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nthis is no header\r\n\r\n",
        ]
        for head in heads:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            assert b" 400 Bad Request" in await reader.read(200)
            writer.close()
    finally:
        await child.stop()
    *lines, closed = log.read_text().splitlines()[before:]
    assert (len(lines), closed) == (len(heads), "closed")
    assert all(line.startswith("Error handling request") and len(line) < 400 for line in lines)


async def test_a_requests_own_database_is_not_its_sessions(http: aiohttp.ClientSession) -> None:
    asked = {"session_id": "wire_database", "default_format": "RawBLOB"}
    sql = "SELECT currentDatabase()"
    assert await ask(http, sql, **asked, database="system") == b"system"
    assert await ask(http, sql, **asked) == b"default"
    await ask(http, "USE information_schema", **asked, database="system")
    assert await ask(http, sql, **asked) == b"information_schema"


def test_sizes_of_blocks_are_little_endian() -> None:
    block = b"".join(through(iter([b"x"]), BlockWriter.of({"network_compression_method": "NONE"})))
    assert struct.unpack("<BII", block[16:25]) == (0x02, 10, 1)
