"""Inserts into chDB over HTTP: Avro containers, one block each, once per token, kept through a kill."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import clickhouse_connect
import fastavro
import psutil
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import free_ports

SCHEMA = {
    "type": "record",
    "name": "Row",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "n", "type": "long"},
        {"name": "kpis", "type": {"type": "map", "values": "double"}},
        {"name": "note", "type": ["null", "string"]},
    ],
}
COLUMNS = "n UInt64, text String, kpis Map(String, Float64), note Nullable(String), added UInt8 DEFAULT 42"
TABLE = f"({COLUMNS}) ORDER BY n SETTINGS non_replicated_deduplication_window = 1000"


def container(first: int, count: int, text: str = "x") -> bytes:
    """An Avro container of `count` rows numbered from `first`, in blocks of some hundred rows."""
    rows: list[dict[str, Any]] = [
        {"n": n, "text": text, "kpis": {"accuracy": n / 2}, "note": None} for n in range(first, first + count)
    ]
    out = io.BytesIO()
    fastavro.writer(out, SCHEMA, rows)
    return out.getvalue()


@pytest.fixture
def client(clickhouse: str) -> Client:
    parts = urlsplit(clickhouse)
    return clickhouse_connect.get_client(host=parts.hostname, port=parts.port or 0)


def test_avro_columns_match_by_name_and_missing_ones_take_defaults(client: Client) -> None:
    client.command(f"CREATE TABLE avro_names {TABLE}")
    summary = client.raw_insert("avro_names", insert_block=container(0, 3), fmt="Avro")
    assert summary.written_rows == 3
    assert client.query("SELECT n, text, kpis, note, added FROM avro_names ORDER BY n").result_rows == [
        (n, "x", {"accuracy": n / 2}, None, 42) for n in range(3)
    ]


def test_a_large_body_is_one_part_and_its_token_counts_once(client: Client) -> None:
    client.command(f"CREATE TABLE avro_once {TABLE}")
    client.command("SYSTEM STOP MERGES avro_once")
    body = container(0, 60_000, text="x" * 200)
    assert len(body) > 12_000_000
    for token in ("plan-1", "plan-1", "plan-2"):
        settings = {"insert_deduplication_token": token}
        client.raw_insert("avro_once", insert_block=body, fmt="Avro", settings=settings)
    parts = "SELECT rows FROM system.parts WHERE table = 'avro_once' AND active"
    assert client.query(parts).result_rows == [(60_000,), (60_000,)]
    # The token decides, not the rows.
    client.raw_insert(
        "avro_once",
        insert_block=container(90_000, 5),
        fmt="Avro",
        settings={"insert_deduplication_token": "plan-2"},
    )
    assert client.command("SELECT count() FROM avro_once") == 120_000


def test_a_body_that_breaks_off_stores_nothing(client: Client) -> None:
    client.command(f"CREATE TABLE avro_broken {TABLE}")
    body = container(0, 20_000)
    with pytest.raises(DatabaseError):
        client.raw_insert("avro_broken", insert_block=body[: len(body) - 1000], fmt="Avro")
    with pytest.raises(DatabaseError):
        client.raw_insert("avro_broken", insert_block=b"not avro", fmt="Avro")
    assert client.command("SELECT count() FROM avro_broken") == 0
    client.raw_insert(
        "avro_broken", insert_block=body, fmt="Avro", settings={"insert_deduplication_token": "t"}
    )
    assert client.command("SELECT count() FROM avro_broken") == 20_000


def test_an_error_that_comes_after_parsing_is_told_and_nothing_is_stored(client: Client) -> None:
    client.command(f"CREATE TABLE avro_checked ({COLUMNS}, CONSTRAINT known CHECK text != 'bad') ORDER BY n")
    with pytest.raises(DatabaseError) as caught:
        client.raw_insert("avro_checked", insert_block=container(0, 20_000, "bad"), fmt="Avro")
    assert caught.value.code == 469
    client.command("ALTER TABLE avro_checked ADD CONSTRAINT readable CHECK isValidUTF8(text)")
    unreadable = container(0, 1, "xy").replace(b"\x04xy", b"\x04\xff\xfe")
    with pytest.raises(DatabaseError) as caught:
        client.raw_insert("avro_checked", insert_block=unreadable, fmt="Avro")
    # the message has the bytes in it, and Python 3.11.2 drops all of such a message
    assert caught.value.code == (117 if sys.version_info < (3, 11, 3) else 469)
    assert client.command("SELECT count() FROM avro_checked") == 0


@pytest.mark.parametrize(
    ("format_name", "body"),
    [("JSONEachRow", '{"n": 5, "text": "é"}\n'), ("CSV", '5,"é",{},\\N,1\n'), ("TSV", "5\té\t{}\t\\N\t1\n")],
)
def test_text_formats_are_taken_too(client: Client, format_name: str, body: str) -> None:
    client.command(f"CREATE TABLE text_{format_name} {TABLE}")
    client.raw_insert(f"text_{format_name}", insert_block=body, fmt=format_name)
    assert client.query(f"SELECT n, text FROM text_{format_name}").result_rows == [(5, "é")]


async def test_many_writers_and_readers_at_a_time_lose_nothing(clickhouse: str, client: Client) -> None:
    client.command(f"CREATE TABLE avro_many {TABLE}")
    parts = urlsplit(clickhouse)
    shared = await clickhouse_connect.get_async_client(host=parts.hostname, port=parts.port)
    counts: list[int] = []

    async def write(writer: int) -> None:
        for batch in range(10):
            first = writer * 10_000 + batch * 1000
            await shared.raw_insert("avro_many", insert_block=container(first, 1000), fmt="Avro")

    async def read() -> None:
        for _ in range(20):
            counts.append((await shared.query("SELECT count() FROM avro_many")).result_rows[0][0])

    await asyncio.gather(*(write(n) for n in range(8)), *(read() for _ in range(4)))
    told = await shared.query("SELECT count(), uniqExact(n), sum(n) FROM avro_many")
    await shared.close()
    assert told.result_rows == [(80_000, 80_000, sum(range(80_000)))]
    # Each insert is seen whole or not at all.
    assert all(count % 1000 == 0 for count in counts)


async def test_acknowledged_rows_outlive_kill_9_and_their_token_still_counts(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    child = ChildProcess(clickhouse_process(tmp_path / "db", port, tmp_path / "clickhouse.log"))
    acknowledged = 0

    def insert(batch: int) -> None:
        client = clickhouse_connect.get_client(host="127.0.0.1", port=port)
        settings = {"insert_deduplication_token": f"batch-{batch}"}
        client.raw_insert("kept", insert_block=container(batch * 500, 500), fmt="Avro", settings=settings)

    await child.start()
    try:
        create = f"CREATE TABLE kept {TABLE}"
        await asyncio.to_thread(
            lambda: clickhouse_connect.get_client(host="127.0.0.1", port=port).command(create)
        )
        for _ in range(3):
            for _ in range(5):
                await asyncio.to_thread(insert, acknowledged)
                acknowledged += 1
            child.kill()
            await child.start()
            # The client that saw no answer would send its last batch again.
            await asyncio.to_thread(insert, acknowledged - 1)
            client = await asyncio.to_thread(clickhouse_connect.get_client, host="127.0.0.1", port=port)
            told = client.query("SELECT count(), uniqExact(n), max(n) FROM kept").result_rows
            assert told == [(acknowledged * 500, acknowledged * 500, acknowledged * 500 - 1)]
    finally:
        await child.stop()


async def test_a_body_on_the_disk_is_inserted_in_blocks_with_little_memory(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    child = ChildProcess(clickhouse_process(tmp_path / "db", port, tmp_path / "clickhouse.log"))
    await child.start()
    rows = b"".join(b"%d\t%s\n" % (n, b"x" * 990) for n in range(1000))

    async def body(megabytes: int, *, cut: bool = False) -> AsyncIterator[bytes]:
        yield b"INSERT INTO large (n, t) FORMAT TSV\n"
        for _ in range(megabytes):
            yield rows
        if cut:
            raise OSError("the client has gone")

    try:
        process = psutil.Process(child.pid)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            await http.post("/", data="CREATE TABLE large (n UInt64, t String) ORDER BY n")
            await http.post("/", data="SYSTEM STOP MERGES large")
            with pytest.raises(aiohttp.ClientError):
                await http.post("/", data=body(20, cut=True))
            async with http.post("/", data=body(20)) as response:  # on the disk, and one block
                assert response.status == 200
            before = peak = process.memory_info().rss
            inserting = asyncio.create_task(http.post("/", data=body(200)))
            while not inserting.done():
                peak = max(peak, process.memory_info().rss)
                await asyncio.sleep(0.005)
            assert (await inserting).status == 200
            async with http.post("/", data="SELECT count(), sum(n) FROM large") as response:
                assert await response.text() == f"220000\t{220 * sum(range(1000))}\n"
            asked = "SELECT rows FROM system.parts WHERE table = 'large' AND active ORDER BY min_block_number"
            async with http.post("/", data=asked) as response:
                parts = [int(line) for line in (await response.text()).splitlines()]
            assert parts[0] == 20_000 and max(parts[1:]) < 50_000
            # Text behind such a statement is no statement of its own.
            async with http.post("/", data=iterate([b"SELECT 1 -- ", b" " * 17_000_000])) as response:
                assert response.status == 400
        assert peak - before < 150_000_000
    finally:
        await child.stop()


async def iterate(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
