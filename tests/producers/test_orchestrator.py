"""What the orchestrator does with agents and what it records, read back from a real collector's outbox."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evometrics.producers.collector import EvolutionMetricsCollector
from evometrics.producers.evolution import EvolutionOutcome
from evometrics.producers.evolvable import EvolutionContext, EvolutionFailed, EvolvableAgent
from evometrics.producers.kpi import AgentKPI
from evometrics.producers.night import NightReport, OrchestratorSettings
from evometrics.producers.orchestrator import NightlyEvolutionOrchestrator
from evometrics.producers.pool import why_retire
from evometrics.producers.strategies import Strategy
from evometrics.schemas.events import Event, EvolutionCompleted, KpiSnapshot, SystemEvent
from evometrics.schemas.kpis import KPI_NAMES, KpiThresholds, should_retire
from evometrics.schemas.settings import SettingsError
from tests.producers.outbox_tools import NO_BROKER, waiting


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[EvolutionMetricsCollector]:
    config = {
        "node_id": "n1",
        "brokers": NO_BROKER,
        "db_path": str(tmp_path / "outbox.db"),
        "stop_timeout": 0,
        "strict": True,
    }
    recorder = EvolutionMetricsCollector(config)
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


async def test_a_good_evolution_is_kept_and_recorded_in_order(collector: EvolutionMetricsCollector) -> None:
    pupil = Pupil("a", [0.1])
    orchestra = await orchestrator(collector, pupil)
    assert await orchestra.evolve_agent(pupil)
    assert pupil.performance == pytest.approx(0.8)
    events = recorded(collector)
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


async def test_one_agents_error_does_not_stop_the_night(collector: EvolutionMetricsCollector) -> None:
    broken, blind = Pupil("broken", [RuntimeError("bug")]), Pupil("blind")
    good = [Pupil(f"good-{n}", [0.05]) for n in range(3)]
    orchestra = await orchestrator(collector, broken, blind, *good)
    blind.unmeasurable = True
    report = await orchestra.run_night(everyone=True)
    assert replace(report, seconds=0.0) == NightReport(evolutions=5, succeeded=3, failed=2, agents=5)
    completed = {e.agent_id: e for e in recorded(collector) if isinstance(e, EvolutionCompleted)}
    assert completed["blind"].insights == ["error: evaluate_kpi: RuntimeError: the sensor is off"]
    assert {e.status for name, e in completed.items() if name.startswith("good")} == {"succeeded"}
    (night,) = [e for e in recorded(collector, nights=True) if isinstance(e, SystemEvent) and not e.agent_id]
    assert night.event_type == "night_finished" and json.loads(night.data)["failed"] == 2


async def test_a_night_evolves_those_that_should_and_at_most_the_budget(
    collector: EvolutionMetricsCollector,
) -> None:
    strong, weak = Pupil("strong", performance=0.9), [Pupil(f"weak-{n}", [0.05]) for n in range(4)]
    orchestra = await orchestrator(collector, strong, *weak)
    first = await orchestra.run_night(budget=3)
    assert first.evolutions == 3 and not strong.seen
    assert [len(pupil.seen) for pupil in weak] == [1, 1, 1, 0]
    assert (await orchestra.run_night(everyone=True)).evolutions == 5
    assert (await orchestra.run_night(budget=0)).evolutions == 0
    types = {e.evolution_type for e in recorded(collector) if isinstance(e, EvolutionCompleted)}
    assert types == {"nightly"}


async def test_an_agent_past_saving_gets_a_last_chance_then_retires_and_is_replaced(
    collector: EvolutionMetricsCollector,
) -> None:
    lost, saved = Pupil("lost", [-0.1], performance=0.3), Pupil("saved", [0.4], performance=0.3)
    outcomes: list[EvolutionOutcome] = []
    orchestra = await orchestrator(
        collector,
        lost,
        saved,
        replace=lambda agent_id: Pupil(f"{agent_id}-2"),
        on_evolution=outcomes.append,
    )
    report = await orchestra.run_night()
    assert report.retired == 1 and report.agents == 2
    assert [agent.agent_id for agent in orchestra.agents] == ["saved", "lost-2"]
    assert {o.agent_id: o.retired for o in outcomes} == {"lost": True, "saved": False}
    events = recorded(collector)
    assert story([e for e in events if e.agent_id.startswith("lost")])[-4:] == [
        "evolution_completed rolled_back",
        "system_event agent_retired",
        "kpi_snapshot baseline",
        "system_event agent_born",
    ]
    (retired,) = [e for e in events if isinstance(e, SystemEvent) and e.event_type == "agent_retired"]
    assert json.loads(retired.data) == {
        "agent_id": "lost",
        "reason": "performance 0.3 < 0.5, accuracy 0.3 < 0.4",
        "generation": 1,
        "performance": 0.3,
    }
    assert {e.evolution_type for e in events if isinstance(e, EvolutionCompleted)} == {"emergency"}


async def test_a_successor_that_cannot_be_made_leaves_the_night_going(
    collector: EvolutionMetricsCollector,
) -> None:
    def barren(agent_id: str) -> EvolvableAgent:
        raise RuntimeError("no more agents")

    lost, other = Pupil("lost", [0.0], performance=0.3), Pupil("other")
    orchestra = await orchestrator(collector, lost, other, replace=barren)
    report = await orchestra.run_night()
    assert report.evolutions == 2 and report.retired == 1 and report.agents == 1


async def test_a_listener_that_fails_does_not_stop_the_night(collector: EvolutionMetricsCollector) -> None:
    def listen(outcome: EvolutionOutcome) -> None:
        raise RuntimeError("deaf")

    orchestra = await orchestrator(collector, Pupil("a"), Pupil("b"), on_evolution=listen)
    assert (await orchestra.run_night()).evolutions == 2


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
    assert not completed.rollback_performed
    assert completed.insights[-1] == "error: roll_back: OSError: state is gone"
    assert json.loads(retired.data)["reason"] == "it can't be rolled back"


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
            time.sleep(0.3)
            return super().apply_strategy(strategy, context)

    slow, ticks = Slow("slow"), 0
    orchestra = await orchestrator(collector, slow)
    evolving = asyncio.create_task(orchestra.evolve_agent(slow))
    while not evolving.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 5 and threading.get_ident() not in slow.threads


async def test_concurrency_is_bounded_and_used(collector: EvolutionMetricsCollector) -> None:
    at_once: list[int] = []
    running = 0

    class Busy(Pupil):
        def apply_strategy(self, strategy: Strategy, context: EvolutionContext) -> list[str]:
            nonlocal running
            running += 1
            at_once.append(running)
            time.sleep(0.05)
            running -= 1
            return super().apply_strategy(strategy, context)

    agents = [Busy(f"a{n}") for n in range(9)]
    orchestra = await orchestrator(collector, *agents, settings=OrchestratorSettings(concurrency=3))
    report = await orchestra.run_night(budget=7)
    assert max(at_once) == 3 and report.evolutions == 7


async def test_the_same_seed_makes_the_same_choices(tmp_path: Path) -> None:
    async def choices(seed: int, concurrency: int) -> dict[str, list[tuple[str, int, int]]]:
        config = {"brokers": NO_BROKER, "db_path": str(tmp_path / "o.db"), "stop_timeout": 0}
        collector = EvolutionMetricsCollector(config)
        await collector.start()
        agents = [Pupil(f"a{n}", [0.02, -0.1, 0.01, -0.1]) for n in range(5)]
        settings = OrchestratorSettings(seed=seed, exploration=0.5, concurrency=concurrency)
        orchestra = await orchestrator(collector, *agents, settings=settings)
        for _ in range(4):
            await orchestra.run_night(everyone=True)
        await collector.stop()
        return {agent.agent_id: agent.seen for agent in agents}

    assert await choices(1, 1) == await choices(1, 4)
    assert await choices(1, 1) != await choices(2, 1)


async def test_continuous_snapshots_come_between_evolutions_and_the_night_on_time(
    collector: EvolutionMetricsCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    pupil, blind = Pupil("a"), Pupil("blind")
    settings, evolved = OrchestratorSettings(snapshot_interval=0.05), asyncio.Event()
    orchestra = await orchestrator(
        collector, pupil, blind, settings=settings, on_evolution=lambda outcome: evolved.set()
    )
    blind.unmeasurable = True
    soon = datetime.now(UTC) + timedelta(seconds=0.4)

    def next_run(schedule: object, now: datetime) -> datetime:
        return soon if now < soon else soon + timedelta(days=1)

    monkeypatch.setattr("evometrics.producers.schedule.NightlySchedule.next_run", next_run)
    running = asyncio.create_task(orchestra.run())
    await asyncio.wait_for(evolved.wait(), 10)
    began = datetime.now(UTC)
    orchestra.stop()
    await asyncio.wait_for(running, 10)
    assert began >= soon
    phases = [e.phase for e in recorded(collector) if isinstance(e, KpiSnapshot) and e.agent_id == "a"]
    assert phases[0] == "baseline" and phases.index("pre_evolution") > phases.index("continuous")


async def test_stop_finishes_the_evolution_under_way_and_begins_no_other(
    collector: EvolutionMetricsCollector,
) -> None:
    entered = threading.Event()

    class Slow(Pupil):
        def apply_strategy(self, strategy: Strategy, context: EvolutionContext) -> list[str]:
            entered.set()
            time.sleep(0.2)
            return super().apply_strategy(strategy, context)

    agents = [Slow(f"a{n}", [0.1]) for n in range(4)]
    orchestra = await orchestrator(collector, *agents)
    night = asyncio.create_task(orchestra.run_night(everyone=True))
    await asyncio.to_thread(entered.wait, 10)
    orchestra.stop()
    report = await night
    assert report.evolutions == report.succeeded == 1


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


@pytest.mark.parametrize(
    "setting",
    [
        {"run_at": "25:00"},
        {"time_zone": "Mars/Olympus"},
        {"min_gain": -0.1},
        {"min_gain": float("nan")},
        {"exploration": 1.1},
        {"concurrency": 0},
        {"snapshot_interval": -1.0},
    ],
)
def test_a_bad_setting_is_named(setting: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(setting))):
        OrchestratorSettings(**setting)


def test_reports_of_nights_add_up() -> None:
    first = NightReport(evolutions=5, succeeded=2, rolled_back=1, failed=2, retired=1, agents=5, seconds=1.5)
    second = NightReport(evolutions=4, succeeded=4, agents=4, seconds=2.0)
    assert first + second == NightReport(9, 6, 1, 2, 1, 4, 3.5)


@given(st.dictionaries(st.sampled_from([*KPI_NAMES, "performance"]), st.floats(0, 1)))
def test_there_is_a_reason_to_retire_exactly_when_an_agent_should(kpis: dict[str, float]) -> None:
    thresholds = KpiThresholds()
    assert bool(why_retire(kpis, thresholds)) == should_retire(kpis, thresholds)
