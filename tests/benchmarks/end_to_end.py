"""`end-to-end`: nodes, Kafka, stream worker, sink and ClickHouse at once: what gets through, and how soon."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from evometrics.deploy.pipeline.drain import drain, pipeline_groups
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_METRICS, SUCCESS_RATES, TOPICS
from tests.benchmarks.checks import require
from tests.benchmarks.figures import percentile, report, waits
from tests.benchmarks.marks import Marks
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack
from tests.benchmarks.watch import cpu_seconds, resident_mb

PARTS = ("kafka", "clickhouse", "stream", "sink")
STREAM, SINK = "stream-group", "sink-group"
NODES = 2
#: More than the parts get through on a few cores: what waits is on the nodes' disks, and is waited for.
RATE, SECONDS = 20_000.0, 120.0
WARM_SECONDS, WARM_RATE = 5.0, 500.0
MARKED_RATES, MARKED_SECONDS = (1000.0, 4000.0), 30.0
QUICK_SECONDS = 8.0
LIMIT_SECONDS = 3600
#: ClickHouse has finished merging if it merges at none of this many checks, this many seconds apart.
QUIET_LOOKS, QUIET_SECONDS = 10, 0.5
FLEET = (
    f"SELECT max(attempts) FROM {SUCCESS_RATES.table} WHERE scope = 'fleet' "
    "AND window_seconds = 604800 AND window_end = (SELECT max(window_end) FROM "
    f"{SUCCESS_RATES.table} WHERE scope = 'fleet' AND window_seconds = 604800)"
)


async def run(settings: Settings) -> dict[str, Any]:
    """Offer load for a while and wait until all of it is stored and merged; then how long an event takes."""
    seconds = settings.seconds or (QUICK_SECONDS if settings.quick else SECONDS)
    marked = QUICK_SECONDS if settings.quick else MARKED_SECONDS
    async with Stack(settings.folder) as stack:
        await stack.worker("stream", STREAM, "stream")
        await stack.worker("sink", SINK, "sink")
        warm = await offered(stack, settings, "warm", WARM_RATE, WARM_SECONDS)
        load = await offered(stack, settings, "load", settings.rate or RATE, seconds)
        total = warm["recorded"] + load["recorded"]
        await check(stack, "load", total)
        say(f"end-to-end: {load['recorded']:,} events, {load['events_per_s']:,.0f}/s with all that follows")
        visible = []
        for rate in MARKED_RATES:
            await merged(stack)
            visible.append(await seen_after(stack, settings, rate, marked))
            total += visible[-1].pop("recorded")
            say(f"end-to-end: at {rate:,.0f} events/s {visible[-1]}")
        await check(stack, "latency", total)
        tables = {
            topic.table: await stack.number(f"SELECT count() FROM {topic.table}_rows") for topic in TOPICS
        }
    return report(**load, agents=settings.agents, rows=tables, visible_after=visible)


async def offered(stack: Stack, settings: Settings, name: str, rate: float, seconds: float) -> dict[str, Any]:
    """Offer load from several nodes; return what got through, from the first call to the last row stored."""
    before = cpu_seconds(stack.pids(*PARTS))
    started = time.time()
    nodes = [node(stack, settings, f"{name}-{n}", rate / NODES, seconds) for n in range(1, NODES + 1)]
    told = await asyncio.gather(*nodes)
    await drained(stack)
    took = time.time() - min(each["began"] for each in told)
    recorded = sum(each["recorded"] for each in told)
    cpu = {part: used - before[part] for part, used in cpu_seconds(stack.pids(*PARTS)).items()}
    cpu["nodes"] = sum(each["cpu_seconds"] for each in told)
    return {
        "events_per_s": recorded / took,
        "offered_per_s": rate,
        "offered_seconds": max(each["recorded_seconds"] for each in told),
        "recorded": recorded,
        "recorded_per_s": sum(each["recorded"] / each["recorded_seconds"] for each in told),
        "seconds_with_drain": took,
        "seconds_with_start": time.time() - started,
        "record_p99_ms": max(each["waits"]["p99_ms"] for each in told),
        "cpu_us_per_event": {part: used / recorded * 1e6 for part, used in cpu.items()},
        "memory_mb": resident_mb(stack.pids(*PARTS)),
    }


async def node(
    stack: Stack, settings: Settings, name: str, rate: float, seconds: float, *more: str
) -> dict[str, Any]:
    """Run a node that records for a while."""
    argv = ["-m", "tests.benchmarks.node", "--node", name, "--brokers", stack.kafka.brokers]
    argv += ["--folder", str(stack.folder), "--seed", str(settings.seed), "--agents", str(settings.agents)]
    argv += ["--rate", str(rate), "--seconds", str(seconds), *more]
    found: dict[str, Any] = await stack.job(name, argv, LIMIT_SECONDS)
    return found


async def drained(stack: Stack) -> None:
    """Wait until everything recorded is processed and stored."""
    await drain(stack.kafka, pipeline_groups(STREAM, SINK), LIMIT_SECONDS)


async def merged(stack: Stack) -> None:
    """Wait until ClickHouse has merged what came before; what is measured next does not begin amid that."""
    looks = 0
    while looks < QUIET_LOOKS:
        looks = 0 if await stack.number("SELECT count() FROM system.merges") else looks + 1
        await asyncio.sleep(QUIET_SECONDS)


async def check(stack: Stack, when: str, total: int) -> None:
    """Check that each of `total` events is stored once, with its metrics, and in the fleet's success rate.

    The windows are long enough that the newest one of 7 days holds all events of a run. Raises `WorkNotDone`.
    """
    raw, metrics = EVOLUTION_COMPLETED.table, EVOLUTION_METRICS.table
    columns = "count(), uniqExact(event_id), uniqExact(agent_id, evolution_id)"
    rows = {t: (await stack.sql(f"SELECT {columns} FROM {t}"))[0] for t in (raw, metrics)}
    for table, counted in rows.items():
        require(
            counted == [str(total)] * 3, f"{when}: {counted} rows, ids, evolutions in {table}, not {total}"
        )
    same = (
        f"SELECT count() FROM {raw} AS r INNER JOIN {metrics} AS m ON m.source_event_id = r.event_id "
        "WHERE m.fitness_trajectory = r.fitness_trajectory AND m.success = r.success"
    )
    joined = await stack.number(same)
    require(joined == total, f"{when}: metrics of {joined} events are as they must be, not {total}")
    fleet = await stack.number(FLEET)
    require(fleet == total, f"{when}: the fleet's success rate knows {fleet} events, not {total}")
    letters = await stack.number("SELECT count() FROM dead_letters")
    require(letters == 0, f"{when}: {letters} dead letters")


async def seen_after(stack: Stack, settings: Settings, rate: float, seconds: float) -> dict[str, Any]:
    """Return how long it takes from a call to the rows in ClickHouse, under steady load."""
    name = f"rate-{rate:.0f}"
    path = stack.folder / f"{name}.marks"
    marks = Marks(stack, name)
    polling = asyncio.create_task(marks.poll())
    try:
        told = await node(stack, settings, name, rate, seconds, "--marks", str(path))
        await drained(stack)
        await asyncio.sleep(1.0)
    finally:
        polling.cancel()
    raw, derived = marks.waits(path)
    return {
        "recorded": told["recorded"] + told["marks"],
        "events_per_s": told["recorded"] / told["recorded_seconds"],
        "offered_per_s": rate,
        "marks": len(raw),
        "stored": waits(raw),
        "derived": waits(derived),
        "record": told["waits"],
        "resolution_ms": 1000 * percentile(marks.gaps(), 0.5),
    }
