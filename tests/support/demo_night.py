"""The demo's evolutions in ClickHouse, without a broker: what a node recorded, and what the stream makes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from evometrics.producers import EvolutionMetricsCollector
from evometrics.schemas.events import Event, KpiSnapshot
from evometrics.schemas.topics import KPI_SNAPSHOTS
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.later import Later
from tests.support.outboxes import config, waiting
from tests.support.pure_stream import SOURCES, WIRE, PureStream
from tests.support.sinks import sent

demo: Any = Later("evometrics.producers.demo.night")


async def recorded(folder: Path, agents: int, evolutions: int, seed: int = 7) -> list[Event]:
    """Return what a node of the demo records, with an outbox in a folder."""
    collector = EvolutionMetricsCollector(config(folder))
    await collector.start()
    try:
        await demo.run_demo_night(
            collector, node_id="node-1", agents=agents, evolutions=evolutions, seed=seed
        )
        return waiting(collector)
    finally:
        await collector.stop()


def computed(events: list[Event]) -> list[Event]:
    """Return them with what the stream makes of them, of a single partition."""
    stream = PureStream(1)
    for event in events:
        if isinstance(event, SOURCES):
            stream.publish(event)
    stream.run(random.Random(0))
    snapshots = [WIRE.decode(each.value) for each in stream.logs[KPI_SNAPSHOTS.name, 0]]
    return [*(each for each in events if not isinstance(each, KpiSnapshot)), *snapshots, *stream.derived]


async def store_night(database: ClickHouseSettings, events: list[Event]) -> None:
    """Store events and what follows from them as the sink does."""
    messages = [
        sent(each, offset=offset, timestamp=each.occurred_at // 1000)
        for offset, each in enumerate(computed(events))
    ]
    await fill(database, messages)
