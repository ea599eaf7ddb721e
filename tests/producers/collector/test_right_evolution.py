"""A completion belongs to the right start, has the right times, and counts once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evometrics.producers import EvolutionCompletionEvent, EvolutionEvent, EvolutionMetricsCollector
from evometrics.producers.collector.history import HistoryEntry
from evometrics.producers.collector.journal import Journal
from evometrics.producers.events import open_evolutions as active
from evometrics.producers.events.progress import ProgressSampling
from evometrics.schemas.events import EvolutionProgressed
from tests.support.outboxes import waiting


class SetClock:
    """The node's clock, which somebody sets: `shift` seconds are added to it."""

    def __init__(self) -> None:
        self.real = time.time
        self.shift = 0.0

    def __call__(self) -> float:
        return self.real() + self.shift


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetClock]:
    clock = SetClock()
    monkeypatch.setattr(time, "time", clock)
    yield clock
    monkeypatch.undo()


def last(collector: EvolutionMetricsCollector) -> HistoryEntry:
    return collector.metrics_history[-1]


async def start(collector: EvolutionMetricsCollector, at: float, **fields: Any) -> None:
    await collector.record_evolution_start(EvolutionEvent(agent_id="a", timestamp=at, **fields))


async def test_overlapping_evolutions_are_told_apart_by_when_they_began(
    collector: EvolutionMetricsCollector,
) -> None:
    now = time.time()
    for begun, name in ((now - 300, "long"), (now - 120, "middle"), (now - 30, "short")):
        await start(collector, begun, strategy=name, pre_evolution_kpis={"performance": 0.5})
    for ended, lasted, name in ((now - 1, 119.2, "middle"), (now, 29.6, "short"), (now, 300, "long")):
        await collector.record_evolution_completion(
            EvolutionCompletionEvent(agent_id="a", timestamp=ended, duration_seconds=lasted, success=True)
        )
        assert last(collector).strategy_used == name
    assert not collector.active_collections


async def test_an_old_start_that_never_completed_is_not_taken_for_a_later_evolution(
    collector: EvolutionMetricsCollector,
) -> None:
    now = time.time()
    await start(collector, now - 7200, strategy="tune")
    await collector.record_evolution_completion(
        EvolutionCompletionEvent(agent_id="a", timestamp=now - 1, duration_seconds=20, success=True)
    )
    assert last(collector).strategy_used == ""
    assert last(collector).started_at == round((now - 21) * 1e6)
    await start(collector, now, evolution_type="nightly", strategy="tune")
    await collector.record_evolution_completion(agent_id="a", evolution_type="emergency", success=True)
    assert (last(collector).evolution_type, last(collector).strategy_used) == ("emergency", "")
    assert len(collector.active_collections) == 2


async def test_a_completion_without_an_agent_has_that_of_the_evolution_it_names(
    collector: EvolutionMetricsCollector,
) -> None:
    await start(collector, time.time(), evolution_id="e-1")
    assert await collector.record_evolution_completion({"evolution_id": "e-1", "success": True})
    assert last(collector).agent_id == "a"
    await start(collector, time.time(), evolution_id="e-2", strategy="tune")
    await collector.record_evolution_completion(agent_id="b", evolution_id="e-2", success=True)
    assert last(collector).strategy_used == "", "another agent's start is not lent"


async def test_the_very_same_completion_given_twice_counts_once(collector: EvolutionMetricsCollector) -> None:
    await start(collector, time.time() - 5)
    event = EvolutionCompletionEvent(agent_id="a", success=True, duration_seconds=5)
    first = await collector.record_evolution_completion(event)
    assert await collector.record_evolution_completion(event) == first
    named = {"agent_id": "b", "evolution_id": "e", "success": True, "post_kpis": {"x": 1.0}}
    second = await collector.record_evolution_completion(named)
    assert await collector.record_evolution_completion(dict(named)) == second
    assert await collector.record_evolution_completion({**named, "post_kpis": {"x": 2.0}}) != second
    nameless = {"agent_id": "c", "success": True}
    assert await collector.record_evolution_completion(nameless) != (
        await collector.record_evolution_completion(nameless)
    ), "two evolutions may look alike where neither has an id nor a time"
    completed = [e for e in waiting(collector) if e.record == "evolution_completed"]
    assert [e.agent_id for e in completed] == ["a", "b", "b", "c", "c"]


