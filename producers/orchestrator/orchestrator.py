"""The reference orchestrator: a pool of agents, evolved night by night, every step recorded."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.orchestrator.agent import EvolvableAgent, aim, measure
from evometrics.producers.orchestrator.evolution import (
    EvolutionOutcome,
    EvolutionPlan,
    describe,
    evolve,
    record_unmeasurable,
)
from evometrics.producers.orchestrator.pool import AgentPool, PooledAgent, Replace, why_retire
from evometrics.producers.orchestrator.report import NightReport, OrchestratorSettings
from evometrics.producers.orchestrator.schedule import NightlySchedule
from evometrics.producers.orchestrator.strategies import (
    StrategyRegistry,
    StrategySelector,
    shortfalls,
    standard_strategies,
)
from evometrics.schemas.kpis.performance import KpiThresholds, judged, should_evolve, should_retire

log = logging.getLogger(__name__)

#: The clock may be set while waiting for a night: it is checked again after this many seconds.
CLOCK_CHECK_SECONDS = 60.0
WHY_WEAKEST = 3


class NightlyEvolutionOrchestrator:
    """Evolves a pool of agents and records it with a collector that the caller has started.

    Agents are independent: an exception of one is recorded as its failure, and the night continues.
    `replace`, if given, makes a retired agent's successor (in a worker thread). An agent that was made from
    another one's state names it in an attribute `parent_agent_id`; its evolutions are recorded with it up to
    the first that is kept. `on_evolution` is called after each evolution, in the event loop.
    """

    def __init__(
        self,
        agents: Iterable[EvolvableAgent],
        collector: EvolutionMetricsCollector,
        settings: OrchestratorSettings | None = None,
        *,
        strategies: StrategyRegistry | None = None,
        thresholds: KpiThresholds | None = None,
        replace: Replace | None = None,
        on_evolution: Callable[[EvolutionOutcome], None] | None = None,
    ) -> None:
        self._settings = settings or OrchestratorSettings()
        self._collector = collector
        self._thresholds = thresholds or KpiThresholds()
        self._on_evolution = on_evolution
        self._schedule = NightlySchedule.parse(self._settings.run_at, self._settings.time_zone)
        self._selector = StrategySelector(
            strategies or standard_strategies(),
            exploration=self._settings.exploration,
            seed=self._settings.seed,
        )
        self._pool = AgentPool(collector, replace)
        self._given = list(agents)
        self._stopping = asyncio.Event()

    @property
    def agents(self) -> tuple[EvolvableAgent, ...]:
        """The agents in the pool; empty before `start`."""
        return tuple(pooled.agent for pooled in self._pool)

    async def start(self) -> None:
        """Add the agents given, each with a baseline snapshot (errors: see `add`)."""
        given, self._given = self._given, []
        for agent in given:
            if not self._stopping.is_set():
                await self.add(agent)

    async def add(self, agent: EvolvableAgent) -> None:
        """Add one more agent; raises the errors of `AgentPool.add`."""
        await self._pool.add(agent)

    def stop(self) -> None:
        """Start no more evolutions; running ones are finished. May be called by a signal handler."""
        self._stopping.set()

    async def run(self) -> None:
        """Run every night and take continuous snapshots in between, until `stop`."""
        snapshots = asyncio.create_task(self._continuous_snapshots())
        try:
            while not self._stopping.is_set():
                start = self._schedule.next_run(datetime.now(UTC))
                log.info("the next night starts at %s", start.astimezone(self._schedule.zone).isoformat())
                while (
                    left := (start - datetime.now(UTC)).total_seconds()
                ) > 0 and not self._stopping.is_set():
                    await self._pause(min(CLOCK_CHECK_SECONDS, left))
                if not self._stopping.is_set():
                    await self.run_night()
        finally:
            self._stopping.set()
            await snapshots

    async def run_night(self, *, budget: int | None = None, everyone: bool = False) -> NightReport:
        """Evolve once each agent whose KPIs call for it (or `everyone`), at most `budget` of them.

        An agent due for retirement is given this one chance: it is retired only after an evolution. Recorded
        as system event `night_finished`.
        """
        started = time.monotonic()
        slots = asyncio.Semaphore(self._settings.concurrency)
        left = len(self._pool) if budget is None else budget
        outcomes: list[EvolutionOutcome] = []

        def claim(agent: EvolvableAgent, kpis: Mapping[str, float] | None) -> bool:
            nonlocal left
            due = everyone or kpis is None or self._due(agent, kpis)
            if not due or left <= 0 or self._stopping.is_set():
                return False
            left -= 1
            return True

        async def one(pooled: PooledAgent) -> None:
            async with slots:
                if left <= 0 or self._stopping.is_set():
                    return
                try:
                    outcome = await self._evolve(pooled, "nightly", claim=claim)
                except Exception:
                    log.exception("agent %s: the evolution could not be recorded", pooled.agent.agent_id)
                    return
                if outcome is not None:
                    outcomes.append(outcome)

        await asyncio.gather(*(one(pooled) for pooled in self._pool))
        report = NightReport.of(outcomes, agents=len(self._pool), seconds=time.monotonic() - started)
        await self._collector.record_system_event("night_finished", dataclasses.asdict(report))
        log.info("the night has finished: %s", report)
        return report

    async def evolve_agent(self, agent: EvolvableAgent, trigger_reason: str = "") -> bool:
        """Evolve one agent of the pool now; return whether the result was kept.

        Raises `KeyError` where the agent is not in the pool.
        """
        outcome = await self._evolve(self._pool[agent.agent_id], "triggered", trigger_reason)
        return outcome is not None and outcome.status == "succeeded"

    async def snapshot_agents(self) -> None:
        """Record a continuous snapshot of each agent; one that can't be measured is logged and skipped."""
        for pooled in self._pool:
            async with pooled.lock:
                if pooled.agent.agent_id not in self._pool or self._stopping.is_set():
                    continue
                try:
                    kpis = await measure(pooled.agent)
                except Exception as error:
                    log.warning("agent %s: no snapshot taken: %s", pooled.agent.agent_id, describe(error))
                    continue
                objective, direction = aim(pooled.agent)
                await self._collector.record_kpi_snapshot(
                    pooled.agent.agent_id, kpis, phase="continuous", objective=objective, direction=direction
                )

    async def _evolve(
        self,
        pooled: PooledAgent,
        evolution_type: str,
        trigger_reason: str = "",
        claim: Callable[[EvolvableAgent, Mapping[str, float] | None], bool] = lambda agent, kpis: True,
    ) -> EvolutionOutcome | None:
        """Measure an agent and evolve it if its KPIs call for it; None where they do not."""
        agent = pooled.agent
        async with pooled.lock:
            if agent.agent_id not in self._pool:
                return None
            before: dict[str, float] | None = None
            try:
                before = await measure(agent)
            except Exception as error:
                log.exception("agent %s can't be measured, so it is not evolved", agent.agent_id)
                problem = error
            if not claim(agent, before):
                return None
            pooled.generation += 1
            if before is None:
                why = trigger_reason or "evolution due"
                outcome = await record_unmeasurable(
                    agent, problem, evolution_type, why, pooled.generation, self._collector
                )
            else:
                plan = self._plan(pooled, evolution_type, trigger_reason, before)
                outcome = await evolve(agent, before, plan, self._collector)
                self._selector.observe(agent.agent_id, plan.strategy, outcome.status == "succeeded")
                if outcome.status == "succeeded":
                    pooled.parent_agent_id = None
            outcome = await self._retire_where_due(agent, outcome)
        if self._on_evolution is not None:
            try:
                self._on_evolution(outcome)
            except Exception:
                log.exception("on_evolution failed for agent %s; the night continues", outcome.agent_id)
        return outcome

    def _plan(
        self, pooled: PooledAgent, evolution_type: str, trigger_reason: str, kpis: Mapping[str, float]
    ) -> EvolutionPlan:
        agent_id, generation = pooled.agent.agent_id, pooled.generation
        objective, direction = aim(pooled.agent)
        emergency = evolution_type == "nightly" and should_retire(
            kpis, self._thresholds, objective=objective, direction=direction
        )
        return EvolutionPlan(
            strategy=self._selector.select(agent_id, generation, kpis),
            evolution_type="emergency" if emergency else evolution_type,
            trigger_reason=trigger_reason or why_evolve(kpis),
            generation=generation,
            seed=random.Random(f"{self._settings.seed}|{agent_id}|{generation}|agent").getrandbits(31),
            min_gain=self._settings.min_gain,
            parent_agent_id=pooled.parent_agent_id,
        )

    async def _retire_where_due(self, agent: EvolvableAgent, outcome: EvolutionOutcome) -> EvolutionOutcome:
        """Retire the agent if its KPIs call for it or it could not be rolled back."""
        reason = "could not be rolled back"
        if outcome.intact:
            reason = why_retire(outcome.kpis, self._thresholds) if judged(*aim(agent)) else ""
        if not reason:
            return outcome
        self._selector.forget(outcome.agent_id)
        await self._pool.retire(outcome.agent_id, reason, outcome.kpis)
        return dataclasses.replace(outcome, retired=True)

    def _due(self, agent: EvolvableAgent, kpis: Mapping[str, float]) -> bool:
        if not judged(*aim(agent)):
            return True
        return should_evolve(kpis, self._thresholds) or should_retire(kpis, self._thresholds)

    async def _continuous_snapshots(self) -> None:
        while self._settings.snapshot_interval and not self._stopping.is_set():
            await self._pause(self._settings.snapshot_interval)
            await self.snapshot_agents()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not past `stop`."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


def why_evolve(kpis: Mapping[str, float]) -> str:
    """Return the KPIs that are furthest from their goals, e.g. `weak: accuracy 0.61, reliability 0.7`."""
    weak = list(shortfalls(kpis))[:WHY_WEAKEST]
    return (
        "weak: " + ", ".join(f"{name} {kpis[name]:.2g}" for name in weak)
        if weak
        else "every KPI meets its goal"
    )
