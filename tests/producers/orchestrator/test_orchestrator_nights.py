"""Nights of the orchestrator: whom it evolves, when, how many at once, and what stops it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.orchestrator.agent import EvolutionContext, EvolvableAgent
from evometrics.producers.orchestrator.evolution import EvolutionOutcome
from evometrics.producers.orchestrator.report import NightReport, OrchestratorSettings
from evometrics.producers.orchestrator.strategies import Strategy
from evometrics.schemas.events import EvolutionCompleted, KpiSnapshot, SystemEvent
from evometrics.schemas.service.settings import SettingsError
from tests.support.outboxes import NO_BROKER, with_snapshots
from tests.support.pupils import Pupil, orchestrator, recorded, story, strict_collector

collector = pytest.fixture(strict_collector)


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


async def test_a_parent_is_recorded_up_to_the_first_evolution_that_is_kept(
    collector: EvolutionMetricsCollector,
) -> None:
    made = Pupil("made", [-0.1, 0.1, 0.1])
    made.parent_agent_id = "parent"  # type: ignore[attr-defined]
    orchestra = await orchestrator(collector, made)
    for _ in range(3):
        await orchestra.run_night(everyone=True)
    done = [e for e in recorded(collector) if isinstance(e, EvolutionCompleted)]
    assert [(e.status, e.parent_agent_id) for e in done] == [
        ("rolled_back", "parent"),
        ("succeeded", "parent"),
        ("succeeded", None),
    ]


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

    monkeypatch.setattr("evometrics.producers.orchestrator.schedule.NightlySchedule.next_run", next_run)
    running = asyncio.create_task(orchestra.run())
    await asyncio.wait_for(evolved.wait(), 60)
    began = datetime.now(UTC)
    orchestra.stop()
    await asyncio.wait_for(running, 60)
    assert began >= soon
    events = with_snapshots(recorded(collector))
    phases = [e.phase for e in events if isinstance(e, KpiSnapshot) and e.agent_id == "a"]
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