async def test_a_completion_that_bears_the_time_of_its_start_ends_a_duration_later(
    collector: EvolutionMetricsCollector,
) -> None:
    begun = time.time() - 600
    await collector.record_evolution_completion(
        SimpleNamespace(agent_id="a", timestamp=begun, duration_seconds=600, success=True)
    )
    assert last(collector).started_at == round(begun * 1e6)
    assert abs(last(collector).occurred_at / 1e6 - time.time()) < 60
    ended = time.time() - 1000
    await collector.record_evolution_completion(
        SimpleNamespace(agent_id="a", timestamp=ended, duration_seconds=600, success=True)
    )
    assert last(collector).occurred_at == round(ended * 1e6), "long ago: the time is that of the end"
    await collector.record_evolution_completion(
        EvolutionCompletionEvent(agent_id="b", timestamp=begun, duration_seconds=600, success=True)
    )
    assert last(collector).occurred_at == round(begun * 1e6), "the specification's object says when it ended"


@pytest.mark.parametrize("shift", [-0.3, -3600, -3 * 86_400, 7200], ids="{:+g} s".format)
async def test_a_clock_that_is_set_in_between_changes_no_duration(
    collector: EvolutionMetricsCollector, clock: SetClock, shift: float
) -> None:
    begun = time.time()
    await start(collector, begun, strategy="tune")
    await asyncio.sleep(0.1)
    clock.shift = shift
    assert await collector.record_evolution_completion(
        EvolutionCompletionEvent(
            agent_id="a", timestamp=time.time(), success=True, duration_seconds=time.time() - begun
        )
    )
    done = last(collector)
    assert done.strategy_used == "tune"
    assert 0.09 < done.duration_seconds < 60
    assert abs(done.occurred_at / 1e6 - time.time()) < 60
    assert abs((done.occurred_at - done.started_at) / 1e6 - done.duration_seconds) < 30
    async with collector.evolution("b") as run:
        await asyncio.sleep(0.1)
        clock.shift = 0
        await run.complete()
    assert 0.09 < last(collector).duration_seconds < 60


@pytest.mark.parametrize("lasted", [-5.0, float("nan"), float("inf"), 1e12, "long"], ids=str)
async def test_a_duration_that_cannot_be_is_measured_or_unknown_never_the_reason_to_lose_the_event(
    collector: EvolutionMetricsCollector, lasted: Any
) -> None:
    event = {"agent_id": "a", "success": True, "duration_seconds": lasted}
    assert await collector.record_evolution_completion(event)
    assert last(collector).duration_seconds is None
    assert "duration_seconds" in last(collector).unmeasured
    async with collector.evolution("a") as run:
        await run.complete(duration_seconds=lasted)
    assert 0 <= last(collector).duration_seconds < 60


async def test_progress_may_be_sampled_and_the_last_is_always_kept(
    collector: EvolutionMetricsCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector.recording, "sampling", ProgressSampling.of("every 10"))
    async with collector.evolution("a") as run:
        kept = [
            await collector.record_evolution_progress("a", i, i / 100, evolution_id=run.evolution_id)
            for i in range(25)
        ]
        await run.complete()
    assert [i for i, event_id in enumerate(kept) if event_id] == [0, 10, 20]
    progress = [e.iteration for e in waiting(collector) if e.record == "evolution_progressed"]  # type: ignore[attr-defined]
    assert progress == [0, 10, 20, 24]
    assert last(collector).progress_share == 4 / 25
    assert last(collector).fitness_trajectory == [i / 100 for i in range(25)]
    monkeypatch.setattr(collector.recording, "sampling", ProgressSampling.of("60"))
    seconds = iter(range(0, 1000, 25))
    async with collector.evolution("b") as run:
        monkeypatch.setattr(active, "ticks", lambda: 1e6 + next(seconds))
        for _ in range(8):  # one every 25 seconds
            await run.progress(fitness=0.5)
        await run.complete()
    events = [e for e in waiting(collector) if isinstance(e, EvolutionProgressed) and e.agent_id == "b"]
    assert [e.iteration for e in events] == [0, 3, 6, 7]


