"""The collector takes the place of the specification's class, and records whatever is handed in."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evometrics.producers import (
    AgentKPI,
    EvolutionCompletionEvent,
    EvolutionEvent,
    EvolutionMetricsCollector,
)
from evometrics.schemas.events import (
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    KpiSnapshot,
    SystemEvent,
)
from evometrics.schemas.ids import derived_id
from tests.support.outboxes import config, until, waiting, with_snapshots


async def test_a_script_of_the_specifications_calls_alone_records_its_events(tmp_path: Path) -> None:
    class Orchestrator:
        """The specification's snippet (integration point A)."""

        def __init__(self) -> None:
            self.config = config(tmp_path, buffer_size=100, flush_interval=60, retention_days=90)

        async def evolve_agent(self, agent_id: str, kpis: dict[str, float], after: dict[str, float]) -> None:
            if not hasattr(self, "metrics_collector"):
                self.metrics_collector = EvolutionMetricsCollector(self.config)
                await self.metrics_collector.start()
            event = EvolutionEvent(agent_id=agent_id, timestamp=1000.25, pre_evolution_kpis=kpis)
            await self.metrics_collector.record_evolution_start(event)
            completion = EvolutionCompletionEvent(
                agent_id=agent_id,
                timestamp=1060.75,
                success=True,
                post_evolution_kpis=after,
                duration_seconds=60.5,
            )
            await self.metrics_collector.record_evolution_completion(completion)

    orchestrator = Orchestrator()
    await orchestrator.evolve_agent("agent-7", {"accuracy": 0.5, "own_kpi": 3}, {"accuracy": 0.75})
    collector = orchestrator.metrics_collector
    await collector.record_system_event("node_started", {"version": "1.2"})
    await collector.record_system_metrics({"load": 0.5})
    started, before, completed, later, system, metrics = with_snapshots(waiting(collector))
    await collector.stop()

    assert isinstance(started, EvolutionStarted)
    assert (started.agent_id, started.node_id, started.occurred_at) == ("agent-7", "node-1", 1000_250_000)
    assert started.evolution_id == "agent-7-1000"
    assert started.pre_kpis == {"accuracy": 0.5, "own_kpi": 3.0}
    assert started.memory_mb > 1
    assert isinstance(completed, EvolutionCompleted)
    assert completed.evolution_id == "agent-7-1000"
    assert (completed.started_at, completed.occurred_at) == (1000_250_000, 1060_750_000)
    assert completed.pre_kpis == {"accuracy": 0.5, "own_kpi": 3.0}
    assert completed.post_kpis == {"accuracy": 0.75}
    assert (completed.success, completed.status, completed.duration_seconds) == (True, "succeeded", 60.5)
    assert completed.memory_used_mb >= started.memory_mb
    assert completed.network_bytes_transferred >= 0
    assert isinstance(system, SystemEvent)
    assert (system.event_type, json.loads(system.data)) == ("node_started", {"version": "1.2"})
    assert isinstance(metrics, SystemEvent)
    assert (metrics.event_type, json.loads(metrics.data)) == ("system_metrics", {"load": 0.5})
    for snapshot, phase, source in ((before, "pre", started), (later, "post", completed)):
        assert isinstance(snapshot, KpiSnapshot)
        assert (snapshot.phase, snapshot.evolution_id) == (f"{phase}_evolution", "agent-7-1000")
        assert snapshot.occurred_at == source.occurred_at
    assert isinstance(before, KpiSnapshot) and isinstance(later, KpiSnapshot)
    assert (before.accuracy, before.extra, later.accuracy) == (0.5, {"own_kpi": 3.0}, 0.75)
    assert list(collector.metrics_history) == [completed]
    (entry,) = collector.metrics_history
    assert (entry.timestamp, entry.duration_minutes) == (1060.75, pytest.approx(60.5 / 60))
    assert entry.performance_score == pytest.approx(0.25 * 0.75)
    delta = entry.improvement_delta
    assert delta is not None and delta == pytest.approx(0.25 * 0.25)
    assert entry.calculate_efficiency() == pytest.approx(delta / (60.5 / 60 * entry.memory_used_mb / 1000))
    as_dict = entry.to_dict()
    assert (as_dict["agent_id"], as_dict["timestamp"], as_dict["started_at"]) == ("agent-7", 1060.75, 1000.25)
    assert as_dict["improvement_delta"] == delta and as_dict["success"] is True


