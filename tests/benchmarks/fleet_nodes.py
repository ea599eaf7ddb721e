"""Some nodes of a fleet in one process, each with a collector, an outbox and a connection of its own.

    python -m tests.benchmarks.fleet_nodes --first 0 --count 250 --brokers host:port --folder d --seconds 600

Each node runs one evolution after another, of three reports of progress; all begin at other moments. Prints
one JSON line: what was recorded by node, how long calls took, and what the nodes cost together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evometrics.producers import EvolutionMetricsCollector
from evometrics.producers.resources.sampler import ResourceSampler
from evometrics.schemas.events import EvolutionCompleted
from tests.benchmarks.events import Events
from tests.benchmarks.figures import waits
from tests.benchmarks.node import completion
from tests.benchmarks.times import begin_of

#: Completions with different values; recorded again and again under new ids.
POOL = 500
AGENTS = 10
REPORTS = 3
#: Nodes that start, and stop, at a time.
AT_ONCE = 10
DRAIN_SECONDS = 900.0


class ProcessSampler(ResourceSampler):
    """Measures the process for all of its nodes, of which each would have a process of its own."""

    def start(self) -> None:
        if self.thread is None:
            super().start()

    def stop(self) -> None: ...


SAMPLER = ProcessSampler()


class LightCollector(EvolutionMetricsCollector):
    """A collector that measures with the others of its process."""

    def new_sampler(self) -> ResourceSampler:
        return SAMPLER


class Node:
    """One node; `number` is its own in the fleet."""

    def __init__(self, number: int, brokers: str, folder: Path) -> None:
        self.name = f"node-{number:05d}"
        self.draw = random.Random(number)
        config = {"node_id": self.name, "brokers": brokers, "db_path": str(folder / f"{self.name}.db")}
        self.collector = LightCollector(config)
        self.recorded = 0
        self.waited: list[float] = []

    async def work(self, pool: Sequence[EvolutionCompleted], seconds: float, every: float) -> None:
        """Run evolutions for a while, each `every` seconds long."""
        until = time.monotonic() + seconds
        await asyncio.sleep(self.draw.uniform(0.0, min(every, seconds)))
        while time.monotonic() < until:
            done = completion(
                self.draw.choice(pool),
                f"{self.name}/agent-{self.draw.randrange(AGENTS)}",
                f"{self.name}/{self.recorded}",
            )
            await self.timed(
                self.collector.record_evolution_start(
                    agent_id=done.agent_id,
                    evolution_id=done.evolution_id,
                    strategy=done.strategy,
                    evolution_type=done.evolution_type,
                )
            )
            for iteration in range(REPORTS):
                await asyncio.sleep(every / (REPORTS + 1))
                report = self.collector.record_evolution_progress(
                    done.agent_id, iteration, self.draw.random(), evolution_id=done.evolution_id
                )
                await self.timed(report)
            await asyncio.sleep(every / (REPORTS + 1))
            await self.timed(self.collector.record_evolution_completion(done))
            self.recorded += 1

    async def timed(self, call: Any) -> None:
        """Make a call, and note how long it took."""
        began = time.perf_counter()
        await call
        self.waited.append(time.perf_counter() - began)


async def run(args: argparse.Namespace) -> dict[str, Any]:
    """Start the nodes, let them work, and wait for the broker to have all of it."""
    pool = Events(args.seed, 1000, begin_of(POOL)).completed(0, POOL)
    nodes = [Node(args.first + place, args.brokers, args.folder) for place in range(args.count)]
    for place in range(0, len(nodes), AT_ONCE):
        await asyncio.gather(*(node.collector.start() for node in nodes[place : place + AT_ONCE]))
    began, used = time.time(), time.process_time()
    await asyncio.gather(*(node.work(pool, args.seconds, args.every) for node in nodes))
    drained = await asyncio.gather(*(node.collector.drain(DRAIN_SECONDS) for node in nodes))
    took, used = time.time() - began, time.process_time() - used
    left = {node.name: node.collector.outbox_depth for node in nodes if node.collector.outbox_depth}
    if not all(drained) or left:
        raise RuntimeError(f"events that are not sent, by node: {left}")
    for place in range(0, len(nodes), AT_ONCE):
        await asyncio.gather(*(node.collector.stop() for node in nodes[place : place + AT_ONCE]))
    return {
        "recorded": {node.name: node.recorded for node in nodes},
        "refused": sum(node.collector.rejected for node in nodes),
        "began": began,
        "seconds": took,
        "cores": used / took,
        "waits": waits([wait for node in nodes for wait in node.waited]),
    }


def main() -> None:
    """Run the nodes to their end."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--first", type=int, required=True)
    parse.add_argument("--count", type=int, required=True)
    parse.add_argument("--brokers", required=True)
    parse.add_argument("--folder", type=Path, required=True)
    parse.add_argument("--seconds", type=float, required=True)
    parse.add_argument("--every", type=float, default=30.0)
    parse.add_argument("--seed", type=int, default=1)
    logging.basicConfig(level=logging.WARNING)
    print(json.dumps(asyncio.run(run(parse.parse_args()))))


if __name__ == "__main__":
    main()
