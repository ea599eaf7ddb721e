"""`live`: how soon an evolution that was recorded is on the pages of 20 viewers, and what they cost the sink.

A collector records evolutions all the time, and marks among them, through Kafka, a stream worker and a sink
to ClickHouse, which holds two years already. Phases without viewers and with them take turns. A viewer does
what the page's script does: it listens for news, fetches the page's sections, and fetches them again soon
where there was news meanwhile. A mark is shown when a viewer has a page with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from evometrics.deploy.process.ports import HOST, free_ports
from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.schemas.events import EvolutionCompleted
from tests.benchmarks.checks import require
from tests.benchmarks.events import Events
from tests.benchmarks.figures import percentile, report, waits
from tests.benchmarks.node import completion
from tests.benchmarks.pages import start_pages
from tests.benchmarks.say import say
from tests.benchmarks.scrape import Measured
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack, ask
from tests.benchmarks.times import begin_of
from tests.benchmarks.two_years import TwoYears
from tests.benchmarks.watch import cpu_seconds

WITHOUT, WITH = "without viewers", "with viewers"
EVOLUTIONS, QUICK_EVOLUTIONS = 1_000_000, 5_000
PHASE_SECONDS, QUICK_PHASE_SECONDS = 40.0, 10.0
#: Evolutions recorded a second; marks are not in step with anything that looks once or twice a second.
RATE, MARK_SECONDS = 100.0, 0.83
RUN, AGENT = "live-run", "live-agent"
#: Seconds after which the script fetches again where there was news meanwhile.
AGAIN_SECONDS = 0.25
#: Seconds for which the last marks of a phase are waited for.
LATE_SECONDS = 20.0
POOL = 200


def attempts_of_run(html: str) -> int:
    """Return the marks on the page of their run."""
    found = re.search(r'data-column="attempts" value="(\d+)"', html)
    return int(found[1]) if found else 0


def newest_of_agent(html: str) -> int:
    """Return the newest mark on the page of its agent."""
    return max(map(int, re.findall(r"mark-(\d+)", html)), default=0)


def attempts_tonight(html: str) -> int:
    """Return the marks in the table of runs."""
    found = re.search(rf'run={RUN}".*?data-column="attempts" value="(\d+)"', html, re.DOTALL)
    return int(found[1]) if found else 0


#: How many look at what, and how they find the marks on it.
PAGES: tuple[tuple[int, str, Callable[[str], int]], ...] = (
    (10, "/tonight/sections", attempts_tonight),
    (5, f"/run/sections?run={RUN}", attempts_of_run),
    (5, f"/agent/sections?agent={AGENT}", newest_of_agent),
)


@dataclass
class Viewer:
    """One open page.

    Attributes:
        seen: when each mark was first on it, by the mark's number.
        fetches: how often it fetched its sections.
    """

    url: str
    path: str
    marks_on: Callable[[str], int]
    seen: dict[int, float] = field(default_factory=dict)
    fetches: int = 0
    bytes: int = 0

    async def look(self, http: aiohttp.ClientSession) -> None:
        """Watch until cancelled."""
        news = asyncio.Event()
        fetching = asyncio.create_task(self.follow(http, news))
        try:
            async with http.get(f"{self.url}/live") as stream:
                async for line in stream.content:
                    if line.startswith(b"event: rows"):
                        news.set()
        finally:
            fetching.cancel()
            await asyncio.wait({fetching})

    async def follow(self, http: aiohttp.ClientSession, news: asyncio.Event) -> None:
        """Fetch the sections whenever there is news."""
        while True:
            await news.wait()
            news.clear()
            async with http.get(self.url + self.path) as answer:
                html = await answer.text()
            require(answer.status == 200, html[:500])
            self.fetches += 1
            self.bytes += len(html)
            now = time.monotonic()
            for number in range(self.marks_on(html), 0, -1):
                if self.seen.setdefault(number, now) != now:
                    break
            await asyncio.sleep(AGAIN_SECONDS if news.is_set() else 0)


@dataclass
class Recording:
    """Records evolutions, and marks among them.

    Attributes:
        marks: when each mark was recorded; the first has number 1.
    """

    collector: EvolutionMetricsCollector
    pool: list[EvolutionCompleted]
    rate: float
    marks: list[float] = field(default_factory=list)

    async def others(self) -> None:
        """Record evolutions of a fleet, `rate` a second, until cancelled."""
        began = time.monotonic()
        for number in itertools.count():
            event = completion(self.pool[number % POOL], f"agent-{number % 997}", f"other-{number}")
            event.run_id = "night-of-others"
            await self.collector.record_evolution_completion(event)
            await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))

    async def mark(self, seconds: float) -> None:
        """Record marks for some seconds."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            number = len(self.marks) + 1
            event = completion(self.pool[0], AGENT, f"mark-{number}")
            event.run_id, event.strategy = RUN, f"mark-{number}"
            self.marks.append(now)
            await self.collector.record_evolution_completion(event)
            await asyncio.sleep(max(0.0, now + MARK_SECONDS - time.monotonic()))