async def test_the_same_completion_counts_once_also_where_its_start_was_recorded(
    collector: EvolutionMetricsCollector,
) -> None:
    now = time.time()
    await start(collector, now - 8, strategy="tune", pre_evolution_kpis={"x": 1})
    await start(collector, now - 9, strategy="other", pre_evolution_kpis={"x": 2})
    event = EvolutionCompletionEvent(agent_id="a", timestamp=now, duration_seconds=8, success=True)
    ids = await asyncio.gather(*(collector.record_evolution_completion(event) for _ in range(3)))
    assert len(set(ids)) == 1 and None not in ids
    assert [e.strategy_used for e in collector.metrics_history] == ["tune"]
    assert [e.started.strategy for e in collector.active_collections.values()] == ["other"]


async def test_evolutions_that_begin_within_one_second_have_an_id_each(
    collector: EvolutionMetricsCollector,
) -> None:
    begun = float(int(time.time()) - 100)
    for number in range(3):
        await start(collector, begun + number / 10, strategy=f"s{number}", pre_evolution_kpis={"x": number})
    for number in (1, 2, 0):
        ended = begun + number / 10 + 50
        await collector.record_evolution_completion(
            EvolutionCompletionEvent(agent_id="a", timestamp=ended, duration_seconds=50.0, success=True)
        )
        assert (last(collector).strategy_used, last(collector).pre_kpis) == (f"s{number}", {"x": number})
    assert len({e.evolution_id for e in collector.metrics_history}) == 3
    assert collector.metrics_history[-1].evolution_id == f"a-{int(begun)}", "the first has the plain one"


async def test_agents_may_share_an_evolution_id(collector: EvolutionMetricsCollector) -> None:
    for agent in ("one", "two", "three"):
        await collector.record_evolution_start(
            agent_id=agent, evolution_id="night-7", strategy=agent, pre_kpis={"x": 0.5}
        )
        await collector.record_evolution_progress(agent, 0, 0.25, evolution_id="night-7")
    for agent in ("two", "one", "three"):
        await collector.record_evolution_completion(agent_id=agent, evolution_id="night-7", success=True)
        assert (last(collector).strategy_used, last(collector).fitness_trajectory) == (agent, [0.25])
        assert last(collector).memory_used_mb > 1
    assert not collector.active_collections and not collector.sampler.watches


async def test_a_start_that_kept_its_caller_waiting_is_still_the_start_of_what_began_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's own watch runs from when the collector let it continue, not from the start's time."""

    def slow(journal: Journal, open_it: Callable[[Journal], None] = Journal.open) -> None:
        time.sleep(0.5)
        open_it(journal)

    monkeypatch.setattr(Journal, "open", slow)
    monkeypatch.setattr(active, "NEAR", 0.1)
    collector = EvolutionMetricsCollector({"node_id": "n", "db_path": str(tmp_path / "e.db")})
    await start(collector, time.time(), strategy="tune", pre_evolution_kpis={"performance": 0.5})
    begun = time.time()
    for strategy, ended in (("", begun + 1.0), ("tune", begun + 0.1)):
        await collector.record_evolution_completion(
            EvolutionCompletionEvent(agent_id="a", timestamp=ended, duration_seconds=0.02, success=True)
        )
        assert last(collector).strategy_used == strategy
    await collector.stop()
