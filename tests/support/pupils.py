"""Agents whose evolution is set by hand, and what an orchestrator of them recorded in a real outbox."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.orchestrator.agent import EvolutionContext, EvolvableAgent
from evometrics.producers.orchestrator.orchestrator import NightlyEvolutionOrchestrator
from evometrics.producers.orchestrator.strategies import Strategy
from evometrics.schemas.events import Event, SystemEvent
from tests.support.outboxes import config, waiting


async def strict_collector(tmp_path: Path) -> AsyncIterator[EvolutionMetricsCollector]:
    """Yield a collector that raises where an event is invalid; each test file makes a fixture of it."""
    recorder = EvolutionMetricsCollector(config(tmp_path, node_id="n1", strict=True))
    await recorder.start()
    yield recorder
    await recorder.stop()


def recorded(collector: EvolutionMetricsCollector, *, nights: bool = False) -> list[Event]:
    """Return the events in the outbox in the order recorded, without those about nights unless asked for."""
    events = waiting(collector)
    return [e for e in events if nights or not (isinstance(e, SystemEvent) and not e.agent_id)]


def story(events: Sequence[Event]) -> list[str]:
    """Tell events in short, e.g. `kpi_snapshot baseline`."""
    told = []
    for event in events:
        detail = {
            "kpi_snapshot": "phase",
            "evolution_completed": "status",
            "system_event": "event_type",
        }.get(event.record)
        told.append(f"{event.record} {getattr(event, detail)}" if detail else event.record)
    return told


@dataclass
class Pupil:
    """An agent whose performance is set by hand: each evolution adds the next of `gains`, or raises it."""

    agent_id: str
    gains: list[float | Exception] = field(default_factory=list)
    performance: float = 0.7
    reports: int = 2
    seen: list[tuple[str, int, int]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    unmeasurable: bool = False

    def evaluate_kpi(self) -> Mapping[str, float]:
        self.threads.add(threading.get_ident())
        if self.unmeasurable:
            raise RuntimeError("the sensor is off")
        return {"performance": self.performance, "accuracy": self.performance}

    def export_state(self) -> float:
        return self.performance

    def apply_strategy(self, strategy: Strategy, context: EvolutionContext) -> list[str]:
        self.threads.add(threading.get_ident())
        self.seen.append((strategy.name, context.generation, context.seed))
        for iteration in range(self.reports):
            context.report(iteration, self.performance + iteration / 10)
        gain = self.gains.pop(0) if self.gains else 0.01
        self.performance = 0.123  # half way: a failure leaves it there unless it is rolled back
        if isinstance(gain, Exception):
            raise gain
        self.performance = context.kpis["performance"] + gain
        return ["learnt something"]

    def roll_back(self, state: float) -> None:
        self.performance = state


async def orchestrator(
    collector: EvolutionMetricsCollector, *agents: EvolvableAgent, **options: Any
) -> NightlyEvolutionOrchestrator:
    made = NightlyEvolutionOrchestrator(agents, collector, **options)
    await made.start()
    return made
