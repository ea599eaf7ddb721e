"""`scale-out`: stream and sink with one worker and with two, over 12 partitions, and what they used."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from evometrics.deploy.pipeline.drain import STREAM_STAGES, ConsumerGroup, drain
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from tests.benchmarks import sink, stream
from tests.benchmarks.checks import check_table
from tests.benchmarks.events import Events
from tests.benchmarks.figures import report, spread
from tests.benchmarks.fill import StreamFill
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack
from tests.benchmarks.times import begin_of
from tests.benchmarks.watch import Span, whole_span, work_span

PARTITIONS = 12
WORKERS = (1, 2)


async def run(settings: Settings) -> dict[str, Any]:
    """Measure both kinds with each number of workers, in turn."""
    count, rounds = settings.sized(events=600_000, quick_events=30_000)
    events = Events(settings.seed, settings.agents, begin_of(count))
    spans: dict[tuple[str, int], list[Span]] = {(k, n): [] for k in ("stream", "sink") for n in WORKERS}
    async with Stack(settings.folder, PARTITIONS) as stack:
        for number in range(1, rounds + 1):
            for (kind, workers), found in spans.items():
                group = f"{kind}-{workers}-{number}"
                if kind == "stream":
                    fill, span = await stream_span(stack, events, count, workers, group)
                else:
                    span = await sink_span(stack, events, fill, workers, group)
                found.append(span)
                say(f"{kind}, {workers} workers, round {number}: {found[-1].events_per_s:,.0f} events/s")
    rows = [row(kind, workers, found) for (kind, workers), found in spans.items()]
    return report(events=count, partitions=PARTITIONS, agents=settings.agents, workers=rows)


def row(kind: str, workers: int, spans: list[Span]) -> dict[str, Any]:
    """Return what is reported of one kind with that number of workers; processor use is the last round's."""
    rates = spread([span.events_per_s for span in spans])
    return {"kind": kind, "workers": workers, "events_per_s": rates, "cores": spans[-1].cores}


async def stream_span(
    stack: Stack, events: Events, count: int, workers: int, group: str
) -> tuple[StreamFill, Span]:
    """Measure stream workers that all have their partitions before there is anything to do."""
    await stack.renew_topics(keep=())
    names = [f"stream-{n}" for n in range(1, workers + 1)]
    await asyncio.gather(*(stack.worker("stream", group, name, **stream.PATIENT) for name in names))
    fill, samples = await stream.worked(stack, names, ConsumerGroup(group, STREAM_STAGES), events, count)
    for name in names:
        await stack.end(name)
    return fill, whole_span(samples)


async def sink_span(stack: Stack, events: Events, fill: StreamFill, workers: int, group: str) -> Span:
    """Measure sinks on the completions of the last stream's turn, from when all of them work."""
    await stack.renew_topics(keep=stream.INPUTS)
    await stack.sql(f"TRUNCATE TABLE {sink.TABLE}")
    names = [f"sink-{n}" for n in range(1, workers + 1)]
    total = fill.completed + fill.twice
    rows = str(min(sink.ROWS, total // sink.LEAST_INSERTS // workers))
    starts = (stack.worker("sink", group, name, EVOMETRICS_SINK_BATCH_ROWS=rows) for name in names)
    await asyncio.gather(*starts)
    ready = time.monotonic()
    done = drain(stack.kafka, [ConsumerGroup(group, [[EVOLUTION_COMPLETED.name]])], sink.SECONDS)
    samples = await sink.stored(stack, names, done)
    for name in names:
        await stack.end(name)
    await asyncio.to_thread(check_table, stack.clickhouse.url, events, fill.completed, fill.twice)
    return work_span(samples, ready)
