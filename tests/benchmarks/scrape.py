"""`scrape`: what Prometheus costs a sink: size and time of a scrape, inserts beside it, the event loop.

Each fleet has a sink of its own, which first stores a snapshot and an evolution of every agent. Then more
events are offered all the time, and phases with and without scrapes alternate.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
import random
import time
import urllib.request
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evometrics.deploy.pipeline.drain import ConsumerGroup, drain
from evometrics.deploy.process.ports import HOST, free_ports
from evometrics.schemas.events import Event, KpiSnapshot
from evometrics.schemas.kpis.performance import KPI_NAMES
from evometrics.schemas.service.beginnings import SCRAPE_HEADER
from evometrics.schemas.topics import EVOLUTION_METRICS, KPI_SNAPSHOTS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.settings import SinkSettings
from tests.benchmarks.figures import percentile, report
from tests.benchmarks.fill import Filler, filling
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack
from tests.support.sinks import common, evolution

READS = (KPI_SNAPSHOTS.name, EVOLUTION_METRICS.name)
WITHOUT, WITH = "without scrapes", "with scrapes"
SCRAPE_SECONDS = 5.0
PHASE_SECONDS, QUICK_PHASE_SECONDS = 60.0, 10.0
RATE = 400.0
OFFER_SECONDS = 0.25
STORE_SECONDS = 900
WIRE = WireFormat()


@dataclass(frozen=True)
class Fleet:
    """Agents of which events come, and the number that the sink may show."""

    agents: int
    shown: int


FLEETS = (Fleet(100_000, SinkSettings().metrics_agents), Fleet(30_000, 30_000))
QUICK_FLEETS = (Fleet(2000, 100), Fleet(1000, 1000))


@dataclass
class Measured:
    """What was seen of the phases of a kind."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    bytes: int = 0
    packed: int = 0

    def within(self, notes: Iterable[tuple[float, float]]) -> list[float]:
        """Return how long what began in these phases took."""
        return [lasted for began, lasted in notes if any(a <= began < b for a, b in self.spans)]


async def run(settings: Settings) -> dict[str, Any]:
    """Measure each fleet."""
    seconds = settings.seconds or (QUICK_PHASE_SECONDS if settings.quick else PHASE_SECONDS)
    rounds = settings.rounds or (1 if settings.quick else 3)
    fleets = []
    for fleet in QUICK_FLEETS if settings.quick else FLEETS:
        async with Stack(settings.folder / f"agents-{fleet.agents}") as stack:
            fleets.append(await one(stack, fleet, seconds, rounds, settings.rate or RATE, settings.seed))
        say(f"scrape: {fleets[-1]}")
    return report(scrape_every_s=SCRAPE_SECONDS, phase_s=seconds, rounds=rounds, fleets=fleets)


async def one(
    stack: Stack, fleet: Fleet, seconds: float, rounds: int, rate: float, seed: int
) -> dict[str, Any]:
    """Return the figures of one fleet."""
    notes, (port,) = stack.folder / "notes.json", free_ports(1)
    argv = ["-m", "tests.benchmarks.timed_sink", "--brokers", stack.kafka.brokers, "--group", "scraped"]
    argv += ["--clickhouse-url", stack.clickhouse.url, "--http-port", str(port), "--notes", str(notes)]
    argv += ["--agents", str(fleet.shown)]
    sink = await stack.python("sink", argv, {}, f"http://{HOST}:{port}/health/ready")
    drawn = random.Random(seed)
    found = {WITHOUT: Measured(), WITH: Measured()}
    async with filling(stack.kafka) as filler:
        await offer(filler, range(fleet.agents), drawn)
        await drain(stack.kafka, [ConsumerGroup("scraped", [list(READS)])], STORE_SECONDS)
        async with offering(filler, fleet, rate, drawn):
            for kind in itertools.chain.from_iterable([(WITHOUT, WITH)] * rounds):
                await phase(port, found[kind], kind == WITH, seconds)
    await sink.stop()
    return figures(fleet, found, notes)


def figures(fleet: Fleet, found: dict[str, Measured], notes: Path) -> dict[str, Any]:
    """Return what is reported of a fleet."""
    said = json.loads(notes.read_text())
    p99 = {kind: percentile(each.within(said["inserts"]), 0.99) for kind, each in found.items()}
    blocked = {kind: max(each.within(said["blocks"]), default=0.0) for kind, each in found.items()}
    scraped = found[WITH]
    return {
        "agents": fleet.agents,
        "shown": fleet.shown,
        "scrape_mb": scraped.bytes / 1e6,
        "gzipped_mb": scraped.packed / 1e6,
        "scrape_s_median": percentile(scraped.seconds, 0.5),
        "scrape_s_max": max(scraped.seconds),
        "inserts": {kind: len(each.within(said["inserts"])) for kind, each in found.items()},
        "insert_p99_ms": {kind: 1000 * each for kind, each in p99.items()},
        "insert_p99_ratio": p99[WITH] / p99[WITHOUT],
        "loop_blocked_ms": {kind: 1000 * each for kind, each in blocked.items()},
    }


async def phase(port: int, found: Measured, scraping: bool, seconds: float) -> None:
    """Let a phase pass, with a scrape every `SCRAPE_SECONDS` or none."""
    began = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        if scraping:
            body = await asyncio.to_thread(scrape, port)
            found.seconds.append(time.monotonic() - now)
            found.packed, found.bytes = len(body), len(await asyncio.to_thread(gzip.decompress, body))
        await asyncio.sleep(max(0.0, now + SCRAPE_SECONDS - time.monotonic()))
    found.spans.append((began, time.monotonic()))


def scrape(port: int) -> bytes:
    """Return the gzipped body that Prometheus gets."""
    headers = {SCRAPE_HEADER: "10", "Accept-Encoding": "gzip"}
    asked = urllib.request.Request(f"http://{HOST}:{port}/metrics", headers=headers)
    with urllib.request.urlopen(asked, timeout=60) as response:
        body: bytes = response.read()
    return body


@contextlib.asynccontextmanager
async def offering(filler: Filler, fleet: Fleet, rate: float, drawn: random.Random) -> AsyncIterator[None]:
    """Offer events of any agents, `rate` a second, for as long as the block lasts."""

    async def offer_on() -> None:
        while True:
            until = time.monotonic() + OFFER_SECONDS
            number = max(1, int(rate * OFFER_SECONDS / 2))
            await offer(filler, (drawn.randrange(fleet.agents) for _ in range(number)), drawn)
            await asyncio.sleep(max(0.0, until - time.monotonic()))

    task = asyncio.create_task(offer_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def offer(filler: Filler, agents: Iterable[int], drawn: random.Random) -> None:
    """Send a snapshot and an evolution of each agent."""
    names = [f"agent-{number:06}" for number in agents]
    await filler.send(KPI_SNAPSHOTS.name, (message(snapshot(name, drawn)) for name in names))
    await filler.send(EVOLUTION_METRICS.name, (message(evolution(name)) for name in names))


def snapshot(agent: str, drawn: random.Random) -> KpiSnapshot:
    kpis = {name: drawn.random() for name in KPI_NAMES}
    return KpiSnapshot(**common(agent), **kpis, overall_performance=drawn.random())


def message(event: Event) -> tuple[bytes, bytes]:
    return event.key.encode(), WIRE.encode(event)
