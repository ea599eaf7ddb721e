"""`memory`: how far results and inserts of 2 GB raise the memory of the embedded ClickHouse.

Rows of each kind come from a table as files, and go from these into an empty one, while its resident memory
is looked at every 5 ms. Merges run meanwhile. An insert counts as right if the second table's rows are the
first one's.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.benchmarks.checks import require
from tests.benchmarks.figures import report
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack

BYTES, QUICK_BYTES = 2_000_000_000, 40_000_000
FORMATS = ("TSV", "Native")
LOOK_SECONDS = 0.005
#: The engine is left alone for so long before it is looked at.
QUIET_SECONDS = 5.0
TIMEOUT = aiohttp.ClientTimeout(total=1800)


@dataclass(frozen=True)
class Kind:
    """Rows of one kind.

    Attributes:
        columns: of the table, with their types.
        values: SQL of each, for the row `number`.
        bytes_per_row: of its values, about.
    """

    columns: str
    values: str
    bytes_per_row: int


RANDOM_TEXT = "lower(hex(randomPrintableASCII({}, number)))"
KINDS = {
    "short rows": Kind("n UInt64, t String", f"number, {RANDOM_TEXT.format(95)}", 200),
    "long rows": Kind("n UInt64, t String", f"number, {RANDOM_TEXT.format(495)}", 1000),
    "ten columns": Kind(
        "n UInt64, at DateTime64(6, 'UTC'), u UUID, name LowCardinality(String), m Map(String, Float64), "
        "a Float64, b Float64, c Nullable(Float64), d Array(UInt32), t String",
        "number, toDateTime64('2026-01-01', 6, 'UTC') + number, generateUUIDv4(number), "
        "concat('agent-', toString(number % 1000)), map('x', rand64(1) / 3, 'y', rand64(2) / 7), "
        "rand64(3) / 3, rand64(4) / 7, rand64(5) / 9, range(number % 10), " + RANDOM_TEXT.format(20),
        200,
    ),
}


@dataclass
class Rise:
    """How far a process's resident memory rose above what it was, in bytes."""

    bytes: int = 0


async def run(settings: Settings) -> dict[str, Any]:
    """Measure each kind of rows in each format, out and in again."""
    size = QUICK_BYTES if settings.quick else BYTES
    found = []
    async with Stack(settings.folder, with_kafka=False) as stack:
        process = psutil.Process(stack.pids("clickhouse")["clickhouse"])
        async with aiohttp.ClientSession(stack.clickhouse.url, timeout=TIMEOUT) as http:
            for name, kind in KINDS.items():
                rows = size // kind.bytes_per_row
                say(f"filling a table with {rows:,} {name}")
                await fill(http, kind, rows)
                for format_name in FORMATS:
                    row = await measured(http, process, format_name, stack.folder / "rows")
                    say(f"{name}, {format_name}: {row}")
                    found.append({"rows": name, **row})
                await ask(http, "DROP TABLE source")
        require(not stack.broken(["clickhouse"]), "ClickHouse has ended")
    return report(megabytes_by_rows_and_format=found)


async def fill(http: aiohttp.ClientSession, kind: Kind, rows: int) -> None:
    """Make the table that rows come from."""
    await ask(http, f"CREATE TABLE source ({kind.columns}) ORDER BY n")
    await ask(http, f"INSERT INTO source SELECT {kind.values} FROM numbers({rows}) SETTINGS max_threads = 1")


async def measured(
    http: aiohttp.ClientSession, process: psutil.Process, format_name: str, file: Path
) -> dict[str, Any]:
    """Send the source's rows into a file and from there into another table."""
    async with watched(process) as result:
        began = time.monotonic()
        async with http.post("/", data=f"SELECT * FROM source FORMAT {format_name}") as answer:
            require(answer.status == 200, "the result fails")
            with file.open("wb") as out:
                async for piece in answer.content.iter_chunked(1024**2):
                    await asyncio.to_thread(out.write, piece)
        result_seconds = time.monotonic() - began
    await ask(http, "CREATE TABLE target AS source")
    async with watched(process) as insert:
        began = time.monotonic()
        query = {"query": f"INSERT INTO target FORMAT {format_name}"}
        async with http.post("/", params=query, data=pieces(file)) as answer:
            require(answer.status == 200, await answer.text())
        insert_seconds = time.monotonic() - began
    told = [await ask(http, f"SELECT count(), sum(cityHash64(*)) FROM {t}") for t in ("source", "target")]
    require(told[0] == told[1], f"other rows were inserted: {told}")
    await ask(http, "DROP TABLE target")
    return {
        "format": format_name,
        "body_mb": (await asyncio.to_thread(file.stat)).st_size / 1e6,
        "result_mb": result.bytes / 1e6,
        "result_s": result_seconds,
        "insert_mb": insert.bytes / 1e6,
        "insert_s": insert_seconds,
    }


@contextlib.asynccontextmanager
async def watched(process: psutil.Process) -> AsyncIterator[Rise]:
    """Look at a process's memory beside what is done within, from a thread of its own."""
    await asyncio.sleep(QUIET_SECONDS)
    rise, before, ended = Rise(), process.memory_info().rss, threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            rise.bytes = max(rise.bytes, process.memory_info().rss - before)

    looking = asyncio.create_task(asyncio.to_thread(look))
    try:
        yield rise
    finally:
        ended.set()
        await looking


async def pieces(file: Path) -> AsyncIterator[bytes]:
    """Read a file a megabyte at a time."""
    with file.open("rb") as data:
        while piece := await asyncio.to_thread(data.read, 1024**2):
            yield piece


async def ask(http: aiohttp.ClientSession, sql: str) -> str:
    """Return a statement's answer."""
    async with http.post("/", data=sql) as answer:
        text = await answer.text()
        require(answer.status == 200, f"{sql}: {text}")
        return text