async def test_one_object_may_serve_as_start_and_completion(collector: EvolutionMetricsCollector) -> None:
    event = SimpleNamespace(
        timestamp=2000.0,
        agent_id="a",
        evolution_type="nightly",
        trigger_reason="slow",
        pre_evolution_kpis={"accuracy": 0.1},
        post_evolution_kpis=None,
        generation_change=(3, 4),
        success=False,
        insights=[],
    )
    await collector.record_evolution_start(event)
    assert list(collector.active_collections) == ["a-2000"]
    event.success, event.post_evolution_kpis = True, {"accuracy": 0.2}
    event.insights = ["Error: out of memory", "warning: slow", "WARN again", "no error here"]
    await asyncio.sleep(0.02)
    await collector.record_evolution_completion(event)
    started, completed = waiting(collector)
    assert isinstance(started, EvolutionStarted)
    assert isinstance(completed, EvolutionCompleted)
    assert (started.evolution_type, started.generation, started.trigger_reason) == ("nightly", 4, "slow")
    assert completed.generation == 4
    assert (completed.error_count, completed.warning_count) == (1, 2)
    assert 0.02 <= completed.duration_seconds < 60, "measured, for the event has no duration of its own"
    ended = 2000_000_000 + round(completed.duration_seconds * 1e6)
    assert (completed.started_at, completed.occurred_at) == (2000_000_000, ended)
    assert not collector.active_collections


async def test_an_agents_id_may_be_of_a_kind_of_text_of_its_own(collector: EvolutionMetricsCollector) -> None:
    event = EvolutionCompletionEvent(agent_id=np.str_("agent-7"), success=True)
    assert await collector.record_evolution_completion(event) is not None
    (completed,) = waiting(collector)
    assert completed.agent_id == "agent-7"


async def test_a_completion_without_a_start_still_stands_alone(collector: EvolutionMetricsCollector) -> None:
    await collector.record_evolution_completion(
        SimpleNamespace(agent_id="a", timestamp=5000.0, duration_seconds=1000.0, pre_evolution_kpis={"x": 1})
    )
    (completed,) = waiting(collector)
    assert isinstance(completed, EvolutionCompleted)
    assert (completed.started_at, completed.evolution_id) == (4000_000_000, "a-4000")
    assert (completed.pre_kpis, completed.success, completed.status) == ({"x": 1.0}, False, "failed")
    assert set(completed.unmeasured) == {"memory_used_mb", "cpu_percent_avg", "network_bytes_transferred"}
    (entry,) = collector.metrics_history
    assert (entry.memory_used_mb, entry.to_dict()["cpu_percent_avg"]) == (None, None)


async def test_a_completion_finds_its_own_start_among_several(collector: EvolutionMetricsCollector) -> None:
    for when, kpi in ((100.0, 0.1), (200.0, 0.2)):
        await collector.record_evolution_start(
            SimpleNamespace(agent_id="a", timestamp=when, pre_evolution_kpis={"x": kpi})
        )
    await collector.record_evolution_start(
        SimpleNamespace(agent_id="a", timestamp=300.0, evolution_id="own", pre_evolution_kpis={"x": 0.3})
    )
    for event in (
        SimpleNamespace(agent_id="a", timestamp=900.0, evolution_id="own"),
        SimpleNamespace(agent_id="a", timestamp=100.0),
        SimpleNamespace(agent_id="b", timestamp=900.0),
        SimpleNamespace(agent_id="a", timestamp=900.0),
    ):
        await collector.record_evolution_completion(event)
    completed = [e for e in waiting(collector) if isinstance(e, EvolutionCompleted)]
    assert [(c.evolution_id, c.pre_kpis.get("x")) for c in completed] == [
        ("own", 0.3),
        ("a-100", 0.1),
        ("b-900", None),
        ("a-200", 0.2),
    ]


