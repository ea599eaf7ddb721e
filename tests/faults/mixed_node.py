"""A node of the mixed run: records evolutions with a real collector, and notes what it recorded.

    python -m tests.faults.mixed_node NODE VERSION FOLDER BROKERS REGISTRY SECONDS RATE

Version 1 leaves the newer fields out. Writes `FOLDER/NODE.json`: ids by table, and of each completion what it
gave in the newer fields.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from evometrics.producers import EvolutionMetricsCollector
from evometrics.producers.events.evolution_events import EvolutionCompletionEvent, EvolutionEvent


async def record(
    node: str, version: int, folder: Path, config: dict[str, Any], seconds: float, rate: float
) -> None:
    """Record evolutions for a while, at a rate."""
    collector = EvolutionMetricsCollector(
        {**config, "node_id": node, "db_path": str(folder / f"{node}.db"), "stop_timeout": 60}
    )
    await collector.start()
    ids: dict[str, list[str | None]] = defaultdict(list)
    given: dict[str, tuple[str | None, float | None]] = {}
    began, number = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        agent = f"{node}-agent-{number % 20}"
        newer: dict[str, Any] = {}
        if version > 1:  # each of both, one or none
            newer["parent_agent_id"] = f"{node}-agent-{number % 7}" if number % 2 else None
            newer["cost_usd"] = number / 64 if number % 3 else None
        start = EvolutionEvent(agent_id=agent, evolution_id=f"{node}-{number}")
        ids["evolution_started"].append(await collector.record_evolution_start(start))
        ids["evolution_progressed"].append(await collector.record_evolution_progress(agent, 0, 0.5))
        end = EvolutionCompletionEvent(
            agent_id=agent,
            evolution_id=f"{node}-{number}",
            success=True,
            post_evolution_kpis={"accuracy": 0.5},
            **newer,
        )
        done = await collector.record_evolution_completion(end)
        ids["evolution_completed"].append(done)
        given[str(done)] = (newer.get("parent_agent_id"), newer.get("cost_usd"))
        number += 1
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
    await collector.stop()
    assert collector.outbox_depth == 0, collector.sending.problem
    (folder / f"{node}.json").write_text(json.dumps({"ids": ids, "given": given}))


if __name__ == "__main__":
    node, version, folder, brokers, registry, seconds, rate = sys.argv[1:]
    config = {"brokers": brokers, "registry_url": registry}
    asyncio.run(record(node, int(version), Path(folder), config, float(seconds), float(rate)))
