"""Readers that ask for too much: endless, huge, slow, in need of memory, and gone before the answer.

Runs until it is ended. What they are refused is part of the load; they ask again at once. The process gives
way to all others: it stands for machines of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable, Callable

import aiohttp

READER = {"user": "analyst", "database": "evometrics"}
ENDLESS = "/* endless */ SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
HUGE = "SELECT *, repeat('x', 1000) FROM numbers(1000000)"
SLOW = "SELECT number, repeat('x', 1000) FROM system.numbers"
MEMORY = "SELECT number, groupArray(number) FROM numbers(100000000) GROUP BY number FORMAT Null"
TABLES = "-- a dashboard\nSELECT agent_id, avg(performance_score) FROM evolution_metrics GROUP BY ALL"
SLOW_BYTES, SLOW_SECONDS = 1000, 1.0
PAUSE_SECONDS = 0.05

Reader = Callable[[aiohttp.ClientSession], Awaitable[None]]


async def read(http: aiohttp.ClientSession, sql: str) -> None:
    """Read an answer to its end."""
    async with http.post("/", params=READER, data=sql) as response:
        async for _ in response.content.iter_any():
            pass


async def endless(http: aiohttp.ClientSession) -> None:
    await read(http, ENDLESS)


async def gone(http: aiohttp.ClientSession) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(read(http, ENDLESS), random.uniform(0.1, 2.0))


async def huge(http: aiohttp.ClientSession) -> None:
    await read(http, HUGE)


async def slow(http: aiohttp.ClientSession) -> None:
    async with http.post("/", params=READER, data=SLOW) as response:
        async for _ in response.content.iter_chunked(SLOW_BYTES):
            await asyncio.sleep(SLOW_SECONDS)


async def memory(http: aiohttp.ClientSession) -> None:
    await read(http, MEMORY)


async def tables(http: aiohttp.ClientSession) -> None:
    await read(http, TABLES)


READERS: tuple[Reader, ...] = (endless, gone, huge, slow, memory, tables)


async def run(url: str, number: int) -> None:
    """Run that many readers, of each kind as many."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(url, connector=connector, read_bufsize=4096) as http:

        async def forever(reader: Reader) -> None:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    await reader(http)
                await asyncio.sleep(PAUSE_SECONDS)

        await asyncio.gather(*(forever(READERS[index % len(READERS)]) for index in range(number)))


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--clickhouse-url", required=True)
    parse.add_argument("--readers", type=int, required=True)
    args = parse.parse_args()
    os.nice(19)
    asyncio.run(run(args.clickhouse_url, args.readers))
