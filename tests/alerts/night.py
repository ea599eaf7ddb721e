"""A node with a night's load in a process of its own: prints its port for metrics, records until SIGTERM.

    python -m tests.alerts.night BROKERS FOLDER NODE

A few agents evolve at a time, each for seconds. Most evolutions improve their agent a little, some are rolled
back, and some fail, as in any night.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys

from evometrics.producers import EvolutionMetricsCollector
from evometrics.schemas.service.tasks import end_tasks
from tests.alerts.node import port_of

AGENTS, AT_A_TIME = 40, 4
SECONDS = (2.0, 10.0)
FAILED, ROLLED_BACK = 0.08, 0.15
KINDS = ("nightly", "mutation", "crossover")


class OutOfLuck(RuntimeError):
    """An evolution fails."""


async def evolve(
    collector: EvolutionMetricsCollector, scores: dict[str, float], drawn: random.Random
) -> None:
    """Let one agent evolve; raises `OutOfLuck` where it fails."""
    agent = drawn.choice(sorted(scores))
    before = scores[agent]
    kind = drawn.choice(KINDS)
    async with collector.evolution(agent, evolution_type=kind, pre_kpis={"performance": before}) as run:
        for _ in range(3):
            await asyncio.sleep(drawn.uniform(*SECONDS) / 3)
            await run.progress(fitness=before)
        luck = drawn.random()
        if luck < FAILED:
            raise OutOfLuck(agent)
        if luck < FAILED + ROLLED_BACK:
            await run.complete(post_kpis={"performance": before - 0.01}, status="rolled_back")
            return
        scores[agent] = before + 0.05 * drawn.random() * (1 - before)
        await run.complete(post_kpis={"performance": scores[agent]})


async def evolve_on(
    collector: EvolutionMetricsCollector, scores: dict[str, float], drawn: random.Random
) -> None:
    while True:
        with contextlib.suppress(OutOfLuck):
            await evolve(collector, scores, drawn)


async def main() -> None:
    brokers, folder, node = sys.argv[1:]
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    collector = EvolutionMetricsCollector(
        {"brokers": brokers, "db_path": f"{folder}/events.db", "node_id": node, "prometheus_port": 0}
    )
    await collector.start()
    print(port_of(collector), flush=True)
    drawn = random.Random(node)
    scores = {f"{node}-agent-{number:02}": drawn.uniform(0.3, 0.6) for number in range(AGENTS)}
    tasks = [asyncio.create_task(evolve_on(collector, scores, drawn)) for _ in range(AT_A_TIME)]
    await stopping.wait()
    await end_tasks(tasks)
    await collector.stop()


if __name__ == "__main__":
    asyncio.run(main())