async def test_numbers_of_numpy_and_an_agents_own_figures_are_taken(
    collector: EvolutionMetricsCollector,
) -> None:
    await collector.record_evolution_completion(
        SimpleNamespace(
            agent_id="a",
            post_evolution_kpis={"accuracy": np.float32(0.5), "n": np.int64(3)},
            duration_seconds=np.float64(2),
            memory_used_mb=12,
            cpu_percent_avg=np.float32(50),
            gpu_memory_mb=7.5,
            network_bytes_transferred=np.int64(9),
            fitness_trajectory=np.array([0.1, 0.3, 0.3, 0.2], dtype=np.float32),
            metadata={"depth": 3, "name": "x"},
            parent_agent_id="b",
            cost_usd=np.float32(0.25),
        )
    )
    (event,) = waiting(collector)
    assert isinstance(event, EvolutionCompleted)
    assert event.post_kpis == {"accuracy": 0.5, "n": 3.0}
    assert (event.memory_used_mb, event.cpu_percent_avg, event.gpu_memory_mb) == (12.0, 50.0, 7.5)
    assert event.network_bytes_transferred == 9
    assert (event.convergence_iterations, len(event.fitness_trajectory)) == (2, 4)
    assert event.metadata == {"depth": "3", "name": "x"}
    assert (event.parent_agent_id, event.cost_usd) == ("b", 0.25)


async def test_an_evolution_block_records_start_progress_and_completion(
    collector: EvolutionMetricsCollector,
) -> None:
    async with collector.evolution(
        "a", evolution_type="nightly", strategy="mutate", pre_kpis={"accuracy": 0.5}, generation=2
    ) as run:
        await run.progress(fitness=0.2)
        await run.progress(5, 0.6)
        await run.progress(fitness=0.4)
        await run.complete(
            post_kpis={"accuracy": 0.6}, insights=["better"], parent_agent_id="b", cost_usd=0.5
        )
    started, *progressed, completed = waiting(collector)
    assert isinstance(started, EvolutionStarted)
    assert isinstance(completed, EvolutionCompleted)
    assert {e.evolution_id for e in (started, completed)} == {run.evolution_id}
    assert [(p.iteration, p.fitness) for p in progressed if isinstance(p, EvolutionProgressed)] == [
        (0, 0.2),
        (5, 0.6),
        (6, 0.4),
    ]
    assert (completed.strategy_used, completed.generation, completed.status) == ("mutate", 2, "succeeded")
    assert (completed.fitness_trajectory, completed.convergence_iterations) == ([0.2, 0.6, 0.4], 2)
    assert (completed.parent_agent_id, completed.cost_usd, completed.progress_share) == ("b", 0.5, 1.0)


