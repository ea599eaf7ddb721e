"""The collector from start to stop: tasks, threads and processes that record, disks and brokers that fail."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from evometrics.producers import (
    EvolutionCompletionEvent,
    EvolutionEvent,
    EvolutionMetricsCollector,
)
from evometrics.producers.outbox.names import OutboxError
from evometrics.schemas.events import (
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    SystemEvent,
)
from tests.support.outboxes import NO_BROKER, config, files, left_in, until, waiting, waiting_in


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


def own_threads() -> set[threading.Thread]:
    """Return the threads of collectors, which may be another test's."""
    return {each for each in threading.enumerate() if each.name.startswith("evometrics")}


async def test_a_stop_that_is_cancelled_still_closes_everything(tmp_path: Path) -> None:
    others = own_threads()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        broker = "{}:{}".format(*silent.getsockname())
        collector = EvolutionMetricsCollector(config(tmp_path, brokers=broker, stop_timeout=60))
        await collector.start()
        await collector.record_system_event("x")
        task = asyncio.create_task(collector.stop())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not own_threads() - others
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


async def test_what_is_recorded_before_start_between_and_after_stop_is_kept(tmp_path: Path) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path))
    assert await collector.record_system_event("early") is not None
    await collector.start()
    assert await collector.record_system_event("on time") is not None
    await collector.stop()
    assert await collector.record_system_event("late") is not None
    await collector.stop()
    assert await collector.record_system_event("later") is not None
    assert [e.event_type for e in left_in(tmp_path) if isinstance(e, SystemEvent)] == [
        "early",
        "on time",
        "collector_health",
        "late",
        "later",
    ]
    await collector.stop()


async def test_what_is_recorded_while_the_collector_starts_or_stops_is_kept(tmp_path: Path) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path))
    moments = [collector.start, collector.stop, collector.start, collector.start, collector.stop]
    kept = 0
    for moment in moments:
        work = asyncio.create_task(moment())
        while not work.done():
            kept += await collector.record_system_event("x") is not None
        await work
    await collector.stop()
    events = [e for e in left_in(tmp_path) if isinstance(e, SystemEvent) and e.event_type == "x"]
    assert len(events) == kept > 0
    assert collector.outbox.failed == 0


async def test_several_starts_at_once_are_one(tmp_path: Path) -> None:
    others = own_threads()
    collector = EvolutionMetricsCollector(config(tmp_path))
    await asyncio.gather(*(collector.start() for _ in range(5)))
    assert [each.name for each in own_threads() - others].count("evometrics-publisher") == 1
    assert len([path for path in files(tmp_path) if path.suffix == ".db"]) == 1
    await asyncio.gather(*(collector.stop() for _ in range(5)))
    assert not own_threads() - others


@pytest.mark.parametrize("listening", [False, True], ids=["refused", "silent"])
async def test_stopping_without_a_broker_takes_less_than_a_second_and_says_what_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, listening: bool
) -> None:
    async def stopped(folder: Path, broker: str) -> float:
        collector = EvolutionMetricsCollector(config(folder, brokers=broker, stop_timeout=30))
        await collector.start()
        for number in range(3):
            await collector.record_system_event("x", {"number": number})
        begun = time.monotonic()
        await collector.stop()
        return time.monotonic() - begun

    with socket.create_server(("127.0.0.1", 0)) as server:
        broker = "{}:{}".format(*server.getsockname()) if listening else NO_BROKER
        # a machine that is busy with other work may take any time once
        took = min([await stopped(tmp_path / str(n), broker) for n in range(3)])
    assert took < (2.0 if listening else 1.0), f"took {took:.2f} s"
    assert caplog.text.count("4 events wait in the outbox") == 3


async def test_a_path_that_cannot_be_written_raises_into_no_evolution(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path) | {"db_path": "/proc/none/evolution.db"})
    async with collector.evolution("a", pre_kpis={"x": 1}) as run:
        await run.progress(fitness=0.5)
        await run.complete(post_kpis={"x": 2})
    assert "/proc/none/evolution.db" in caplog.text
    assert collector.outbox.failed >= 3
    await collector.stop()


