"""Sends generated events from several producer processes through real collectors, paced by event time."""

from __future__ import annotations

import asyncio
import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.events.left_out import LeftOut
from evometrics.schemas.events import Event
from evometrics.schemas.topics import BY_RECORD
from tests.support.generator import Load, generate

#: Producers wait for each other this often, each till the broker has what it recorded: were one hours of
#: event time ahead on the topics, evolutions that the others complete late would count as abandoned before.
SLICES = 40
PUBLISHED_SECONDS = 120
BARRIER_SECONDS = 120


def node_events(load: Load, node: str) -> list[tuple[int, Event]]:
    """Return what one node sends, with the times."""
    return [(at, event) for at, event in generate(load) if event.node_id == node]


async def send(load: Load, node: str, brokers: str, folder: Path, barrier: Barrier) -> dict[str, int]:
    """Record a node's events with a real collector; return how many it took, by topic."""
    events = node_events(load, node)
    first, last = min(at for at, _ in events), max(at for at, _ in events)
    config = {"node_id": node, "brokers": brokers, "db_path": str(folder / f"{node}.db"), "stop_timeout": 60}
    collector = EvolutionMetricsCollector(config)
    journal = collector.journal
    await collector.start()
    try:
        for number in range(SLICES):
            begin = first + (last - first) * number // SLICES
            end = first + (last - first) * (number + 1) // SLICES if number + 1 < SLICES else last + 1
            part = [event for at, event in events if begin <= at < end]
            # in order: an agent's events must enter the outbox in the order in which they are sent
            for chunk in (part[i : i + 200] for i in range(0, len(part), 200)):
                put = [journal.put(event, LeftOut()) for event in chunk]
                await asyncio.gather(*put)
            assert await collector.drain(PUBLISHED_SECONDS), "the broker did not take everything in time"
            await asyncio.to_thread(barrier.wait, BARRIER_SECONDS)
    finally:
        await collector.stop()
    return dict(collector.recorded)


def producer_process(args: tuple[Load, str, str, Path, Any]) -> None:
    """Run one node; the entry point of its process."""
    load, node, brokers, folder, (barrier, results) = args
    try:
        results.put((node, asyncio.run(send(load, node, brokers, folder, barrier))))
    except BaseException as error:
        barrier.abort()
        results.put((node, repr(error)))
        raise


def send_all(load: Load, brokers: str, folder: Path) -> dict[str, int]:
    """Send everything from one process per node; return events taken by topic, over all nodes."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(load.nodes), context.Queue()
    processes = [
        context.Process(
            target=producer_process, args=((load, f"node-{n}", brokers, folder, (barrier, results)),)
        )
        for n in range(load.nodes)
    ]
    for process in processes:
        process.start()
    taken: dict[str, int] = {topic.name: 0 for topic in BY_RECORD.values()}
    for _ in processes:
        node, recorded = results.get(timeout=300)
        assert isinstance(recorded, dict), f"{node}: {recorded}"
        for topic, number in recorded.items():
            taken[topic] += number
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    return taken
