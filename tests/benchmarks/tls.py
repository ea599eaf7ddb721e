"""`tls`: stream, sink and the take-over of 12 partitions, over TLS with a login beside plaintext."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from evometrics.deploy.kafka.broker import KafkaNode
from evometrics.deploy.pipeline.drain import STREAM_STAGES, ConsumerGroup, drain
from evometrics.deploy.process.child import ProcessSpec
from evometrics.deploy.process.ports import HOST, free_ports
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
from tests.support.secured import Secured, environ, make_tls, prepare_secured

PARTITIONS = 12
WAYS = ("plaintext", "TLS")
POLL_SECONDS = 0.01
TAKE_OVERS = 3


class SecuredStack(Stack):
    """A stack whose broker has a listener with TLS and SCRAM-SHA-512 beside the plaintext one."""

    secured: Secured

    async def node(self, nodes: tuple[KafkaNode, ...], logs: Path) -> ProcessSpec:
        """Write the broker's files, and return how to run it."""
        tls = make_tls(self.folder / "tls")
        (port,) = free_ports(1)
        addresses = {"PLAINTEXT": nodes[0].address, "SASL_SSL": f"{HOST}:{port}"}
        self.secured = Secured(addresses, tls, (logs / "kafka.log",))
        return await prepare_secured(nodes[0], nodes, addresses, tls, logs)

    def way(self, name: str) -> dict[str, str]:
        """Return the variables of a worker that goes one way."""
        return environ(self.secured.settings("PLAINTEXT" if name == "plaintext" else "SASL_SSL"))


async def run(settings: Settings) -> dict[str, Any]:
    """Measure all three both ways, in turn."""
    count, rounds = settings.sized(events=300_000, quick_events=20_000)
    events = Events(settings.seed, settings.agents, begin_of(count))
    spans: dict[tuple[str, str], list[Span]] = {(k, way): [] for k in ("stream", "sink") for way in WAYS}
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    async with SecuredStack(settings.folder, PARTITIONS) as stack:
        for number in range(1, rounds + 1):
            for way in WAYS:
                fill, span, seconds = await stream_span(stack, events, count, way, f"stream-{way}-{number}")
                spans["stream", way].append(span)
                taken[way] += seconds
                spans["sink", way].append(await sink_span(stack, events, fill, way, f"sink-{way}-{number}"))
                rates = ", ".join(
                    f"{kind} {spans[kind, way][-1].events_per_s:,.0f}" for kind in ("stream", "sink")
                )
                say(f"{way}, round {number}: {rates} events/s, take-overs {[round(s, 2) for s in seconds]} s")
    return report(
        events=count,
        partitions=PARTITIONS,
        agents=settings.agents,
        events_per_s_by_way=[row(kind, way, found) for (kind, way), found in spans.items()],
        take_over_seconds=[{"way": way, **spread(found)} for way, found in taken.items()],
    )


def row(kind: str, way: str, spans: list[Span]) -> dict[str, Any]:
    """Return what is reported of one kind one way; processor use is the last round's."""
    rates = spread([span.events_per_s for span in spans])
    return {
        "kind": kind,
        "way": way,
        "events_per_s": rates,
        "cpu_us_per_event": spans[-1].cpu_us_per_event,
    }


async def stream_span(
    stack: SecuredStack, events: Events, count: int, way: str, group: str
) -> tuple[StreamFill, Span, list[float]]:
    """Measure a stream worker that has its partitions before there is anything to do, then take-overs."""
    await stack.renew_topics(keep=())
    variables = stack.way(way) | stream.PATIENT
    await stack.worker("stream", group, "stream", **variables)
    fill, samples = await stream.worked(stack, ["stream"], ConsumerGroup(group, STREAM_STAGES), events, count)
    seconds = []
    for _ in range(TAKE_OVERS):
        await stack.end("stream")
        seconds.append(await take_over(stack, group, variables))
    await stack.end("stream")
    return fill, whole_span(samples), seconds


async def take_over(stack: SecuredStack, group: str, variables: Mapping[str, str]) -> float:
    """Start a stream worker of a group; return the seconds from its first answer until it has all states."""
    starting = asyncio.create_task(stack.worker("stream", group, "stream", **variables))
    await asyncio.sleep(0)
    url = stack.ready_urls["stream"]
    began = 0.0
    try:
        while not starting.done():
            status = await asyncio.to_thread(answer, url)
            if status and not began:
                began = time.monotonic()
            if status == HTTPStatus.OK:
                return time.monotonic() - began
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await starting
    raise RuntimeError("a stream worker was ready without an answer")


def answer(url: str) -> int:
    """Return the status that a URL answers with; 0 for none."""
    try:
        with urllib.request.urlopen(url, timeout=5) as found:
            return int(found.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


async def sink_span(stack: SecuredStack, events: Events, fill: StreamFill, way: str, group: str) -> Span:
    """Measure a sink on the completions of the stream's turn, from when it works."""
    await stack.renew_topics(keep=stream.INPUTS)
    await stack.sql(f"TRUNCATE TABLE {sink.TABLE}")
    total = fill.completed + fill.twice
    rows = str(min(sink.ROWS, total // sink.LEAST_INSERTS))
    await stack.worker("sink", group, "sink", **stack.way(way), EVOMETRICS_SINK_BATCH_ROWS=rows)
    ready = time.monotonic()
    done = drain(stack.kafka, [ConsumerGroup(group, [[EVOLUTION_COMPLETED.name]])], sink.SECONDS)
    samples = await sink.stored(stack, ["sink"], done)
    await stack.end("sink")
    await asyncio.to_thread(check_table, stack.clickhouse.url, events, fill.completed, fill.twice)
    return work_span(samples, ready)
