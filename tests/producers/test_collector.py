"""The collector takes the place of the specification's class, and records whatever is handed in."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import select
import signal
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evometrics.producers import (
    AgentKPI,
    EvolutionCompletionEvent,
    EvolutionEvent,
    EvolutionMetricsCollector,
)
from evometrics.producers.outbox_file import OutboxError
from evometrics.schemas.events import (
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    KpiSnapshot,
    SystemEvent,
)
from evometrics.schemas.settings import SettingsError
from evometrics.schemas.validation import InvalidEvent
from tests.producers.outbox_tools import NO_BROKER, files, left_in, until, waiting


def config(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "db_path": str(folder / "evolution_metrics.db"),
        "brokers": NO_BROKER,
        "node_id": "node-1",
        "stop_timeout": 0,
        **more,
    }


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[EvolutionMetricsCollector]:
    collector = EvolutionMetricsCollector(config(tmp_path))
    await collector.start()
    yield collector
    await collector.stop()


def rejections(collector: EvolutionMetricsCollector) -> list[dict[str, Any]]:
    events = [e for e in waiting(collector) if isinstance(e, SystemEvent)]
    return [json.loads(e.data) for e in events if e.event_type == "event_rejected"]


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
    started, completed, system, metrics = waiting(collector)
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
    assert list(collector.metrics_history) == [completed]


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
    assert 0.02 <= completed.duration_seconds < 5, "measured, for the event has no duration of its own"
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
    assert (completed.parent_agent_id, completed.cost_usd) == ("b", 0.5)


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
    await collector.record_kpi_snapshot("a", kpi.to_dict() | {"robustness": 0.3}, phase="baseline")
    (event,) = waiting(collector)
    assert isinstance(event, KpiSnapshot)
    assert (event.accuracy, event.success_rate, event.reliability) == (0.9, 0.8, None)
    assert (event.evaluation_count, event.confidence_interval, event.phase) == (40, 0.02, "baseline")
    assert event.extra == {"robustness": 0.3}
    assert event.overall_performance == pytest.approx(0.25 * 0.9 + 0.2 * 0.8)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (SimpleNamespace(), "agent_id"),
        (SimpleNamespace(agent_id=""), "agent_id"),
        (SimpleNamespace(agent_id=7), "agent_id"),
        (SimpleNamespace(agent_id="a", timestamp="soon"), "timestamp"),
        (SimpleNamespace(agent_id="a", timestamp=math.nan), "timestamp"),
        (SimpleNamespace(agent_id="a", timestamp=time.time() + 2 * 86_400), "occurred_at"),
        (SimpleNamespace(agent_id="a", duration_seconds=-1), "duration_seconds"),
        (SimpleNamespace(agent_id="a", duration_seconds=math.inf), "duration_seconds"),
        (SimpleNamespace(agent_id="a", post_evolution_kpis={"accuracy": math.nan}), "post_kpis[accuracy]"),
        (SimpleNamespace(agent_id="a", post_evolution_kpis={"accuracy": None}), "post_kpis[accuracy]"),
        (SimpleNamespace(agent_id="a", post_evolution_kpis=[0.5]), "post_kpis"),
        (SimpleNamespace(agent_id="a", pre_evolution_kpis={"speed": "fast"}), "pre_kpis[speed]"),
        (SimpleNamespace(agent_id="a", insights="one text"), "insights"),
        (SimpleNamespace(agent_id="a", status="done"), "status"),
        (SimpleNamespace(agent_id="a", generation_change="next"), "generation_change"),
        (SimpleNamespace(agent_id="a", convergence_iterations=2.5), "convergence_iterations"),
        (SimpleNamespace(agent_id="a", insights=["x" * 1_100_000]), "insights"),
    ],
)
async def test_an_invalid_event_does_not_raise_but_is_named_counted_and_recorded(
    collector: EvolutionMetricsCollector, caplog: pytest.LogCaptureFixture, event: object, field: str
) -> None:
    with caplog.at_level(logging.ERROR):
        assert await collector.record_evolution_completion(event) is None
    assert collector.rejected == 1
    (rejection,) = rejections(collector)
    assert (rejection["record"], rejection["field"]) == ("evolution_completed", field)
    assert rejection["reason"]
    assert len(rejection["event"]) <= 2000
    assert f"evolution_completed.{field}" in caplog.text


async def test_an_invalid_completion_leaves_its_evolution_open(collector: EvolutionMetricsCollector) -> None:
    await collector.record_evolution_start(SimpleNamespace(agent_id="a", timestamp=100.0))
    await collector.record_evolution_completion(SimpleNamespace(agent_id="a", duration_seconds=-1))
    await collector.record_evolution_completion(SimpleNamespace(agent_id="a", duration_seconds=1))
    completed = waiting(collector)[-1]
    assert isinstance(completed, EvolutionCompleted)
    assert completed.evolution_id == "a-100"
    assert completed.memory_used_mb > 1, "its resources were watched to the end"


async def test_every_door_names_what_is_wrong(collector: EvolutionMetricsCollector) -> None:
    await collector.record_evolution_start(SimpleNamespace(agent_id=""))
    await collector.record_evolution_progress("a", 1, None, evolution_id="e")
    await collector.record_evolution_progress("a", 1, 0.5)
    await collector.record_kpi_snapshot("a", {"accuracy": math.inf})
    await collector.record_kpi_snapshot("a", {"accuracy": 0.5}, phase="later")
    await collector.record_system_event("", {})
    await collector.record_system_event("x", {"load": math.nan})
    assert [(r["record"], r["field"]) for r in rejections(collector)] == [
        ("evolution_started", "agent_id"),
        ("evolution_progressed", "fitness"),
        ("evolution_progressed", "evolution_id"),
        ("kpi_snapshot", "accuracy"),
        ("kpi_snapshot", "phase"),
        ("system_event", "event_type"),
        ("system_event", "data"),
    ]


async def test_text_that_utf8_cannot_hold_is_rejected_not_raised(
    collector: EvolutionMetricsCollector,
) -> None:
    await collector.record_system_event("x\ud800", {"agent_id": "\ud800"})
    await collector.record_evolution_start(SimpleNamespace(agent_id="\ud800"))
    assert [r["record"] for r in rejections(collector)] == ["system_event", "evolution_started"]


async def test_a_broken_outbox_of_a_dead_process_stays_and_does_not_stop_the_collector(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "evolution_metrics-1-0.db"
    broken.write_text("no database at all, and long enough for SQLite to be sure of that" * 20)
    collector = EvolutionMetricsCollector(config(tmp_path))
    await collector.start()
    assert await collector.record_system_event("x")
    await collector.stop()
    assert broken.name in caplog.text
    assert broken.name in [path.name for path in files(tmp_path)]


async def test_a_stop_that_is_cancelled_still_closes_everything(tmp_path: Path) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path, stop_timeout=60))
    await collector.start()
    await collector.record_system_event("x")
    task = asyncio.create_task(collector.stop())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    names = {thread.name for thread in threading.enumerate()}
    assert not {name for name in names if name.startswith("evometrics")}
    assert len(left_in(tmp_path)) == 2


async def test_in_strict_mode_an_invalid_event_raises_too(tmp_path: Path) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path, strict=True))
    await collector.start()
    with pytest.raises(InvalidEvent, match=r"evolution_started\.agent_id"):
        await collector.record_evolution_start(SimpleNamespace())
    assert len(rejections(collector)) == 1
    await collector.stop()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"bufer_size": 3}, "bufer_size"),
        ({"buffer_size": "many"}, "buffer_size"),
        ({"buffer_size": 0}, "buffer_size"),
        ({"flush_interval": -1}, "flush_interval"),
        ({"brokers": "localhost"}, "brokers"),
        ({"influxdb_url": "influx"}, "influxdb_url"),
        ({"prometheus_gateway": "ftp://x"}, "prometheus_gateway"),
        ({"db_path": ""}, "db_path"),
        ({"strict": "perhaps"}, "strict"),
    ],
)
def test_a_bad_config_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        EvolutionMetricsCollector(given)


def test_config_wins_over_the_environment_which_wins_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOMETRICS_KAFKA_BROKERS", "there:1")
    monkeypatch.setenv("EVOMETRICS_COLLECTOR_NODE_ID", "from-environment")
    assert EvolutionMetricsCollector().kafka.brokers == "there:1"
    assert EvolutionMetricsCollector({"node_id": None}).settings.node_id == "from-environment"
    assert EvolutionMetricsCollector({"node_id": "own"}).settings.node_id == "own"
    assert EvolutionMetricsCollector({"brokers": ["a:1", "b:2"]}).kafka.brokers == "a:1,b:2"


async def test_a_db_path_that_cannot_be_written_is_named_at_start() -> None:
    collector = EvolutionMetricsCollector({"db_path": "/proc/none/evolution.db"})
    with pytest.raises(OutboxError, match="/proc/none/evolution"):
        await collector.start()
    await collector.stop()


async def test_two_hundred_tasks_record_at_once(tmp_path: Path) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path))
    await collector.start()

    async def evolve(number: int) -> None:
        async with collector.evolution(f"agent-{number}") as run:
            await run.progress(fitness=number / 200)
            await run.complete(post_kpis={"accuracy": number / 200})

    await asyncio.gather(*(evolve(number) for number in range(200)))
    events = waiting(collector)
    assert len(events) == 600
    assert len({e.event_id for e in events}) == 600
    for number in range(200):
        own = [type(e) for e in events if e.agent_id == f"agent-{number}"]
        assert own == [EvolutionStarted, EvolutionProgressed, EvolutionCompleted]
    await collector.stop()


async def test_several_threads_and_loops_may_record(collector: EvolutionMetricsCollector) -> None:
    async def evolve(name: str) -> None:
        for number in range(20):
            async with collector.evolution(f"{name}-{number}") as run:
                await run.complete(post_kpis={})

    threads = [threading.Thread(target=lambda n=n: asyncio.run(evolve(f"thread-{n}"))) for n in range(4)]
    for thread in threads:
        thread.start()
    await evolve("main")
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert len(waiting(collector)) == 5 * 20 * 2


async def test_several_collectors_in_one_process_have_an_outbox_each(tmp_path: Path) -> None:
    collectors = [EvolutionMetricsCollector(config(tmp_path, node_id=f"n{i}")) for i in range(3)]
    for collector in collectors:
        await collector.start()
        await collector.record_system_event("hello")
    assert [[e.node_id for e in waiting(c)] for c in collectors] == [["n0"], ["n1"], ["n2"]]
    for collector in collectors:
        await collector.stop()


async def test_recording_before_start_or_after_stop_does_not_raise_but_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path))
    assert await collector.record_system_event("early") is None
    assert "start()" in caplog.text
    await collector.start()
    assert await collector.record_system_event("on time") is not None
    await collector.stop()
    assert await collector.record_system_event("late") is None
    assert collector.outbox.failed == 2
    assert [e.event_type for e in left_in(tmp_path) if isinstance(e, SystemEvent)] == [
        "on time",
        "collector_health",
    ]


async def test_a_forked_child_that_records_says_what_to_do_and_waits_for_no_lock_of_its_parent(
    collector: EvolutionMetricsCollector, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A lock that a thread of the parent holds at the fork stays locked in the child for ever."""
    locks = (collector.outbox.mutex, collector.sampler.lock)
    reader, writer = os.pipe()
    for lock in locks:
        lock.acquire()
    child = os.fork()
    if child == 0:
        answer = b"raised"
        try:
            caplog.handler.emit = lambda record: time.sleep(60)  # type: ignore[method-assign]
            loop = asyncio.new_event_loop()
            calls = (
                collector.record_evolution_start(EvolutionEvent(agent_id="a")),
                collector.record_evolution_progress("a", 0, 0.5),
                collector.record_evolution_completion(EvolutionCompletionEvent(agent_id="a", success=True)),
                collector.record_kpi_snapshot("a", {"accuracy": 0.5}),
                collector.record_system_event("x"),
                collector.record_system_metrics({"x": 1}),
            )
            answer = b"none" if {loop.run_until_complete(call) for call in calls} == {None} else b"recorded"
        finally:
            os.write(writer, answer)
            os._exit(0)
    for lock in locks:
        lock.release()
    os.close(writer)
    answered, _, _ = await asyncio.to_thread(select.select, [reader], [], [], 10)
    os.kill(child, signal.SIGKILL)
    await asyncio.to_thread(os.waitpid, child, 0)
    assert answered and os.read(reader, 100) == b"none"
    os.close(reader)
    assert capfd.readouterr().err.count("call start() in each process") == 1


async def test_health_is_recorded_at_the_interval_and_at_the_end(tmp_path: Path) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path, flush_interval=0.05))
    await collector.start()
    await collector.record_evolution_start(SimpleNamespace(agent_id=""))
    await until(lambda: collector.outbox.space.recorded["evometrics.system.events"] >= 3)
    await collector.stop()
    health = [
        json.loads(e.data)
        for e in left_in(tmp_path)
        if isinstance(e, SystemEvent) and e.event_type == "collector_health"
    ]
    assert len(health) >= 3
    assert health[-1]["rejected"] == 1
    assert health[-1]["outbox_depth"] == health[-1]["recorded"]["evometrics.system.events"]
    assert health[-1].keys() >= {"outbox_bytes", "shed", "published"}


async def test_the_broker_being_away_delays_neither_start_nor_recording_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path))
    before = time.monotonic()
    await collector.start()
    await collector.record_system_event("hello")
    assert time.monotonic() - before < 3
    await until(lambda: collector.sending.problem)
    assert NO_BROKER in caplog.text
    assert "EVOMETRICS_KAFKA_BROKERS" in caplog.text
    assert not await collector.drain(0.05)
    await collector.stop()
