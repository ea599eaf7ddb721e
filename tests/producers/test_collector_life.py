"""The collector from start to stop: tasks, threads and processes that record, disks and brokers that fail."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from evometrics.producers import (
    EvolutionCompletionEvent,
    EvolutionEvent,
    EvolutionMetricsCollector,
)
from evometrics.producers.outbox_file import OutboxError
from evometrics.schemas.events import (
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    SystemEvent,
)
from tests.producers.outbox_tools import NO_BROKER, config, files, left_in, until, waiting


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
    await until(lambda: NO_BROKER in caplog.text)  # said by the sending thread, once it has noted it
    assert "EVOMETRICS_KAFKA_BROKERS" in caplog.text
    assert not await collector.drain(0.05)
    await collector.stop()
