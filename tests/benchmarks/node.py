"""A node as an application would be one: a collector, and many tasks that each record completions with it.

    python -m tests.benchmarks.node --node n --brokers host:port --folder dir --seconds 10 --rate 1000

Prints one JSON line: what was recorded, when, what it cost, and how long `record_evolution_completion` kept
its callers waiting. With `--marks` it also records marks, which tell how long an event takes to become
visible: the n-th has generation n and belongs to one of a few agents of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import time
from pathlib import Path
from typing import Any

from evometrics.producers import EvolutionMetricsCollector
from evometrics.producers.events.evolution_events import EvolutionCompletionEvent
from evometrics.schemas.events import EvolutionCompleted
from tests.benchmarks.events import Events
from tests.benchmarks.figures import waits
from tests.benchmarks.times import begin_of

#: Completions with different values; recorded again and again under new ids.
POOL = 2048
TASKS = 500
MARK_SECONDS = 0.05
MARK_AGENTS = 8
DRAIN_SECONDS = 900


class Node:
    """Records events 0, 1, 2, ... from many tasks at a time.

    Args:
        rate: calls a second at most; 0 = as they come.
        events, seconds: when to end, whichever comes first.
    """

    def __init__(
        self, collector: Any, name: str, pool: list[EvolutionCompleted], agents: int, rate: float
    ) -> None:
        self.collector = collector
        self.name = name
        self.pool = pool
        self.agents = agents
        self.rate = rate
        self.numbers = itertools.count()
        self.waited: list[float] = []
        self.lost = 0
        self.began = 0.0
        self.marks = 0
        self.over = asyncio.Event()

    async def record(self, events: float, seconds: float) -> None:
        """Record until that number of events or seconds has passed."""
        self.began = time.perf_counter()
        await asyncio.gather(*(self.task(events, seconds) for _ in range(TASKS)))

    async def task(self, events: float, seconds: float) -> None:
        for number in self.numbers:
            if self.rate:
                ahead = self.began + number / self.rate - time.perf_counter()
                if number / self.rate > seconds:
                    return
                if ahead > 0:
                    await asyncio.sleep(ahead)
            if number >= events or time.perf_counter() - self.began > seconds:
                return
            event = self.event(number)
            called = time.perf_counter()
            stored = await self.collector.record_evolution_completion(event)
            self.waited.append(time.perf_counter() - called)
            self.lost += stored is None

    def event(self, number: int) -> EvolutionCompletionEvent:
        """Return what an application hands over for an evolution that has just ended."""
        agent = f"{self.name}-agent-{number * 7919 % self.agents:06d}"
        return completion(self.pool[number % len(self.pool)], agent, f"{self.name}-{number}")

    async def mark(self, path: Path, prefix: str) -> None:
        """Record marks and note when, until it is over."""
        with path.open("w") as file:
            while not self.over.is_set():
                self.marks = number = self.marks + 1
                agent = f"{prefix}-{number % MARK_AGENTS}"
                event = completion(self.pool[0], agent, f"{prefix}-{number}")
                event.generation = number
                called = time.time()
                await self.collector.record_evolution_completion(event)
                print(agent, number, called, file=file, flush=True)
                await asyncio.sleep(max(0.0, called + MARK_SECONDS - time.time()))


def completion(done: EvolutionCompleted, agent: str, evolution_id: str) -> EvolutionCompletionEvent:
    """Return an application's event with the values of a generated one, happening now."""
    return EvolutionCompletionEvent(
        agent_id=agent,
        success=done.success,
        evolution_id=evolution_id,
        evolution_type=done.evolution_type,
        generation=done.generation,
        trigger_reason=done.trigger_reason,
        pre_evolution_kpis=done.pre_kpis,
        post_evolution_kpis=done.post_kpis,
        duration_seconds=done.duration_seconds,
        strategy=done.strategy_used,
        risk_level=done.risk_level,
        target_gain=done.target_gain,
        rollback_performed=done.rollback_performed,
        status=done.status,
        convergence_iterations=done.convergence_iterations,
        fitness_trajectory=done.fitness_trajectory,
        insights=done.insights,
        metadata=done.metadata,
    )


async def run(args: argparse.Namespace) -> dict[str, Any]:
    """Record, wait for the broker to have all of it, and return what is to be told."""
    pool = Events(args.seed, args.agents, begin_of(POOL)).completed(0, POOL)
    config = {"node_id": args.node, "brokers": args.brokers, "db_path": str(args.folder / f"{args.node}.db")}
    collector = EvolutionMetricsCollector(config)
    await collector.start()
    node = Node(collector, args.node, pool, args.agents, args.rate)
    marking = asyncio.create_task(node.mark(args.marks, args.node)) if args.marks else None
    at, used = time.time(), time.process_time()
    await node.record(args.events or float("inf"), args.seconds or float("inf"))
    recorded_seconds = time.perf_counter() - node.began
    node.over.set()
    if marking is not None:
        await marking
    if not await collector.drain(DRAIN_SECONDS) or node.lost:
        raise RuntimeError(f"{node.lost} events were not recorded, {collector.outbox_depth} are not sent")
    seconds, used = time.perf_counter() - node.began, time.process_time() - used
    await collector.stop()
    found = {
        "recorded": len(node.waited),
        "marks": node.marks,
        "began": at,
        "seconds": seconds,
        "cpu_seconds": used,
    }
    return {**found, "recorded_seconds": recorded_seconds, "waits": waits(node.waited)}


def main() -> None:
    """Run one node to its end."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--node", required=True)
    parse.add_argument("--brokers", required=True)
    parse.add_argument("--folder", type=Path, required=True)
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--agents", type=int, default=1000)
    parse.add_argument("--events", type=int, default=0)
    parse.add_argument("--seconds", type=float, default=0.0)
    parse.add_argument("--rate", type=float, default=0.0)
    parse.add_argument("--marks", type=Path)
    logging.basicConfig(level=logging.WARNING)
    print(json.dumps(asyncio.run(run(parse.parse_args()))))


if __name__ == "__main__":
    main()
