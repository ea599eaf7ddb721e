"""`scale-out`: stream and sink with one worker and with two, over 12 partitions, and what they used."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from evometrics.deploy.drain import STREAM_STAGES, Group, drain
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from tests.benchmarks import sink, stream
from tests.benchmarks.checks import check_stream, check_table
from tests.benchmarks.events import Events
from tests.benchmarks.figures import rounded, spread
from tests.benchmarks.fill import StreamFill, fill_stream, filling
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack
from tests.benchmarks.times import begin_of
from tests.benchmarks.watch import Span, work_span

PARTITIONS = 12
WORKERS = (1, 2)


async def run(settings: Settings) -> dict[str, Any]:
    """Measure both kinds with each number of workers, in turn."""
    count, rounds = settings.sized(events=600_000, quick_events=30_000)
    events = Events(settings.seed, settings.agents, begin_of(count))
    spans: dict[tuple[str, int], list[Span]] = {(k, n): [] for k in ("stream", "sink") for n in WORKERS}
    async with Stack(settings.folder, PARTITIONS) as stack:
        say(f"filling {count} completions over {PARTITIONS} partitions")
        async with filling(stack.kafka) as filler:
            fill = await fill_stream(filler, events, count)
        for number in range(1, rounds + 1):
            for (kind, workers), found in spans.items():
                measure = stream_span if kind == "stream" else sink_span
                found.append(await measure(stack, events, fill, workers, f"{kind}-{workers}-{number}"))
                say(f"{kind}, {workers} workers, round {number}: {found[-1].events_per_s:,.0f} events/s")
    rows = [row(kind, workers, found) for (kind, workers), found in spans.items()]
    return rounded({"events": count, "partitions": PARTITIONS, "agents": settings.agents, "workers": rows})


def row(kind: str, workers: int, spans: list[Span]) -> dict[str, Any]:
    """Return what is reported of one kind with so many workers; processor use is the last round's."""
    rates = spread([span.events_per_s for span in spans])
    return {"kind": kind, "workers": workers, "events_per_s": rates, "cores": spans[-1].cores}


async def stream_span(stack: Stack, events: Events, fill: StreamFill, workers: int, group: str) -> Span:
    """Measure stream workers, from when all of them work."""
    await stack.renew_topics(keep=stream.INPUTS)
    names = [f"stream-{n}" for n in range(1, workers + 1)]
    await asyncio.gather(*(stack.worker("stream", group, name) for name in names))
    ready = time.monotonic()
    samples = await stream.processed(stack, names, Group(group, STREAM_STAGES))
    for name in names:
        await stack.end(name)
    await check_stream(stack.kafka, events, fill, samples[-1].counts)
    return work_span(samples, ready)


async def sink_span(stack: Stack, events: Events, fill: StreamFill, workers: int, group: str) -> Span:
    """Measure sinks, from when all of them work; what a stream wrote before is not there for them."""
    await stack.renew_topics(keep=stream.INPUTS)
    await stack.sql(f"TRUNCATE TABLE {sink.TABLE}")
    names = [f"sink-{n}" for n in range(1, workers + 1)]
    total = fill.completed + fill.twice
    rows = str(min(sink.ROWS, total // sink.LEAST_INSERTS // workers))
    starts = (stack.worker("sink", group, name, EVOMETRICS_SINK_BATCH_ROWS=rows) for name in names)
    await asyncio.gather(*starts)
    ready = time.monotonic()
    done = drain(stack.kafka.brokers, [Group(group, [[EVOLUTION_COMPLETED.name]])], sink.SECONDS)
    samples = await sink.stored(stack, names, done)
    for name in names:
        await stack.end(name)
    await asyncio.to_thread(check_table, stack.clickhouse.url, events, fill.completed, fill.twice)
    return work_span(samples, ready)
