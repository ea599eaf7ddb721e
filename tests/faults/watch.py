"""Watches a run from outside, once a second: each part's memory, what is recorded and what is stored."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

import psutil
from clickhouse_connect.driver.exceptions import ClickHouseError

from evometrics.schemas.tasks import end_tasks
from evometrics.schemas.topics import RAW_TOPICS
from tests.faults.parts import Parts
from tests.tables import client

INTERVAL_SECONDS = 1.0
COUNTED = " + ".join(f"(SELECT uniqExact(event_id) FROM {topic.table}_rows)" for topic in RAW_TOPICS)


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment.

    Attributes:
        at: Unix time.
        memory_mb: resident memory of each part that ran, by name.
        recorded: events recorded since the run began.
        stored: raw events in ClickHouse; None while it is away.
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
    if not parts.children["clickhouse"].running:
        return None
    with contextlib.suppress(OSError, ClickHouseError), client(parts.clickhouse_itself) as sql:
        return int(sql.query(f"SELECT {COUNTED}").result_rows[0][0])
    return None


def resident_mb(pid: int) -> float:
    """Return a process's resident memory, 0 where it has just ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return round(psutil.Process(pid).memory_info().rss / 1e6, 1)
    return 0.0
