"""A node's own history: every event once, whatever happens, and nothing of the user's is touched."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from evometrics.producers import EvolutionMetricsCollector, LocalMetricsQuery, SQLiteMetricsBackend
from evometrics.producers.events.evolution_events import EvolutionCompletionEvent, EvolutionEvent
from evometrics.producers.history.copied_backlog import CopiedBacklog
from evometrics.producers.outbox.outbox import Outbox
from evometrics.schemas.events import Event, EvolutionStarted
from evometrics.schemas.history.file import ADDED, APPLICATION_ID, HistoryError, open_to_read
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from evometrics.schemas.wire.framing import WireFormat
from tests.support.influxdb import completion
from tests.support.outboxes import NO_BROKER, left_in, until
from tests.support.tables import SPECIFICATION

TABLES = (*SPECIFICATION, "events")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the process works in, and no broker named anywhere."""
    monkeypatch.delenv("EVOMETRICS_KAFKA_BROKERS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def select(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(open_to_read(path)) as db:
        return db.execute(sql).fetchall()


def held(path: Path) -> list[Event]:
    """Return the events that a history has, as they were recorded."""
    wire = WireFormat()
    return [wire.decode(value) for (value,) in select(path, "SELECT value FROM events ORDER BY rowid")]


def counts(path: Path) -> dict[str, int]:
    return {table: select(path, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(path: Path) -> int:
    """Return how many events a history has by now, which may not be there yet."""
    try:
        return counts(path)["events"]
    except HistoryError:
        return 0


async def evolve(collector: EvolutionMetricsCollector, agent: str = "agent-1") -> str:
    async with collector.evolution(agent, strategy="tune", pre_kpis={"accuracy": 0.5}) as run:
        await run.progress(fitness=0.5)
        await run.complete(post_kpis={"accuracy": 0.75, "output_quality": 0.9})
    return collector.metrics_history[-1].event_id


async def test_a_collector_that_is_told_of_no_broker_has_its_history_in_the_specifications_file(
    here: Path,
) -> None:
    collector = EvolutionMetricsCollector()
    await collector.start()
    done = await evolve(collector)
    snapshot = await collector.record_kpi_snapshot("agent-1", {"accuracy": 0.75, "own": 2})
    await collector.record_system_event("said", {"agent_id": "agent-1", "n": 1})
    await until(lambda: not collector.outbox_depth)
    recorded = collector.recorded
    await collector.stop()
    path = here / "evolution_metrics.db"
    assert names(here) == [path.name], "no outbox and no journal is left"
    assert collector.published == {**recorded, "evometrics.system.events": 2}
    assert counts(path) == {
        "evolution_metrics": 1,
        "kpi_snapshots": 3,
        "evolution_strategies": 1,
        "system_events": 2,
        "events": 6,
    }
    ((row),) = select(
        path,
        "SELECT agent_id, evolution_id, performance_score, improvement_delta, quality_score, success, "
        "metadata, source_event_id, status FROM evolution_metrics",
    )
    assert row[0] == "agent-1" and row[2:6] == (pytest.approx(0.2775), pytest.approx(0.1525), 0.9, 1)
    assert row[6:] == ("{}", done, "succeeded")
    assert select(path, "SELECT evolution_id, strategy_name, actual_gain FROM evolution_strategies") == [
        (row[1], "tune", row[3])
    ]
    assert select(path, "SELECT event_id, accuracy, extra, phase FROM kpi_snapshots")[-1] == (
        snapshot,
        0.75,
        '{"own": 2.0}',
        "continuous",
    )
    said = select(path, "SELECT data, agent_id FROM system_events WHERE event_type = 'said'")
    assert [(json.loads(data), agent) for data, agent in said] == [
        ({"agent_id": "agent-1", "n": 1}, "agent-1")
    ]
    assert [e.record for e in held(path) if e.record != "kpi_snapshot"] == [
        "evolution_started",
        "evolution_progressed",
        "evolution_completed",
        "system_event",
        "system_event",
    ]


def test_the_tables_begin_with_the_specifications_columns(tmp_path: Path) -> None:
    SQLiteMetricsBackend(tmp_path / "h.db", retention_days=90).store([completion()])
    for table, columns in SPECIFICATION.items():
        found = [name for _, name, *_ in select(tmp_path / "h.db", f"PRAGMA table_info({table})")]
        assert found[: len(columns.split())] == columns.split()
    with closing(sqlite3.connect(tmp_path / "h.db")) as db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("DELETE FROM evolution_metrics")  # a user's tool that heeds foreign keys can work with it
        assert db.execute("SELECT count(*) FROM evolution_strategies").fetchone() == (0,)


def test_what_was_not_measured_is_null(tmp_path: Path) -> None:
    backend = SQLiteMetricsBackend(tmp_path / "h.db")
    unknown = ["memory_used_mb", "cpu_percent_avg", "network_bytes_transferred"]
    backend.store([completion(1, unmeasured=unknown, memory_used_mb=0.0), completion(2)])
    sql = f"SELECT {', '.join(unknown)} FROM evolution_metrics ORDER BY timestamp"
    assert select(tmp_path / "h.db", sql) == [(None, None, None), (512, 0, 0)]
    trend = asyncio.run(LocalMetricsQuery(tmp_path / "h.db").get_resource_usage_trends("agent-1"))
    assert [point["value"] for point in trend["points"]] == [512.0]


def test_a_file_of_an_earlier_build_is_read_as_it_is_and_gets_the_columns_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    SQLiteMetricsBackend(path).store([completion(1)])
    with closing(sqlite3.connect(path)) as db:
        for table, columns in ADDED.items():
            for name in columns:
                db.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
        db.commit()

    async def told() -> list[tuple[list[str], str | None]]:
        async with LocalMetricsQuery(path) as query:
            found = await query.get_agent_evolution_history("agent-1")
            return [(each.parent_agent_ids, each.run_id) for each in found]

    assert asyncio.run(told()) == [([], None)]
    SQLiteMetricsBackend(path).store([completion(2, parent_agent_ids=["p", "q"], run_id="run")])
    assert asyncio.run(told()) == [([], None), (["p", "q"], "run")]


@pytest.mark.parametrize("start_first", [True, False])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_completion_that_knew_nothing_has_what_its_start_says(
    tmp_path: Path, start_first: bool, at_once: bool
) -> None:
    start = EvolutionStarted(
        event_id=new_event_id(),
        agent_id="agent-1",
        node_id="another",
        occurred_at=1_699_999_880_000_000,
        evolution_id="e-1",
        evolution_type="nightly",
        strategy="tune",
        pre_kpis={"performance": 0.5},
    )
    done = completion(1, pre_kpis={})
    other = completion(2, evolution_id="e-1", agent_id="agent-2", pre_kpis={})
    backend = SQLiteMetricsBackend(tmp_path / "h.db")
    order = [start, done, other] if start_first else [other, done, start]
    for part in [order] if at_once else [[event] for event in order]:
        backend.store(part)
    sql = "SELECT agent_id, strategy_used, improvement_delta, evolution_type FROM evolution_metrics"
    assert sorted(select(tmp_path / "h.db", sql)) == [
        ("agent-1", "tune", 0.25, "nightly"),
        ("agent-2", "", None, "unknown"),
    ]
    sql = "SELECT strategy_name, actual_gain FROM evolution_strategies"
    assert sorted(select(tmp_path / "h.db", sql), key=str) == [("", None), ("tune", 0.25)]


def test_an_event_is_in_it_once_however_often_it_is_given(tmp_path: Path) -> None:
    backend = SQLiteMetricsBackend(tmp_path / "h.db")
    events = [completion(number) for number in range(5)]
    backend.store([*events, events[0]])
    backend.store(events)
    assert counts(tmp_path / "h.db")["evolution_metrics"] == counts(tmp_path / "h.db")["events"] == 5


NODE = """
import asyncio, sys
from evometrics.producers import EvolutionMetricsCollector
async def main():
    collector = EvolutionMetricsCollector({"db_path": sys.argv[1], "node_id": sys.argv[2]})
    await collector.start()
    for number in range(int(sys.argv[3])):
        async with collector.evolution(f"{sys.argv[2]}-{number % 5}") as run:
            await run.complete(post_kpis={"accuracy": 0.5})
        print(collector.metrics_history[-1].event_id, flush=True)
    await collector.stop()
asyncio.run(main())
"""


def node(path: Path, name: str, evolutions: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", NODE, str(path), name, str(evolutions)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


async def test_what_was_recorded_before_a_kill_is_in_the_history_once_after_the_next_start(
    here: Path,
) -> None:
    path = here / "ev.db"
    told: list[str] = []
    for _ in range(3):
        process = node(path, "killed", 100_000)
        assert process.stdout is not None
        told += [process.stdout.readline().strip() for _ in range(120)]
        process.send_signal(signal.SIGKILL)
        process.wait()
        told += process.stdout.read().split()  # the last one was printed as a whole or not at all
    collector = EvolutionMetricsCollector({"db_path": str(path)})
    await collector.start()
    await until(lambda: not collector.outbox_depth)
    await collector.stop()
    done = [e.event_id for e in held(path) if e.record == "evolution_completed"]
    assert len(done) == len(set(done))
    assert set(told) <= set(done)
    rows = select(path, "SELECT source_event_id FROM evolution_metrics")
    assert sorted(done) == sorted(source for (source,) in rows)
    assert left_in(here) == []


def test_several_processes_of_a_node_share_one_file(here: Path) -> None:
    path = here / "ev.db"
    nodes = [node(path, f"n{number}", 60) for number in range(4)]
    told = [process.communicate(timeout=60)[0].split() for process in nodes]
    assert [process.returncode for process in nodes] == [0] * 4
    done = [e.event_id for e in held(path) if e.record == "evolution_completed"]
    assert sorted(done) == sorted(event_id for ids in told for event_id in ids) and len(done) == 240


def own_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE evolution_metrics (agent_id TEXT, mine TEXT)")
        db.execute("INSERT INTO evolution_metrics VALUES ('a', 'keep')")


def of_the_specification(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for table, columns in SPECIFICATION.items():
            db.execute(f"CREATE TABLE {table} ({', '.join(columns.split())})")


def of_an_application(path: Path) -> None:
    own_database(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA application_id = 12345")


def text(path: Path) -> None:
    path.write_text("agent_id,success\na,1\n")


def short(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def folder(path: Path) -> None:
    path.mkdir()
    (path / "mine").write_text("keep")


def contents(place: Path) -> dict[str, bytes | None]:
    """Return what is in a folder, outboxes left out, which are ours."""
    found = [p for p in place.rglob("*") if "-" not in p.name]
    return {str(p.relative_to(place)): p.read_bytes() if p.is_file() else None for p in found}


@pytest.mark.parametrize("make", [own_database, of_the_specification, of_an_application, text, short, folder])
async def test_a_file_of_that_name_that_is_not_ours_is_left_alone_and_nothing_is_lost(
    here: Path, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = here / "evolution_metrics.db"
    make(path)
    before = contents(here)
    collector = EvolutionMetricsCollector({"stop_timeout": 0})
    await collector.start()
    with caplog.at_level(logging.ERROR):
        done = await evolve(collector)
        await until(lambda: bool(collector.sending.problem))
    await collector.stop()
    assert contents(here) == before
    assert "evolution_metrics.db" in caplog.text and "history_db" in caplog.text
    assert done in {e.event_id for e in left_in(here)}
    elsewhere = EvolutionMetricsCollector({"history_db": "history.db"})
    await elsewhere.start()
    await elsewhere.stop()
    assert done in {e.event_id for e in held(here / "history.db")}
    assert contents(here) == {**before, "history.db": (here / "history.db").read_bytes()}


async def test_a_users_database_in_use_keeps_its_journal_too(here: Path) -> None:
    path = here / "evolution_metrics.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (1)")
        db.commit()
        files = [path, here / "evolution_metrics.db-wal"]
        before = [file.read_bytes() for file in files]
        with pytest.raises(HistoryError, match="another application's"):
            SQLiteMetricsBackend(path).store([completion()])
        assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_what_is_left_of_a_users_database_is_not_taken_for_a_part_of_the_history(
    tmp_path: Path, suffix: str
) -> None:
    left = tmp_path / f"h.db{suffix}"
    left.write_bytes(b"all that is left")
    with pytest.raises(HistoryError, match=f"h.db{suffix}"):
        SQLiteMetricsBackend(tmp_path / "h.db").store([completion()])
    assert left.read_bytes() == b"all that is left" and not (tmp_path / "h.db").exists()


def test_a_history_that_is_taken_away_while_it_is_in_use_is_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, first, second = tmp_path / "h.db", completion(), completion()
    backend = SQLiteMetricsBackend(path)
    backend.store([first])
    for file in tmp_path.iterdir():
        file.unlink()
    backend.store([second])
    assert [e.event_id for e in held(path)] == [second.event_id]
    assert "h.db was removed while in use" in caplog.text
    backend.close()


def test_an_empty_file_is_taken_for_the_name_of_one(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    path.touch()
    SQLiteMetricsBackend(path).store([completion()])
    assert counts(path)["events"] == 1


def test_a_file_of_a_newer_build_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    backend = SQLiteMetricsBackend(path)
    backend.store([completion()])
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(HistoryError, match=r"version 99.*upgrade"):
        SQLiteMetricsBackend(path).store([completion()])
    backend.close()
    before = path.read_bytes()
    with pytest.raises(HistoryError, match=r"version 99.*upgrade"):
        SQLiteMetricsBackend(path).store([completion()])
    assert path.read_bytes() == before


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("ROLLBACK")


async def test_a_history_that_is_locked_holds_up_no_record(here: Path) -> None:
    path = here / "evolution_metrics.db"
    SQLiteMetricsBackend(path).store([completion()])
    collector = EvolutionMetricsCollector()
    await collector.start()
    with locked(path):
        longest = 0.0
        for _ in range(50):
            begun = time.perf_counter()
            await evolve(collector)
            longest = max(longest, time.perf_counter() - begun)
        assert collector.outbox_depth >= 150
    assert longest < 1
    await until(lambda: not collector.outbox_depth)
    await collector.stop()
    assert counts(path)["evolution_metrics"] == 51


async def test_beside_a_broker_that_is_away_a_node_has_its_history_all_the_same(here: Path) -> None:
    given = {"brokers": NO_BROKER, "db_path": "outbox.db", "history_db": "history.db", "stop_timeout": 0}
    collector = EvolutionMetricsCollector(given)
    await collector.start()
    done = await evolve(collector)
    await until(lambda: written(here / "history.db") >= 3)
    other = await evolve(collector)
    await collector.stop()
    assert {done, other} <= {e.event_id for e in held(here / "history.db")}
    assert {done, other} <= {e.event_id for e in left_in(here)}, "and the broker gets them later"


async def test_with_a_broker_named_and_no_history_asked_for_there_is_none(here: Path) -> None:
    collector = EvolutionMetricsCollector({"brokers": NO_BROKER, "stop_timeout": 0})
    await collector.start()
    await evolve(collector)
    await collector.stop()
    assert not (here / "evolution_metrics.db").exists()


def test_rows_go_when_their_days_are_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "h.db"
    now = time.time()
    monkeypatch.setattr("evometrics.producers.history.store.FORGET_ROWS", 3)
    monkeypatch.setattr("evometrics.producers.history.store.time.time", lambda: now - 91 * 86_400)
    old = [completion(number, snapshot_phases=["post_evolution"]) for number in range(10)]
    SQLiteMetricsBackend(path).store(old)
    assert counts(path)["kpi_snapshots"] == len(old)
    monkeypatch.setattr("evometrics.producers.history.store.time.time", lambda: now)
    kept = completion(11, occurred_at=1_000_000)  # of long ago, and written just now
    SQLiteMetricsBackend(path, retention_days=90).store([kept])
    assert counts(path) == dict.fromkeys(TABLES, 1) | {"kpi_snapshots": 0, "system_events": 0}
    assert [e.event_id for e in held(path)] == [kept.event_id]


def test_an_evolution_that_began_long_ago_and_has_not_ended_counts_as_abandoned(here: Path) -> None:
    async def recorded() -> list[str]:
        collector = EvolutionMetricsCollector()
        await collector.start()
        for name, hours in (("lost", 30), ("ended", 30), ("new", 1)):
            at = time.time() - hours * 3600
            await collector.record_evolution_start(
                EvolutionEvent(agent_id="a", evolution_id=name, timestamp=at)
            )
        await collector.record_evolution_completion(
            EvolutionCompletionEvent(agent_id="a", evolution_id="ended", success=True)
        )
        await collector.stop()
        found = await LocalMetricsQuery("evolution_metrics.db").get_agent_evolution_history("a")
        return [f"{each.evolution_id} {each.status}" for each in found]

    assert asyncio.run(recorded()) == ["lost abandoned", "ended succeeded"]


def test_a_copy_that_cant_be_written_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evometrics.producers.history.store.MOST_OBSERVED", 10)
    path = tmp_path / "h.db"
    text(path)
    backend = SQLiteMetricsBackend(path)
    for number in range(15):
        backend.observe(completion(number))
        if number == 7:
            with pytest.raises(HistoryError):
                backend.send()
    path.unlink()
    backend.send()
    assert [e.evolution_id for e in held(path)] == [f"e-{number}" for number in range(5, 15)]
    assert backend.left_out == 5


async def test_a_row_that_the_broker_has_leaves_the_outbox_once_the_history_has_it(here: Path) -> None:
    outbox = Outbox(here / "ev.db", max_bytes=1e9, group=100)
    outbox.open()
    history = SQLiteMetricsBackend(here / "h.db")
    backlog = CopiedBacklog(outbox, history)
    events = [completion(number) for number in range(20)]
    for event in events:
        put = outbox.append(EVOLUTION_COMPLETED.name, event.key, WireFormat().encode(event))
        assert put is not None and await put
    queued = backlog.read(100)
    history.store(events[:5])  # as `observe` has brought them before a crash
    with locked(here / "h.db"):
        backlog.delete(queued[:15])
        await asyncio.sleep(0.2)
        assert (backlog.depth, backlog.undeleted) == (20, 15)
    await backlog.copied()
    await until(lambda: backlog.depth == 5)
    assert [e.event_id for e in held(here / "h.db")] == [e.event_id for e in events[:15]]
    await asyncio.to_thread(outbox.close)
    assert {e.event_id for e in left_in(here)} == {e.event_id for e in events[15:]}
    backlog.close()


async def test_a_history_that_cant_be_written_holds_up_no_sending(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(here / "ev.db", max_bytes=1e9, group=100)
    outbox.open()
    text(here / "h.db")
    backlog = CopiedBacklog(outbox, SQLiteMetricsBackend(here / "h.db"))
    for number in range(3):
        event = completion(number)
        put = outbox.append(EVOLUTION_COMPLETED.name, event.key, WireFormat().encode(event))
        assert put is not None and await put
        backlog.delete(backlog.read(1))
    await backlog.copied()
    await until(lambda: backlog.depth == 0)
    assert backlog.not_copied == 3
    assert "not a SQLite file" in caplog.text
    backlog.close()
    await asyncio.to_thread(outbox.close)
