"""One agent's evolution by the orchestrator, and what of it is recorded, read back from a real outbox."""

from __future__ import annotations

import pytest

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.orchestrator.agent import EvolutionFailed
from evometrics.schemas.events import EvolutionCompleted, KpiSnapshot
from tests.support.outboxes import with_snapshots
from tests.support.pupils import Pupil, orchestrator, recorded, story, strict_collector

collector = pytest.fixture(strict_collector)


async def test_a_good_evolution_is_kept_and_recorded_in_order(collector: EvolutionMetricsCollector) -> None:
    pupil = Pupil("a", [0.1])
    orchestra = await orchestrator(collector, pupil)
    assert await orchestra.evolve_agent(pupil)
    assert pupil.performance == pytest.approx(0.8)
    events = with_snapshots(recorded(collector))
    assert story(events) == [
        "kpi_snapshot baseline",
        "evolution_started",
        "kpi_snapshot pre_evolution",
        "evolution_progressed",
        "evolution_progressed",
        "kpi_snapshot post_evolution",
        "evolution_completed succeeded",
    ]
    assert {e.agent_id for e in events} == {"a"} and {e.node_id for e in events} == {"n1"}
    assert len({e.evolution_id for e in events[1:]}) == 1  # type: ignore[attr-defined]
    completed = events[-1]
    assert isinstance(completed, EvolutionCompleted)
    assert completed.success and not completed.rollback_performed
    assert completed.evolution_type == "triggered" and completed.generation == 1
    assert completed.strategy_used == pupil.seen[0][0] and completed.target_gain
    assert completed.risk_level in {"low", "medium", "high"}
    assert completed.pre_kpis == {"performance": 0.7, "accuracy": 0.7}
    assert completed.post_kpis["performance"] == pytest.approx(0.8)
    assert completed.fitness_trajectory == pytest.approx([0.7, 0.8])
    assert completed.insights == ["learnt something"]
    assert completed.trigger_reason == "weak: accuracy 0.7"


class LossPupil(Pupil):
    """An agent that optimizes a loss; a KPI of 0.02 would retire any other."""

    objective, direction = "performance", "minimize"


async def test_an_agent_with_an_objective_is_kept_where_that_got_better_and_never_judged(
    collector: EvolutionMetricsCollector,
) -> None:
    pupil = LossPupil("a", [-0.01, 0.01], performance=0.03)
    orchestra = await orchestrator(collector, pupil)
    report = await orchestra.run_night()
    assert (report.succeeded, report.retired, pupil.performance) == (1, 0, pytest.approx(0.02))
    report = await orchestra.run_night()
    assert (report.rolled_back, report.retired, pupil.performance) == (1, 0, pytest.approx(0.02))
    for event in recorded(collector):
        if event.record not in ("evolution_progressed", "system_event"):
            assert (event.objective, event.direction) == ("performance", "minimize")  # type: ignore[attr-defined]
            assert getattr(event, "evolution_type", "nightly") == "nightly", "no emergency"


@pytest.mark.parametrize("gain", [0.0049, 0.0, -0.3])
async def test_below_the_threshold_the_agent_is_set_back(
    collector: EvolutionMetricsCollector, gain: float
) -> None:
    pupil = Pupil("a", [gain])
    orchestra = await orchestrator(collector, pupil)
    assert not await orchestra.evolve_agent(pupil)
    assert pupil.performance == 0.7
    *_, snapshot, completed = recorded(collector)
    assert isinstance(snapshot, KpiSnapshot) and isinstance(completed, EvolutionCompleted)
    assert snapshot.phase == "post_evolution" and snapshot.overall_performance == 0.7
    assert completed.status == "rolled_back" and completed.rollback_performed and not completed.success
    assert completed.post_kpis["performance"] == pytest.approx(0.7 + gain)


@pytest.mark.parametrize(
    ("error", "insight", "errors"),
    [
        (ValueError("out of range"), "error: ValueError: out of range", 1),
        (EvolutionFailed("no use"), "no use", 0),
    ],
)
async def test_what_an_agent_raises_is_a_recorded_failure_and_it_is_set_back(
    collector: EvolutionMetricsCollector, error: Exception, insight: str, errors: int
) -> None:
    pupil = Pupil("a", [error])
    orchestra = await orchestrator(collector, pupil)
    assert not await orchestra.evolve_agent(pupil)
    assert pupil.performance == 0.7
    completed = recorded(collector)[-1]
    assert isinstance(completed, EvolutionCompleted)
    assert completed.status == "failed" and completed.rollback_performed
    assert completed.insights == [insight] and completed.error_count == errors
    assert completed.fitness_trajectory == pytest.approx([0.7, 0.8]), "progress before the failure is kept"