def in_child(work: Callable[[], bytes]) -> bytes:
    """Fork a child that does something; return what it found, b"raised" where it raised."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"raised"
        try:
            answer = work()
        finally:
            os.write(writer, answer)
            os._exit(0)
    os.close(writer)
    answered, _, _ = select.select([reader], [], [], 20)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = os.read(reader, 1000) if answered else b"hangs"
    os.close(reader)
    return found


async def test_a_forked_child_records_into_an_outbox_of_its_own_and_waits_for_no_lock_of_its_parent(
    collector: EvolutionMetricsCollector, tmp_path: Path
) -> None:
    """A lock that a thread of the parent holds at the fork stays locked in the child for ever."""
    await collector.record_evolution_start(agent_id="parent", evolution_id="e", strategy="tune")
    locks = (collector.outbox.mutex, collector.sampler.lock, collector.turn, collector.journal.opening)
    for lock in (*locks, collector.active_collections.lock):
        lock.acquire()

    async def record() -> list[str | None]:
        return [
            await collector.record_evolution_start(EvolutionEvent(agent_id="a")),
            await collector.record_evolution_progress("a", 0, 0.5),
            await collector.record_evolution_completion(EvolutionCompletionEvent(agent_id="a", success=True)),
            await collector.record_kpi_snapshot("a", {"accuracy": 0.5}),
            await collector.record_system_metrics({"x": 1}),
            await collector.record_evolution_completion(agent_id="parent", evolution_id="e", success=True),
        ]

    def child() -> bytes:
        ids = asyncio.run(record())
        asyncio.run(collector.stop())
        return json.dumps([str(collector.outbox.lock and collector.outbox.lock.path), *ids]).encode()

    held = collector.active_collections.lock
    path, *ids = json.loads(await asyncio.to_thread(in_child, child))
    for lock in (*locks, held):
        lock.release()
    assert len(set(ids)) == 6 and None not in ids
    assert Path(path) != collector.outbox.path
    theirs = waiting_in(Path(path))
    assert set(ids) <= {e.event_id for e in theirs}
    assert [getattr(e, "strategy_used", None) for e in theirs if e.agent_id == "parent"] == ["tune"]
    assert [e.agent_id for e in waiting(collector)] == ["parent"], "the parent's own is as it was"


async def test_a_forked_child_starts_and_stops_like_any_process(
    collector: EvolutionMetricsCollector, tmp_path: Path
) -> None:
    async def life() -> bytes:
        await collector.start()
        assert collector.running
        stored = await collector.record_system_event("child")
        await collector.stop()
        return b"stored" if stored else b"lost"

    assert await asyncio.to_thread(in_child, lambda: asyncio.run(life())) == b"stored"
    assert collector.running
    assert await collector.record_system_event("parent") is not None


async def test_a_child_that_outlives_its_parent_does_not_keep_its_outbox_from_adoption(
    tmp_path: Path,
) -> None:
    script = (
        "import asyncio, os, pathlib, sys, time\n"
        "from evometrics.producers import EvolutionMetricsCollector\n"
        "async def main():\n"
        "    c = EvolutionMetricsCollector({'db_path': sys.argv[1], 'brokers': sys.argv[2]})\n"
        "    await c.start()\n"
        "    assert await c.record_system_event('left')\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        time.sleep(60)\n"
        "    pathlib.Path(sys.argv[3]).write_text(str(child))\n"
        "    os._exit(0)\n"
        "asyncio.run(main())\n"
    )
    argv = [str(tmp_path / "evolution_metrics.db"), NO_BROKER, str(tmp_path / "child")]
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script, *argv], check=True)
    try:
        collector = EvolutionMetricsCollector(config(tmp_path))
        await collector.start()
        assert collector.outbox_depth == 1
        await collector.stop()
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


async def test_a_collector_that_is_pickled_arrives_as_a_new_one_of_the_same_config(
    collector: EvolutionMetricsCollector,
) -> None:
    await collector.record_evolution_start(agent_id="a")
    collector.config["model"] = lambda: "an orchestrator's own, which can't be pickled"
    there = pickle.loads(pickle.dumps(collector))
    assert (there.settings, there.kafka) == (collector.settings, collector.kafka)
    assert not there.running and not there.active_collections
    assert await there.record_system_event("x") is not None
    assert there.outbox.path != collector.outbox.path
    await there.stop()


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
    assert [each.get("stops", False) for each in health] == [False] * (len(health) - 1) + [True]


async def test_the_broker_being_away_delays_neither_start_nor_recording_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    collector = EvolutionMetricsCollector(config(tmp_path))
    async with asyncio.timeout(60):
        await collector.start()
        await collector.record_system_event("hello")
    await until(lambda: collector.sending.problem)
    await until(lambda: NO_BROKER in caplog.text)  # said by the sending thread, once it has noted it
    assert "EVOMETRICS_KAFKA_BROKERS" in caplog.text
    assert not await collector.drain(0.05)
    await collector.stop()


async def test_a_process_that_changes_its_folder_keeps_its_outbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    collector = EvolutionMetricsCollector(config(tmp_path) | {"db_path": "e.db"})
    await collector.start()
    await collector.record_system_event("one")
    monkeypatch.chdir(tmp_path / "there")
    await collector.record_system_event("two")
    await collector.stop()
    assert not files(tmp_path / "there")
    events = [e.event_type for e in left_in(tmp_path / "here") if isinstance(e, SystemEvent)]
    assert events == ["one", "two", "collector_health"]
