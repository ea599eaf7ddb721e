"""Watches a run from outside, once a second: each part's memory, what is recorded and what is stored."""

from __future__ import annotations

import asyncio
import contextlib
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from evometrics.schemas.service.tasks import end_tasks
from evometrics.schemas.topics import RAW_TOPICS
from tests.faults.parts import Parts

INTERVAL_SECONDS = 1.0
ANSWER_SECONDS = 10
STORED = "SELECT " + " + ".join(
    f"(SELECT uniqExact(event_id) FROM evometrics.{topic.table}_rows)" for topic in RAW_TOPICS
)


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment.

    Attributes:
        at: Unix time.
        memory_mb: resident memory of each part that ran, by name.
        recorded: events recorded since the run began.
        stored: raw events in ClickHouse; None while it is unreachable.
        restarts: how often each part was started again so far.
    """

    at: float
    memory_mb: dict[str, float]
    recorded: int
    stored: int | None
    restarts: dict[str, int]

    @property
    def backlog(self) -> int | None:
        """Events on their way, in outboxes, in Kafka and in the sinks' hands."""
        return None if self.stored is None else self.recorded - self.stored


class Watch:
    """Takes samples between `start` and `stop`."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.samples: list[Sample] = []
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to take samples."""
        self.task = asyncio.create_task(self.run(), name="watch")

    async def stop(self) -> None:
        """Take no more."""
        if self.task is not None:
            await end_tasks([self.task])

    async def until(self, wanted: Callable[[Sample], bool], seconds: float) -> None:
        """Return at the next sample that is as wanted, or at the time limit."""
        began = time.time()
        while time.time() - began < seconds:
            await asyncio.sleep(INTERVAL_SECONDS / 5)
            if self.samples and self.samples[-1].at > began and wanted(self.samples[-1]):
                return

    async def run(self) -> None:
        while True:
            self.samples.append(await self.sample())
            await asyncio.sleep(INTERVAL_SECONDS)

    async def sample(self) -> Sample:
        """Look at every part now."""
        stored = await asyncio.to_thread(stored_events, self.parts)
        memory = {
            name: resident_mb(child.pid)
            for name, child in self.parts.children.items()
            if child.pid is not None and child.running
        }
        recorded = sum(
            journal.read_bytes().count(b"r ") for journal in self.parts.folder.glob("outbox/*.journal")
        )
        return Sample(time.time(), memory, recorded, stored, dict(self.parts.restarts))


def stored_events(parts: Parts) -> int | None:
    """Return how many raw events ClickHouse has, asked behind its proxy; None while it does not answer."""
    query = urllib.parse.urlencode({"query": STORED})
    try:
        with urllib.request.urlopen(f"{parts.clickhouse_itself}/?{query}", timeout=ANSWER_SECONDS) as answer:
            return int(answer.read())
    except OSError:
        return None


def resident_mb(pid: int) -> float:
    """Return a process's resident memory, 0 where it has just ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return round(psutil.Process(pid).memory_info().rss / 1e6, 1)
    return 0.0
