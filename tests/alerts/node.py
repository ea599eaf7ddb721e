"""A node in a process of its own, to be killed: prints its port for metrics, then records until it ends.

python -m tests.alerts.node BROKERS FOLDER NODE
"""

from __future__ import annotations

import asyncio
import sys

from evometrics.producers import EvolutionMetricsCollector


def config(brokers: str, folder: str, node: str, **more: object) -> dict[str, object]:
    """Return a node's config; it reports its health every two seconds, and its port is drawn."""
    return {
        "brokers": brokers,
        "db_path": f"{folder}/events.db",
        "node_id": node,
        "prometheus_port": 0,
        "flush_interval": 2.0,
        "stop_timeout": 1.0,
        **more,
    }


def port_of(collector: EvolutionMetricsCollector) -> int:
    assert collector.sending.server is not None
    return collector.sending.server.port


async def evolve(
    collector: EvolutionMetricsCollector, kind: str = "nightly", gain: float = 0.1, status: str | None = None
) -> None:
    """Record an evolution that improved its agent by `gain`."""
    async with collector.evolution("agent-1", evolution_type=kind, pre_kpis={"performance": 0.5}) as run:
        await run.complete(post_kpis={"performance": 0.5 + gain}, status=status)


async def main() -> None:
    collector = EvolutionMetricsCollector(config(*sys.argv[1:]))
    await collector.start()
    print(port_of(collector), flush=True)
    while True:
        await evolve(collector)
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(main())
