"""`growth`: what an event costs as agents become more and as events pile up; memory, and bytes on disk."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from typing import Any

from evometrics.deploy.pipeline.drain import drain, pipeline_groups
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_METRICS, TOPICS
from tests.benchmarks.checks import Expected, check_rates, rates_of, require
from tests.benchmarks.events import CHUNK, Events
from tests.benchmarks.figures import report
from tests.benchmarks.fill import Filler, fill_completed, filling
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack, ask
from tests.benchmarks.times import begin_of
from tests.benchmarks.watch import cpu_seconds, resident_mb

PARTS = ("kafka", "clickhouse", "stream", "sink")
STREAM, SINK = "stream-group", "sink-group"
RATE = 10_000.0
FLEETS, QUICK_FLEETS = (1000, 10_000, 100_000), (100, 1000)
MILESTONES, QUICK_MILESTONES = (1_000_000, 5_000_000, 10_000_000), (10_000, 30_000)
#: Events that are fed and waited for at a time; a look at the costs is one such block.
BLOCK, QUICK_BLOCK = 250_000, 10_000
SAMPLED_ROWS = 10_000
LIMIT_SECONDS = 3600
#: Points of the memory curve in the report, at most.
POINTS = 40


async def run(settings: Settings) -> dict[str, Any]:
    """Look at costs by number of agents, each from an empty start, then by number of events."""
    rate = settings.rate or RATE
    block = QUICK_BLOCK if settings.quick else BLOCK
    by_agents = []
    for agents in settings.fleets or (QUICK_FLEETS if settings.quick else FLEETS):
        count = settings.events or block
        events = Events(settings.seed, agents, begin_of(2 * count))
        async with Stack(settings.folder / f"agents-{agents}") as stack:
            await workers(stack)
            async with filling(stack.kafka) as filler:
                await fed(stack, filler, events, 0, count, rate)
                by_agents.append({"agents": agents, **await fed(stack, filler, events, count, count, rate)})
            await check(stack, events, 2 * count)
        shutil.rmtree(settings.folder / f"agents-{agents}")
        say(f"growth: {by_agents[-1]}")
    milestones = settings.milestones or (QUICK_MILESTONES if settings.quick else MILESTONES)
    events = Events(settings.seed, settings.agents, begin_of(milestones[-1]))
    by_events: list[dict[str, Any]] = []
    async with Stack(settings.folder / "events") as stack:
        await workers(stack)
        curve = Curve(stack)
        sampling = asyncio.create_task(curve.sample())
        async with filling(stack.kafka) as filler:
            for first in range(0, milestones[-1], block):
                count = min(block, milestones[-1] - first)
                found = await fed(stack, filler, events, first, count, rate)
                curve.events = first + count
                say(f"growth: {first + count:,} events, {found}")
                if any(first < milestone <= first + count for milestone in milestones):
                    by_events.append({"events": first + count, **found})
        sampling.cancel()
        await check(stack, events, milestones[-1])
        sizes = await table_sizes(stack)
    facts = {"agents": settings.agents, "offered_per_s": rate, "events_per_s": by_events[-1]["events_per_s"]}
    costs = {"by_agents": by_agents, "by_events": by_events}
    return report(**facts, **costs, memory_mb=curve.thinned(), bytes_per_row=sizes)


async def workers(stack: Stack) -> None:
    """Start one stream worker and one sink."""
    await stack.worker("stream", STREAM, "stream")
    await stack.worker("sink", SINK, "sink")


async def fed(
    stack: Stack, filler: Filler, events: Events, first: int, count: int, rate: float
) -> dict[str, Any]:
    """Send a block at a steady rate and wait until it is processed and stored; return what it cost."""
    before, began = cpu_seconds(stack.pids(*PARTS)), time.monotonic()
    for at in range(first, first + count, CHUNK):
        await fill_completed(filler, events, at, min(CHUNK, first + count - at))
        await asyncio.sleep(max(0.0, began + (at - first) / rate - time.monotonic()))
    await drain(stack.kafka, pipeline_groups(STREAM, SINK), LIMIT_SECONDS)
    seconds = time.monotonic() - began
    used = cpu_seconds(stack.pids(*PARTS))
    cpu = {part: round((used[part] - before[part]) / count * 1e6, 2) for part in PARTS}
    return {
        "events_per_s": round(count / seconds),
        "cpu_us": cpu,
        "memory_mb": resident_mb(stack.pids(*PARTS)),
    }


async def check(stack: Stack, events: Events, count: int) -> None:
    """Check that each event is stored once with its metrics, and is in the success rates."""
    for table in (EVOLUTION_COMPLETED.table, EVOLUTION_METRICS.table):
        (counted,) = await stack.sql(f"SELECT count(), uniq(event_id) FROM {table}_rows")
        require(int(counted[0]) == count, f"{counted[0]} rows in {table}_rows, not {count}")
    expected = Expected(events, count)
    check_rates(await rates_of(stack.kafka, expected), expected)


class Curve:
    """Memory of every part over time."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.events = 0
        self.rows: list[dict[str, Any]] = []

    async def sample(self, every: float = 2.0) -> None:
        """Look until cancelled."""
        began = time.monotonic()
        while True:
            memory = resident_mb(self.stack.pids(*PARTS))
            self.rows.append({"seconds": round(time.monotonic() - began), "events": self.events, **memory})
            await asyncio.sleep(every)

    def thinned(self) -> list[dict[str, Any]]:
        """Return enough of the samples for the curve to be read, the last among them."""
        step = -(-len(self.rows) // POINTS) or 1
        return self.rows[:-1:step] + self.rows[-1:]


async def table_sizes(stack: Stack) -> list[dict[str, Any]]:
    """Return what a row takes in ClickHouse, by table, beside the same row as a line of JSON."""
    query = (
        "SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts "
        "WHERE active AND database = 'evometrics' GROUP BY table ORDER BY table"
    )
    sizes = {table: (int(rows), int(size)) for table, rows, size in await stack.sql(query)}
    found = []
    for topic in TOPICS:
        rows, size = sizes.get(f"{topic.table}_rows", (0, 0))
        if rows:
            lines = f"SELECT * FROM {topic.table} LIMIT {SAMPLED_ROWS} FORMAT JSONEachRow"
            body = (await asyncio.to_thread(ask, stack.clickhouse.url, lines)).splitlines()
            as_json = sum(len(json.dumps(json.loads(line), separators=(",", ":"))) for line in body) / len(
                body
            )
            own = {"table": topic.table, "rows": rows, "clickhouse": size / rows, "json": as_json}
            found.append({**own, "json_is": as_json * rows / size})
    return found
