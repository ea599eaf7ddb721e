"""What may be an agent of the orchestrator, and how one that can't continue is refused or retired."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.events.kpi import AgentKPI
from evometrics.producers.orchestrator.agent import EvolutionContext
from evometrics.producers.orchestrator.pool import why_retire
from evometrics.producers.orchestrator.strategies import Strategy
from evometrics.schemas.events import EvolutionCompleted, KpiSnapshot, SystemEvent
from evometrics.schemas.kpis.performance import KPI_NAMES, KpiThresholds, should_retire
from tests.support.pupils import Pupil, orchestrator, recorded, strict_collector

collector = pytest.fixture(strict_collector)


async def test_agents_may_be_async_and_may_give_objects_with_to_dict(
    collector: EvolutionMetricsCollector,
) -> None:
    class Async:
        agent_id = "async"
        accuracy = 0.6

        async def evaluate_kpi(self) -> AgentKPI:
            await asyncio.sleep(0)
            return AgentKPI(accuracy=self.accuracy, evaluation_count=40, confidence_interval=0.1)

        async def export_state(self) -> float:
            return self.accuracy

        async def apply_strategy(self, strategy: Strategy, context: EvolutionContext) -> None:
            context.report(0, 0.5)
            await asyncio.sleep(0)
            self.accuracy += 0.2

        async def roll_back(self, state: float) -> None:
            self.accuracy = state

    agent = Async()
    orchestra = await orchestrator(collector, agent)
    assert await orchestra.evolve_agent(agent)
    baseline, *later = recorded(collector)
    (completed,) = [e for e in later if isinstance(e, EvolutionCompleted)]
    assert isinstance(baseline, KpiSnapshot)
    assert (baseline.accuracy, baseline.evaluation_count, baseline.confidence_interval) == (0.6, 40, 0.1)
    assert completed.fitness_trajectory == [0.5]


async def test_a_sync_agent_never_blocks_the_event_loop(collector: EvolutionMetricsCollector) -> None:
    class Slow(Pupil):
        def apply_strategy(self, strategy: Strategy, context: EvolutionContext) -> list[str]:
            begun.set()
            assert released.wait(60), "the event loop is blocked"
            return super().apply_strategy(strategy, context)

    begun, released, slow = threading.Event(), threading.Event(), Slow("slow")
    orchestra = await orchestrator(collector, slow)
    evolving = asyncio.create_task(orchestra.evolve_agent(slow))
    assert await asyncio.to_thread(begun.wait, 60)
    released.set()
    assert await evolving
    assert threading.get_ident() not in slow.threads


class NoAgent:
    agent_id = "x"


@pytest.mark.parametrize(
    ("agent", "error", "named"),
    [
        (NoAgent(), TypeError, "NoAgent can't be evolved; it needs agent_id, evaluate_kpi"),
        (Pupil(""), ValueError, "agent_id ''"),
        (Pupil("taken"), ValueError, "agent taken: already in the pool"),
        (
            Pupil("odd", performance=float("nan")),
            ValueError,
            "agent odd: KPI performance=nan is not a finite",
        ),
    ],
)
async def test_a_bad_agent_is_refused_by_name(
    collector: EvolutionMetricsCollector, agent: Any, error: type[Exception], named: str
) -> None:
    orchestra = await orchestrator(collector, Pupil("taken"))
    with pytest.raises(error, match=named):
        await orchestra.add(agent)
    assert [a.agent_id for a in orchestra.agents] == ["taken"]


async def test_kpis_without_a_performance_fail_with_the_way_out(collector: EvolutionMetricsCollector) -> None:
    class Other(Pupil):
        def evaluate_kpi(self) -> Mapping[str, float]:
            return {"laughs_per_minute": self.performance}

        def apply_strategy(self, strategy: Strategy, context: EvolutionContext) -> list[str]:
            self.performance += 1
            return []

    other = Other("other")
    orchestra = await orchestrator(collector, other)
    assert not await orchestra.evolve_agent(other)
    completed = recorded(collector)[-1]
    assert isinstance(completed, EvolutionCompleted)
    assert "laughs_per_minute; give `performance` or some of accuracy" in completed.insights[-1]


async def test_an_agent_that_cannot_be_set_back_must_not_go_on(collector: EvolutionMetricsCollector) -> None:
    class Stuck(Pupil):
        def roll_back(self, state: float) -> None:
            raise OSError("state is gone")

    stuck = Stuck("stuck", [-0.2])
    orchestra = await orchestrator(collector, stuck)
    assert not await orchestra.evolve_agent(stuck)
    assert orchestra.agents == ()
    completed, retired = [e for e in recorded(collector) if isinstance(e, EvolutionCompleted | SystemEvent)]
    assert isinstance(completed, EvolutionCompleted) and isinstance(retired, SystemEvent)
    assert (completed.status, completed.rollback_performed) == ("failed", False)
    assert completed.insights[-1] == "error: roll_back: OSError: state is gone"
    assert json.loads(retired.data)["reason"] == "could not be rolled back"


@given(st.dictionaries(st.sampled_from([*KPI_NAMES, "performance"]), st.floats(0, 1)))
def test_there_is_a_reason_to_retire_exactly_when_an_agent_should(kpis: dict[str, float]) -> None:
    thresholds = KpiThresholds()
    assert bool(why_retire(kpis, thresholds)) == should_retire(kpis, thresholds)