async def test_an_exception_in_the_block_is_recorded_as_a_failure_and_goes_on(
    collector: EvolutionMetricsCollector,
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with collector.evolution("a"):
            raise ZeroDivisionError("no data")
    completed = waiting(collector)[-1]
    assert isinstance(completed, EvolutionCompleted)
    assert (completed.status, completed.error_count) == ("failed", 1)
    assert completed.insights == ["error: ZeroDivisionError: no data"]


async def test_a_cancelled_block_is_recorded_as_a_failure(collector: EvolutionMetricsCollector) -> None:
    async def evolve() -> None:
        async with collector.evolution("a"):
            await asyncio.sleep(60)

    task = asyncio.create_task(evolve())
    await until(lambda: collector.recorded)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    completed = waiting(collector)[-1]
    assert isinstance(completed, EvolutionCompleted)
    assert completed.status == "failed"


async def test_leaving_the_block_without_complete_is_a_failure_that_says_so(
    collector: EvolutionMetricsCollector,
) -> None:
    async with collector.evolution("a"):
        pass
    completed = waiting(collector)[-1]
    assert isinstance(completed, EvolutionCompleted)
    assert (completed.success, completed.error_count) == (False, 1)
    assert "without complete()" in completed.insights[0]


async def test_a_rolled_back_evolution_has_that_status(collector: EvolutionMetricsCollector) -> None:
    async with collector.evolution("a") as run:
        await run.complete(post_kpis={}, success=False, rollback_performed=True)
        await run.complete(post_kpis={}, success=True)
    completed = [e for e in waiting(collector) if isinstance(e, EvolutionCompleted)]
    assert [c.status for c in completed] == ["rolled_back"]


async def test_a_kpi_snapshot_has_its_fields_extras_and_performance(
    collector: EvolutionMetricsCollector,
) -> None:
    kpi = AgentKPI(accuracy=0.9, success_rate=0.8, evaluation_count=40, confidence_interval=0.02)
    await collector.record_kpi_snapshot("a", kpi.measured() | {"robustness": 0.3}, phase="baseline")
    (event,) = waiting(collector)
    assert isinstance(event, KpiSnapshot)
    assert (event.accuracy, event.success_rate, event.reliability) == (0.9, 0.8, None)
    assert (event.evaluation_count, event.confidence_interval, event.phase) == (40, 0.02, "baseline")
    assert event.extra == {"robustness": 0.3}
    assert event.overall_performance == pytest.approx(0.25 * 0.9 + 0.2 * 0.8)


async def test_a_snapshot_that_an_evolution_has_already_is_not_recorded_again(
    collector: EvolutionMetricsCollector,
) -> None:
    before, after = {"accuracy": 0.5}, {"accuracy": 0.625}
    async with collector.evolution("a", pre_kpis=before) as run:
        own = await collector.record_kpi_snapshot(
            "a", before, phase="pre_evolution", evolution_id=run.evolution_id
        )
        other = await collector.record_kpi_snapshot(
            "a", {"accuracy": 0.75}, phase="post_evolution", evolution_id=run.evolution_id
        )
        await run.complete(post_kpis=after)
    found = [e for e in with_snapshots(waiting(collector)) if isinstance(e, KpiSnapshot)]
    assert [(e.event_id, e.phase, e.accuracy) for e in found] == [
        (own, "pre_evolution", 0.5),
        (other, "post_evolution", 0.75),
    ]


async def test_kpis_after_a_rollback_are_no_snapshot_for_the_agent_is_no_longer_like_that(
    collector: EvolutionMetricsCollector,
) -> None:
    async with collector.evolution("a", pre_kpis={"accuracy": 0.5}) as run:
        await run.complete(post_kpis={"accuracy": 0.25}, status="rolled_back")
    found = [e for e in with_snapshots(waiting(collector)) if isinstance(e, KpiSnapshot)]
    assert [e.phase for e in found] == ["pre_evolution"]


async def test_ids_of_snapshots_of_evolutions_are_derived(collector: EvolutionMetricsCollector) -> None:
    await collector.record_evolution_completion(
        agent_id="a", success=True, pre_kpis={"x": 1}, post_kpis={"x": 2}
    )
    done, *snapshots = with_snapshots(waiting(collector))
    assert [e.event_id for e in snapshots] == [
        derived_id("kpi_snapshot", done.event_id, phase) for phase in ("pre_evolution", "post_evolution")
    ]


async def test_a_generation_change_of_one_number_is_a_jump_not_a_generation(
    collector: EvolutionMetricsCollector,
) -> None:
    await collector.record_evolution_completion(agent_id="a", success=True, generation_change=3)
    await collector.record_evolution_completion(agent_id="b", success=True, generation_change=(3, 5))
    await collector.record_evolution_completion(agent_id="c", success=True, generation=6)
    events = [e for e in waiting(collector) if isinstance(e, EvolutionCompleted)]
    assert [(e.generation, e.metadata.get("generation_change")) for e in events] == [
        (0, "3"),
        (5, None),
        (6, None),
    ]
