"""A sink that notes how long each insert takes and how long its event loop is blocked.

Times are of the monotonic clock, which all processes of a machine share: the notes say what happened when.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from evometrics.schemas.service.http import HttpAddress
from evometrics.schemas.service.pace import set_pace
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import end_tasks
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.sinks.worker.batch import InsertGroup, InsertRow
from evometrics.sinks.worker.worker import run_sink
from evometrics.sinks.worker.writer import TableWriter

#: How often the event loop is asked whether it is free.
TICK_SECONDS = 0.002
#: Shorter blocks are not noted.
LEAST_SECONDS = 0.005


async def run(args: argparse.Namespace) -> None:
    """Run the sink until it is told to stop, then write the notes."""
    inserts: list[tuple[float, float]] = []
    blocks: list[tuple[float, float]] = []
    insert = TableWriter.insert

    async def timed(self: TableWriter, group: InsertGroup, rows: Sequence[InsertRow], token: str) -> None:
        began = time.monotonic()
        await insert(self, group, rows, token)
        inserts.append((began, time.monotonic() - began))

    async def tick() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            late = time.monotonic() - began - TICK_SECONDS
            if late >= LEAST_SECONDS:
                blocks.append((began, late))

    TableWriter.insert = timed  # type: ignore[method-assign]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    ticking = asyncio.create_task(tick())
    kafka, clickhouse = KafkaSettings(brokers=args.brokers), ClickHouseSettings(url=args.clickhouse_url)
    sink = SinkSettings(group=args.group, metrics_agents=args.agents)
    try:
        await run_sink(kafka, clickhouse, sink, HttpAddress(args.http_port), stop)
    finally:
        await end_tasks([ticking])
    args.notes.write_text(json.dumps({"inserts": inserts, "blocks": blocks}))


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    for name in ("--brokers", "--clickhouse-url", "--group"):
        parse.add_argument(name, required=True)
    for name in ("--http-port", "--agents"):
        parse.add_argument(name, type=int, required=True)
    parse.add_argument("--notes", type=Path, required=True)
    set_pace()
    asyncio.run(run(parse.parse_args()))
