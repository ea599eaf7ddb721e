"""`readers`: how long the sink's inserts take in ClickHouse beside 32 hostile readers, and without."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp

from evometrics.schemas.topics import EVOLUTION_COMPLETED
from evometrics.sinks.worker.writer import INSERT_SETTINGS
from tests.benchmarks.events import Events
from tests.benchmarks.figures import report, waits
from tests.benchmarks.peers import engine
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack
from tests.benchmarks.times import begin_of

TABLE = f"{EVOLUTION_COMPLETED.table}_rows"
READERS = 32
#: Rows of an insert, and seconds between the beginnings of two: a sink that keeps up with a busy fleet.
ROWS, EVERY_SECONDS = 2000, 0.25
SECONDS, QUICK_SECONDS = 20.0, 3.0
WARM_SECONDS = 2.0


async def run(settings: Settings) -> dict[str, Any]:
    """Measure inserts in turn, quiet and beside the readers."""
    _, rounds = settings.sized(events=0, quick_events=0)
    seconds = settings.seconds or (QUICK_SECONDS if settings.quick else SECONDS)
    each = int((seconds + WARM_SECONDS) / EVERY_SECONDS)
    count = ROWS * each * 2 * rounds
    events = Events(settings.seed, settings.agents, begin_of(count))
    taken: dict[str, list[float]] = {"quiet": [], "beside readers": []}
    async with Stack(settings.folder, with_kafka=False) as stack:
        prepared = settings.folder / "containers"
        now_ms = time.time_ns() // 1_000_000
        await asyncio.to_thread(engine.prepare, prepared, events, count, ROWS, stack.partitions, now_ms)
        left = sorted(prepared.glob("*.avro"))
        columns = (prepared / engine.COLUMNS).read_text()
        pids = stack.pids("clickhouse")
        for number in range(1, rounds + 1):
            for way, found in taken.items():
                if way != "quiet":
                    argv = ["-m", "tests.benchmarks.peers.hostile", "--readers", str(READERS)]
                    await stack.python("hostile", [*argv, "--clickhouse-url", stack.clickhouse.url])
                timed = await inserts(stack.clickhouse.url, columns, [left.pop(0) for _ in range(each)])
                found += timed[int(WARM_SECONDS / EVERY_SECONDS) :]
                if way != "quiet":
                    await stack.end("hostile", quick=True)
                say(f"readers, round {number}: inserts {way} {waits(found)} ms")
        assert stack.pids("clickhouse") == pids and not stack.broken(["clickhouse"]), "ClickHouse has ended"
        stored = await stack.number(f"SELECT count() FROM {TABLE}")
        assert stored == count, f"{stored} of {count} rows were stored"
    return report(
        readers=READERS,
        rows_per_insert=ROWS,
        seconds_between_inserts=EVERY_SECONDS,
        milliseconds_by_way=[{"way": way, **waits(found)} for way, found in taken.items()],
    )


async def inserts(url: str, columns: str, files: list[Path]) -> list[float]:
    """Post containers at an even pace; return the seconds that each took."""
    found: list[float] = []
    query = f"INSERT INTO {TABLE} ({columns}) FORMAT Avro"
    settings = {name: str(value) for name, value in INSERT_SETTINGS.items()}
    async with aiohttp.ClientSession(url) as http:
        for file in files:
            began = time.monotonic()
            body = await asyncio.to_thread(file.read_bytes)
            asked = {**settings, "query": query, "database": "evometrics"}
            asked["insert_deduplication_token"] = file.name
            async with http.post("/", params=asked, data=body) as response:
                assert response.status == 200, await response.text()
            found.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, EVERY_SECONDS - found[-1]))
    return found
