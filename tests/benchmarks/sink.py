"""`sink`: completions from Kafka into ClickHouse: by our sink, by two ordinary ones, by ClickHouse alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from evometrics.deploy.pipeline.drain import POLL_SECONDS, ConsumerGroup, drain
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from tests.benchmarks.checks import check_table
from tests.benchmarks.events import Events
from tests.benchmarks.figures import Round, compared
from tests.benchmarks.fill import fill_completed, filling
from tests.benchmarks.peers import engine
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack
from tests.benchmarks.times import begin_of
from tests.benchmarks.watch import Sample, watched, work_span

TABLE = f"{EVOLUTION_COMPLETED.table}_rows"
CONTENDERS = ("evometrics", "native", "jsoneachrow", "engine")
NEEDS = {"native": "confluent_kafka"}
#: Rows of an insert at most: our default. Smaller where few events would make few inserts.
ROWS, LEAST_INSERTS = 50_000, 8
SECONDS = 1800


async def run(settings: Settings) -> dict[str, Any]:
    """Measure all contenders on the same filled topic, into the same table, in turn."""
    count, rounds = settings.sized(events=400_000, quick_events=40_000)
    rows = min(ROWS, count // LEAST_INSERTS)
    events = Events(settings.seed, settings.agents, begin_of(count))
    measured: dict[str, list[Round]] = {name: [] for name in CONTENDERS}
    async with Stack(settings.folder) as stack:
        say(f"filling {count} completions")
        async with filling(stack.kafka) as filler:
            await fill_completed(filler, events, 0, count)
        now_ms = time.time_ns() // 1_000_000
        prepared = settings.folder / "containers"
        await asyncio.to_thread(engine.prepare, prepared, events, count, rows, stack.partitions, now_ms)
        for number in range(1, rounds + 1):
            for name, found in measured.items():
                found.append(await one(stack, events, count, rows, name, f"{name}-{number}"))
                rate = found[-1].events_per_s
                say(f"sink, round {number}: {name} {rate:,.0f} events/s, rows as they must be")
    facts = {"events": count, "agents": settings.agents, "rows_per_insert": rows}
    return compared("evometrics", measured, **facts)


async def one(stack: Stack, events: Events, count: int, rows: int, name: str, group: str) -> Round:
    """Measure one contender, from its first stored rows to its last, and check what is stored."""
    await stack.sql(f"TRUNCATE TABLE {TABLE}")
    if name == "evometrics":
        await stack.worker("sink", group, name, EVOMETRICS_SINK_BATCH_ROWS=str(rows))
    elif name == "engine":
        argv = ["-m", "tests.benchmarks.peers.engine", "--folder", str(stack.folder / "containers")]
        await stack.python(name, [*argv, "--clickhouse-url", stack.clickhouse.url])
    else:
        argv = ["-m", "tests.benchmarks.peers.kafka_sink", name, "--brokers", stack.kafka.brokers]
        argv += ["--group", group, "--rows", str(rows), "--clickhouse-url", stack.clickhouse.url]
        await stack.python(name, argv)
    reads = ConsumerGroup(group, [[EVOLUTION_COMPLETED.name]])
    done = posted(stack) if name == "engine" else drain(stack.kafka, [reads], SECONDS)
    samples = await stored(stack, [name], done)
    await stack.end(name, quick=name != "evometrics")
    await asyncio.to_thread(check_table, stack.clickhouse.url, events, count)
    span = work_span(samples)
    details = {"seconds": span.seconds, "cores": span.cores, "events": count}
    return Round(span.events_per_s, span.cpu_us_per_event, details)


async def stored(stack: Stack, names: list[str], done: Awaitable[None]) -> list[Sample]:
    """Watch sinks until all is stored and committed."""

    async def count() -> tuple[int, ...]:
        return (await stack.number(f"SELECT count() FROM {TABLE}"),)

    pids = stack.pids("kafka", "clickhouse", *names)
    return await watched(count, pids, done, lambda: stack.broken(names), lambda: stack.tails(names))


async def posted(stack: Stack) -> None:
    """Return once the engine's containers are all posted."""
    mark = stack.folder / "containers" / "done"
    while not mark.exists():  # noqa: ASYNC110 - another process makes the file
        await asyncio.sleep(POLL_SECONDS)
    mark.unlink()
