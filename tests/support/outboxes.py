"""Looking into an outbox, and at what reached the broker."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer

from evometrics.producers import EvolutionMetricsCollector
from evometrics.schemas.events import Event
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.topics import RAW_TOPICS
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat

#: Nobody listens there: what is recorded stays in the outbox.
NO_BROKER = "127.0.0.1:1"


def config(folder: Path, **more: Any) -> dict[str, Any]:
    """Return the config of a collector whose outbox is in a folder, and that no broker listens to."""
    return {
        "db_path": str(folder / "evolution_metrics.db"),
        "brokers": NO_BROKER,
        "node_id": "node-1",
        "stop_timeout": 0,
        **more,
    }


@dataclass(frozen=True)
class Arrived:
    """A message as the broker has it."""

    topic: str
    partition: int
    offset: int
    event: Event


def waiting_in(path: Path) -> list[Event]:
    """Return the events that wait in an outbox file, in order."""
    wire = WireFormat()
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT value FROM outbox ORDER BY seq").fetchall()
    return [wire.decode(value) for (value,) in rows]


def waiting(collector: EvolutionMetricsCollector) -> list[Event]:
    """Return the events that wait in a running collector's outbox, in order."""
    return waiting_in(collector.outbox.path)


def with_snapshots(events: Iterable[Event]) -> list[Event]:
    """Return events, each followed by the snapshots that its KPIs are."""
    return [each for event in events for each in (event, *snapshots_of(event))]


@asynccontextmanager
async def collecting(given: dict[str, Any]) -> AsyncIterator[EvolutionMetricsCollector]:
    """A collector that is started, and stopped at the end of the block."""
    collector = EvolutionMetricsCollector(given)
    await collector.start()
    try:
        yield collector
    finally:
        await asyncio.wait_for(collector.stop(), 60)


def left_in(folder: Path) -> list[Event]:
    """Return the events that wait in all outboxes of a folder."""
    return [event for path in sorted(folder.glob("*-*-*.db")) for event in waiting_in(path)]


async def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds that nobody announces. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in other threads and processes
            await asyncio.sleep(0.005)


def files(folder: Path) -> list[Path]:
    """Return what is in a folder."""
    return sorted(folder.iterdir())


async def arrived(brokers: str, node_id: str) -> list[Arrived]:
    """Return every message of a node in the raw topics, as ordered by partition and offset."""
    wire = WireFormat()
    consumer = AIOKafkaConsumer(
        *(topic.name for topic in RAW_TOPICS), bootstrap_servers=brokers, auto_offset_reset="earliest"
    )
    await asyncio.wait_for(consumer.start(), 30)
    try:
        partitions = consumer.assignment()
        ends = await consumer.end_offsets(partitions)
        found: list[Arrived] = []
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            batches = await consumer.getmany(timeout_ms=500)
            for where, messages in batches.items():
                for message in messages:
                    try:
                        event = wire.decode(message.value)
                    except UnreadableMessage:  # of a test with a registry, or with rubbish
                        continue
                    if event.node_id == node_id:
                        found.append(Arrived(where.topic, where.partition, message.offset, event))
    finally:
        await consumer.stop()
    return sorted(found, key=lambda a: (a.topic, a.partition, a.offset))
