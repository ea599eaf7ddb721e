"""One evolution of one agent, from the KPIs before to the decision to keep or roll back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.collector.evolution_run import EvolutionRun
from evometrics.producers.orchestrator.agent import (
    EvolutionContext,
    EvolutionFailed,
    EvolvableAgent,
    aim,
    call,
    measure,
)
from evometrics.producers.orchestrator.strategies import Strategy
from evometrics.schemas.kpis.performance import FORMULA_KPIS, improvement, scored

log = logging.getLogger(__name__)

Status = Literal["succeeded", "failed", "rolled_back"]


@dataclass(frozen=True, slots=True)
class EvolutionPlan:
    """What to do to an agent, and why; the result is kept if performance rises by `min_gain`.

    `parent_agent_id` names the agent whose state it still has, if that is not its own.
    """

    strategy: Strategy
    evolution_type: str
    trigger_reason: str
    generation: int
    seed: int
    min_gain: float
    parent_agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class EvolutionOutcome:
    """Result of one evolution.

    Attributes:
        status: succeeded (kept), rolled_back (worse than asked for) or failed (it raised).
        reason: why it was kept or not.
        after: KPIs of the evolved agent, also where it was rolled back; empty where it failed before.
        kpis: KPIs of the agent as it is now; empty where it can't be measured.
        gain: performance after minus before; None where one of them is unknown.
        rolled_back: whether the agent was restored to its previous state.
        intact: False where it could not be restored; it must not be used any more.
        retired: whether the orchestrator removed the agent from its pool afterwards.
    """

    agent_id: str
    strategy: str
    generation: int
    status: Status
    reason: str
    after: Mapping[str, float] = field(default_factory=dict)
    kpis: Mapping[str, float] = field(default_factory=dict)
    gain: float | None = None
    rolled_back: bool = False
    intact: bool = True
    insights: tuple[str, ...] = ()
    retired: bool = False


async def evolve(
    agent: EvolvableAgent,
    before: Mapping[str, float],
    plan: EvolutionPlan,
    collector: EvolutionMetricsCollector,
) -> EvolutionOutcome:
    """Perform one evolution and record it: start, the KPIs before, progress, the KPIs after, completion.

    Whatever the agent raises becomes a recorded failure, never an exception here.
    """
    objective, direction = aim(agent)
    async with collector.evolution(
        agent.agent_id,
        evolution_type=plan.evolution_type,
        strategy=plan.strategy.name,
        risk_level=plan.strategy.risk_level,
        target_gain=plan.strategy.target_gain,
        trigger_reason=plan.trigger_reason,
        generation=plan.generation,
        pre_kpis=dict(before),
        objective=objective,
        direction=direction,
    ) as run:
        outcome = await attempt(agent, before, plan, run)
        if outcome.kpis:
            await collector.record_kpi_snapshot(
                agent.agent_id, outcome.kpis, phase="post_evolution", evolution_id=run.evolution_id
            )
        await run.complete(
            post_kpis=dict(outcome.after),
            success=outcome.status == "succeeded",
            status=outcome.status,
            rollback_performed=outcome.rolled_back,
            insights=list(outcome.insights),
            parent_agent_id=plan.parent_agent_id,
        )
    return outcome


async def attempt(
    agent: EvolvableAgent, before: Mapping[str, float], plan: EvolutionPlan, run: EvolutionRun
) -> EvolutionOutcome:
    """Apply the strategy, measure, and keep the result or restore the agent."""
    outcome = EvolutionOutcome(agent.agent_id, plan.strategy.name, plan.generation, "failed", "")
    try:
        state = await call(agent.export_state)
    except Exception as error:
        log.exception("agent %s: export_state failed; the agent is left unchanged", agent.agent_id)
        reason = f"error: export_state: {describe(error)}"
        return replace(outcome, reason=reason, kpis=before, insights=(reason,))
    insights: tuple[str, ...] = ()
    after: dict[str, float] = {}
    gain: float | None = None
    status: Status = "failed"
    try:
        insights = await apply(agent, before, plan, run)
        after = await measure(agent)
        gain = gained(before, after, *aim(agent))
        if gain >= plan.min_gain:
            reason = f"performance got better by {gain:.4f}"
            return replace(
                outcome,
                status="succeeded",
                reason=reason,
                after=after,
                kpis=after,
                gain=gain,
                insights=insights,
            )
        status, reason = "rolled_back", f"performance changed by {gain:+.4f}, below {plan.min_gain}"
    except EvolutionFailed as error:
        reason = str(error)
    except Exception as error:
        log.exception("agent %s: %s failed; the agent is rolled back", agent.agent_id, plan.strategy.name)
        reason = f"error: {describe(error)}"
    outcome = replace(
        outcome, status=status, reason=reason, after=after, gain=gain, insights=(*insights, reason)
    )
    return await set_back(agent, state, outcome)


async def apply(
    agent: EvolvableAgent, before: Mapping[str, float], plan: EvolutionPlan, run: EvolutionRun
) -> tuple[str, ...]:
    """Apply the strategy, recording its progress in the order reported; return the insights."""
    loop = asyncio.get_running_loop()
    reports: asyncio.Queue[tuple[int, float] | None] = asyncio.Queue()

    def report(iteration: int, fitness: float) -> None:
        loop.call_soon_threadsafe(reports.put_nowait, (int(iteration), float(fitness)))

    async def record() -> None:
        while (item := await reports.get()) is not None:
            await run.progress(*item)

    context = EvolutionContext(generation=plan.generation, seed=plan.seed, kpis=before, report=report)
    recording = asyncio.create_task(record())
    try:
        insights = await call(agent.apply_strategy, plan.strategy, context)
    finally:
        loop.call_soon(reports.put_nowait, None)  # after the reports that the worker thread has queued
        await recording
    return tuple(map(str, insights or ()))


async def set_back(agent: EvolvableAgent, state: Any, outcome: EvolutionOutcome) -> EvolutionOutcome:
    """Roll the agent back and measure it again: its actual KPIs are recorded, not the expected ones."""
    try:
        await call(agent.roll_back, state)
    except Exception as error:
        log.exception("agent %s: roll_back failed; the agent is retired", agent.agent_id)
        insight = f"error: roll_back: {describe(error)}"
        return replace(outcome, status="failed", intact=False, insights=(*outcome.insights, insight))
    try:
        return replace(outcome, rolled_back=True, kpis=await measure(agent))
    except Exception as error:
        insight = f"error: measuring after the rollback: {describe(error)}"
        return replace(outcome, rolled_back=True, insights=(*outcome.insights, insight))


def gained(
    before: Mapping[str, float],
    after: Mapping[str, float],
    objective: str | None = None,
    direction: str | None = None,
) -> float:
    """Return how much better the performance got; raises `ValueError` where it can't be computed."""
    gain = improvement(scored(after, objective, direction), scored(before, objective, direction), direction)
    if gain is None:
        wanted = f"`performance` or some of {', '.join(FORMULA_KPIS)}" if objective is None else objective
        raise ValueError(
            f"can't compute performance from the KPIs {', '.join(sorted(after)) or '(none)'}; give {wanted}"
        )
    return gain


def describe(error: BaseException) -> str:
    """Return an exception as one line."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def record_unmeasurable(
    agent: EvolvableAgent,
    error: Exception,
    evolution_type: str,
    trigger_reason: str,
    generation: int,
    collector: EvolutionMetricsCollector,
) -> EvolutionOutcome:
    """Record as failed an evolution that could not begin because the agent can't be measured."""
    reason = f"error: evaluate_kpi: {describe(error)}"
    async with collector.evolution(
        agent.agent_id, evolution_type=evolution_type, trigger_reason=trigger_reason, generation=generation
    ) as run:
        await run.complete(success=False, status="failed", insights=[reason])
    return EvolutionOutcome(agent.agent_id, "", generation, "failed", reason, insights=(reason,))