async def run(settings: Settings) -> dict[str, Any]:
    """Measure phases in turn."""
    count, rounds = settings.sized(events=EVOLUTIONS, quick_events=QUICK_EVOLUTIONS, rounds=2)
    seconds = settings.seconds or (QUICK_PHASE_SECONDS if settings.quick else PHASE_SECONDS)
    found = {WITHOUT: Measured(), WITH: Measured()}
    lasted: list[float] = []
    viewers: list[Viewer] = []
    async with Stack(settings.folder) as stack:
        for _, statement in TwoYears(count, datetime.now(UTC).replace(tzinfo=None)).statements():
            await asyncio.to_thread(ask, stack.clickhouse.url, statement)
        say(f"live: filled {count:,}")
        notes = await start_workers(stack)
        url = await start_pages(stack)
        cpu: dict[str, dict[str, float]] = {WITHOUT: {}, WITH: {}}
        async with recording(stack, settings) as recorded:
            await recorded.mark(seconds / 4)  # until all are warm
            for kind in itertools.chain.from_iterable([(WITHOUT, WITH)] * rounds):
                before = cpu_seconds(stack.pids())
                first = len(recorded.marks)
                opened = new_viewers(url) if kind == WITH else []
                viewers += opened
                async with watching(opened):
                    began = time.monotonic()
                    await recorded.mark(seconds)
                    found[kind].spans.append((began, time.monotonic()))
                    after = cpu_seconds(stack.pids())
                    lasted += await shown(opened, recorded.marks, first)
                for part, used in after.items():
                    cpu[kind][part] = cpu[kind].get(part, 0.0) + (used - before[part]) / seconds / rounds
                say(f"live: {kind} over")
        await stack.children["sink"].stop()
        return figures(found, lasted, viewers, cpu, notes)


def figures(
    found: dict[str, Measured],
    lasted: list[float],
    viewers: list[Viewer],
    cpu: dict[str, dict[str, float]],
    notes: Path,
) -> dict[str, Any]:
    """Return what is reported."""
    inserts = {kind: each.within(json.loads(notes.read_text())["inserts"]) for kind, each in found.items()}
    ratio = percentile(inserts[WITH], 0.99) / percentile(inserts[WITHOUT], 0.99)
    return report(
        viewers=sum(number for number, _, _ in PAGES),
        shown=len(lasted),
        shown_p50_s=percentile(lasted, 0.5),
        shown_p95_s=percentile(lasted, 0.95),
        shown_max_s=max(lasted),
        insert_p99_ratio=ratio,
        fetches=sum(viewer.fetches for viewer in viewers),
        fetched_mb=sum(viewer.bytes for viewer in viewers) / 1e6,
        inserts=[
            {"way": kind, "inserts": len(each), **waits(each), "cores": cpu[kind]}
            for kind, each in inserts.items()
        ],
    )


async def start_workers(stack: Stack) -> Path:
    """Start a stream worker and a sink that notes its inserts; return where they will be."""
    notes, (port,) = stack.folder / "notes.json", free_ports(1)
    argv = ["-m", "tests.benchmarks.timed_sink", "--brokers", stack.kafka.brokers, "--group", "live"]
    argv += ["--clickhouse-url", stack.clickhouse.url, "--http-port", str(port), "--notes", str(notes)]
    await stack.python("sink", [*argv, "--agents", "1000"], {}, f"http://{HOST}:{port}/health/ready")
    await stack.worker("stream", "live-stream")
    return notes


@contextlib.asynccontextmanager
async def recording(stack: Stack, settings: Settings) -> AsyncIterator[Recording]:
    """Record evolutions for as long as the block lasts."""
    pool = Events(settings.seed, POOL, begin_of(POOL)).completed(0, POOL)
    db = str(stack.folder / "outbox.db")
    collector = EvolutionMetricsCollector({"node_id": "live", "brokers": stack.kafka.brokers, "db_path": db})
    await collector.start()
    recorded = Recording(collector, pool, settings.rate or RATE)
    others = asyncio.create_task(recorded.others())
    try:
        yield recorded
    finally:
        others.cancel()
        await asyncio.wait({others})
        await collector.stop()


def new_viewers(url: str) -> list[Viewer]:
    """Return who looks at the pages."""
    return [Viewer(url, path, marks_on) for number, path, marks_on in PAGES for _ in range(number)]


@contextlib.asynccontextmanager
async def watching(viewers: list[Viewer]) -> AsyncIterator[None]:
    """Have them look for as long as the block lasts."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        looking = [asyncio.create_task(viewer.look(http)) for viewer in viewers]
        try:
            yield
        finally:
            for task in looking:
                task.cancel()
            if looking:
                await asyncio.wait(looking)


async def shown(viewers: list[Viewer], marks: list[float], first: int) -> list[float]:
    """Return how long each mark after the first ones took to each viewer, once all have all."""
    numbers = range(first + 1, len(marks) + 1)
    until = time.monotonic() + LATE_SECONDS
    while any(number not in viewer.seen for viewer in viewers for number in numbers):
        missing = {viewer.path for viewer in viewers if not set(numbers) <= viewer.seen.keys()}
        require(time.monotonic() < until, f"not all marks were shown on {missing}")
        await asyncio.sleep(0.1)
    return [viewer.seen[number] - marks[number - 1] for viewer in viewers for number in numbers]
