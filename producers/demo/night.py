"""Evolves demo agents until a given number of evolutions is done, recording all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from threadpoolctl import threadpool_limits

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.demo.agent import DigitAgent
from evometrics.producers.orchestrator.evolution import EvolutionOutcome
from evometrics.producers.orchestrator.orchestrator import NightlyEvolutionOrchestrator
from evometrics.producers.orchestrator.report import NightReport, OrchestratorSettings
from evometrics.schemas.service.settings import require


async def run_demo_night(
    collector: EvolutionMetricsCollector,
    *,
    node_id: str,
    agents: int,
    evolutions: int,
    seed: int = 0,
    on_progress: Callable[[EvolutionOutcome], None] | None = None,
    stopping: asyncio.Event | None = None,
) -> NightReport:
    """Evolve `agents` demo agents round by round until `evolutions` are done, and report.

    A retired agent is replaced by one that is made from the fittest, so the pool keeps its size. Each agent's
    KPIs are recorded before the first round (baseline), around each evolution, and after each round
    (continuous). Agent ids begin with `node_id`, which must differ between nodes. Once `stopping` is set, the
    running evolution is finished and the report covers what was done until then. Raises `SettingsError` where
    a number is below 1.
    """
    require(agents > 0, "agents", agents, "must be at least 1")
    require(evolutions > 0, "evolutions", evolutions, "must be at least 1")
    require(bool(node_id), "node_id", node_id, "give the node a name of its own")
    numbers = count()

    def name() -> str:
        return f"{node_id}-agent-{next(numbers):03d}"

    def successor(retired: str) -> DigitAgent:
        others = [each for each in orchestrator.agents if isinstance(each, DigitAgent)]
        if not others:
            return DigitAgent.born(name(), seed)
        return DigitAgent.made_from(name(), max(others, key=lambda each: (each.validated, each.agent_id)))

    stopping = stopping or asyncio.Event()
    with threadpool_limits(1):  # several nodes share the cores; more threads on tiny matrices only cost time
        pool = await asyncio.to_thread(lambda: [DigitAgent.born(name(), seed) for _ in range(agents)])
        orchestrator = NightlyEvolutionOrchestrator(
            pool, collector, OrchestratorSettings(seed=seed), replace=successor, on_evolution=on_progress
        )
        watch = asyncio.create_task(stop_with(stopping, orchestrator))
        try:
            await orchestrator.start()
            report = NightReport(agents=agents)
            while report.evolutions < evolutions and not stopping.is_set():
                night = await orchestrator.run_night(budget=evolutions - report.evolutions, everyone=True)
                report += night
                if not night.evolutions:  # stopped, or no agent is left
                    break
                await orchestrator.snapshot_agents()
        finally:
            watch.cancel()
    return report


async def stop_with(stopping: asyncio.Event, orchestrator: NightlyEvolutionOrchestrator) -> None:
    """Stop the orchestrator once `stopping` is set."""
    await stopping.wait()
    orchestrator.stop()
