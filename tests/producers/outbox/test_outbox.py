"""The outbox: on disk before `append` returns, many events per commit, bounded, adopted after a death."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evometrics.producers.outbox.dead_outboxes import dead_outboxes
from evometrics.producers.outbox.file import PORTION, STEP, OutboxFile, portions
from evometrics.producers.outbox.names import OutboxError, lock_path, names_beside, new_outbox, try_lock
from evometrics.producers.outbox.outbox import Outbox
from evometrics.producers.outbox.row import ROW_OVERHEAD, Row
from evometrics.producers.outbox.tally import Held
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_PROGRESSED, KPI_SNAPSHOTS
from tests.support.outboxes import files, left_in, until

PROGRESS, COMPLETED = EVOLUTION_PROGRESSED.name, EVOLUTION_COMPLETED.name
VALUE = b"x" * 880
ROW = len(VALUE) + ROW_OVERHEAD


def rows(outbox: Outbox) -> list[Row]:
    file = OutboxFile(outbox.path)
    try:
        return file.read_after(0, 1_000_000)
    finally:
        file.close()


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    outbox = Outbox(tmp_path / "ev.db", max_bytes=20 * ROW, group=100)
    outbox.open()
    yield outbox
    await asyncio.to_thread(outbox.close)


async def settled(outbox: Outbox) -> None:
    await until(lambda: not outbox.undeleted)


async def test_a_row_is_on_disk_when_append_returns(outbox: Outbox) -> None:
    assert await outbox.append(COMPLETED, "agent", b"value")
    (row,) = rows(outbox)
    assert (row.topic, row.key, row.value) == (COMPLETED, "agent", b"value")
    assert (outbox.space.depth, outbox.space.bytes, outbox.space.recorded[COMPLETED]) == (
        1,
        5 + ROW_OVERHEAD,
        1,
    )


async def test_a_commit_survives_a_power_loss(outbox: Outbox) -> None:
    assert outbox.file is not None
    modes = [
        outbox.file.connection.execute(f"PRAGMA {p}").fetchone()[0] for p in ("journal_mode", "synchronous")
    ]
    assert modes == ["wal", 2], "2 is FULL: the WAL is fsynced at every commit"


async def test_events_that_wait_together_are_committed_together_in_order(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "ev.db", max_bytes=1e9, group=100)
    outbox.open()
    await asyncio.gather(*(outbox.append(COMPLETED, "agent", b"%d" % n) for n in range(1000)))
    assert [row.value for row in rows(outbox)] == [b"%d" % n for n in range(1000)]
    assert outbox.commits <= 10, "as many as wait share a commit, not 100 at most"
    outbox.close()


async def test_a_wait_that_is_cancelled_does_not_take_the_event_back(outbox: Outbox) -> None:
    task = asyncio.ensure_future(outbox.append(COMPLETED, "agent", b"value"))
    await asyncio.sleep(0)
    task.cancel()
    assert await outbox.append(COMPLETED, "agent", b"next")
    assert [row.value for row in rows(outbox)] == [b"value", b"next"]


async def test_rows_are_deleted_only_when_told(outbox: Outbox) -> None:
    for n in range(3):
        await outbox.append(COMPLETED, "agent", b"%d" % n)
    first, _, third = rows(outbox)
    outbox.delete([first, third])
    await settled(outbox)
    assert [row.value for row in rows(outbox)] == [b"1"]
    assert (outbox.space.depth, outbox.space.bytes) == (1, 1 + ROW_OVERHEAD)


async def test_rows_sent_within_a_moment_are_deleted_together(outbox: Outbox) -> None:
    await asyncio.gather(*(outbox.append(COMPLETED, "agent", b"value") for _ in range(10)))
    before = outbox.commits
    for row in rows(outbox):
        outbox.delete([row])
    await settled(outbox)
    assert rows(outbox) == []
    assert outbox.commits <= before + 2, "one, or two where a busy machine stretches the moment"


async def test_a_deletion_that_fails_is_made_up_for(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    await outbox.append(COMPLETED, "agent", b"value")
    original, failures = OutboxFile.write, iter([MemoryError()])

    def write(self: OutboxFile, rows: list[Row], sent: list[int]) -> None:
        for failure in failures:
            raise failure
        original(self, rows, sent)

    monkeypatch.setattr(OutboxFile, "write", write)
    outbox.delete(rows(outbox))
    await settled(outbox)
    assert (rows(outbox), outbox.space.depth) == ([], 0)


@pytest.mark.parametrize("count", [1, STEP - 1, STEP, STEP + 1, 5 * STEP + 7, PORTION + STEP])
def test_rows_of_any_number_are_written_in_one_commit_by_few_statements(tmp_path: Path, count: int) -> None:
    wanted = [Row(seq, COMPLETED, f"agent-{seq}", b"value") for seq in range(1, count + 1)]
    assert len(list(portions(wanted, PORTION))) <= 3
    file = OutboxFile(tmp_path / "ev.db")
    file.write(wanted, [])
    assert file.read_after(0, count) == wanted
    file.close()


async def test_seq_never_repeats_in_a_life_so_that_a_reader_misses_nothing(outbox: Outbox) -> None:
    await outbox.append(COMPLETED, "agent", b"1")
    (first,) = rows(outbox)
    outbox.delete([first])
    await settled(outbox)
    await outbox.append(COMPLETED, "agent", b"2")
    assert rows(outbox)[0].seq > first.seq


async def test_a_full_outbox_sheds_queued_progress_first_oldest_first(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(10):
        await outbox.append(PROGRESS, f"p{n}", VALUE)
        await outbox.append(COMPLETED, f"c{n}", VALUE)
    for n in range(10, 15):
        assert await outbox.append(COMPLETED, f"c{n}", VALUE)
    keys = [row.key for row in rows(outbox)]
    assert [key for key in keys if key[0] == "c"] == [f"c{n}" for n in range(15)]
    left = [key for key in keys if key[0] == "p"]
    assert left == [f"p{n}" for n in range(6, 10)]
    assert outbox.space.shed == {PROGRESS: 6}
    assert outbox.space.recorded == {PROGRESS: 4, COMPLETED: 15}
    assert outbox.space.bytes <= outbox.space.max_bytes
    assert outbox.space.bytes == sum(row.size for row in rows(outbox))


async def progress_and_others(outbox: Outbox, progress: int, others: int) -> None:
    await asyncio.gather(*(outbox.append(PROGRESS, f"p{n}", VALUE) for n in range(progress)))
    await asyncio.gather(*(outbox.append(COMPLETED, f"c{n}", VALUE) for n in range(others)))


async def test_an_outbox_takes_all_that_fits_to_the_byte(outbox: Outbox) -> None:
    await progress_and_others(outbox, 10, 10)
    assert outbox.space.bytes == outbox.space.max_bytes
    assert (outbox.space.shed, outbox.space.depth) == ({}, 20)


async def test_queued_progress_is_shed_until_a_tenth_is_free_and_no_further(outbox: Outbox) -> None:
    await progress_and_others(outbox, 10, 10)
    assert await outbox.append(COMPLETED, "c10", VALUE)
    keys = [row.key for row in rows(outbox)]
    assert keys == [f"p{n}" for n in range(3, 10)] + [f"c{n}" for n in range(11)]
    assert (outbox.space.depth, outbox.space.bytes) == (18, 18 * ROW)
    assert outbox.space.shed == {PROGRESS: 3}
    assert outbox.space.recorded == {PROGRESS: 7, COMPLETED: 11}


async def test_what_was_shed_is_not_counted_again_when_progress_runs_out(outbox: Outbox) -> None:
    await progress_and_others(outbox, 2, 18)
    stored = [await outbox.append(COMPLETED, f"d{n}", VALUE) for n in range(3)]
    assert stored == [True, True, False]
    assert [row.key for row in rows(outbox)] == [f"c{n}" for n in range(18)] + ["d0", "d1"]
    assert outbox.space.shed == {PROGRESS: 2, COMPLETED: 1}
    assert (outbox.space.depth, outbox.space.bytes) == (20, 20 * ROW)


@pytest.mark.parametrize(
    ("batch", "stored"),
    [
        ("pcp", [True, True, False]),
        ("ppc", [True, False, True]),
        ("cpp", [True, True, False]),
        ("pcc", [False, True, True]),
        ("ccp", [True, True, False]),
        ("ccc", [True, True, False]),
        ("ppp", [True, True, False]),
    ],
)
async def test_of_a_batch_progress_is_stored_where_all_else_has_room(
    outbox: Outbox, batch: str, stored: list[bool]
) -> None:
    await progress_and_others(outbox, 0, 18)
    topics = {"p": PROGRESS, "c": COMPLETED}
    assert await asyncio.gather(*(outbox.append(topics[each], each, VALUE) for each in batch)) == stored
    refused = batch[stored.index(False)]
    assert outbox.space.shed == {topics[refused]: 1}
    assert (outbox.space.depth, outbox.space.bytes) == (20, 20 * ROW)


async def test_a_small_event_is_stored_where_a_large_one_was_shed(outbox: Outbox) -> None:
    await progress_and_others(outbox, 0, 19)
    stored = await asyncio.gather(
        outbox.append(COMPLETED, "large", VALUE + b"x"), outbox.append(COMPLETED, "small", VALUE)
    )
    assert stored == [False, True]
    assert outbox.space.bytes == outbox.space.max_bytes


async def test_new_progress_goes_before_any_other_event_does(outbox: Outbox) -> None:
    await asyncio.gather(*(outbox.append(COMPLETED, f"c{n}", VALUE) for n in range(19)))
    stored = await asyncio.gather(outbox.append(PROGRESS, "p", VALUE), outbox.append(COMPLETED, "c19", VALUE))
    assert stored == [False, True]
    assert outbox.space.shed == {PROGRESS: 1}


async def test_with_no_progress_left_new_events_are_shed_and_the_way_out_is_named(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.gather(*(outbox.append(COMPLETED, f"c{n}", VALUE) for n in range(20)))
    assert not await outbox.append(KPI_SNAPSHOTS.name, "k", VALUE)
    assert outbox.space.shed == {KPI_SNAPSHOTS.name: 1}
    assert "outbox_max_mb" in caplog.text
    outbox.delete(rows(outbox)[:1])
    await settled(outbox)
    assert await outbox.append(KPI_SNAPSHOTS.name, "k", VALUE)


async def test_what_the_publisher_holds_is_not_shed(outbox: Outbox) -> None:
    for n in range(10):
        await outbox.append(PROGRESS, f"p{n}", VALUE)
    outbox.handover.read_to(rows(outbox)[4].seq)
    await asyncio.gather(*(outbox.append(COMPLETED, f"c{n}", VALUE) for n in range(15)))
    keys = [row.key for row in rows(outbox)]
    assert keys[:5] == [f"p{n}" for n in range(5)]
    assert keys[5:] == [f"c{n}" for n in range(15)]


async def test_a_broken_file_costs_the_event_and_an_error_but_no_exception(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("evometrics.producers.outbox.outbox.COMMIT_PAUSE", 0)
    with sqlite3.connect(outbox.path) as other:
        other.execute("ALTER TABLE outbox RENAME TO elsewhere")
    assert not await outbox.append(COMPLETED, "agent", b"value")
    assert outbox.failed == 1
    assert "no such table" in caplog.text
    with sqlite3.connect(outbox.path) as other:
        other.execute("ALTER TABLE elsewhere RENAME TO outbox")
    assert await outbox.append(COMPLETED, "agent", b"value")


async def test_a_drained_outbox_leaves_no_file_and_a_full_one_stays(tmp_path: Path) -> None:
    drained, left = (Outbox(tmp_path / "ev.db", max_bytes=1e6, group=10) for _ in range(2))
    for outbox in (drained, left):
        outbox.open()
        await outbox.append(COMPLETED, "agent", b"value")
    kept = left.path
    drained.delete(rows(drained))
    await settled(drained)
    drained.close()
    left.close()
    assert [path for path in files(tmp_path) if path.suffix == ".db"] == [kept]


async def test_a_long_queue_gives_its_disk_space_back_once_drained(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "ev.db", max_bytes=1e9, group=100)
    outbox.open()
    await asyncio.gather(*(outbox.append(COMPLETED, "a", bytes(100_000)) for _ in range(150)))
    outbox.delete(all_rows(outbox))
    await settled(outbox)
    await outbox.append(COMPLETED, "a", b"small")
    assert outbox.file is not None
    outbox.file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert outbox.path.stat().st_size < 1_000_000
    outbox.close()


def all_rows(outbox: Outbox) -> list[Row]:
    file = OutboxFile(outbox.path)
    found: list[Row] = []
    while batch := file.read_after(found[-1].seq if found else 0, 1000):
        assert sum(row.size for row in batch) < 5_000_000, "large rows are read in smaller portions"
        found.extend(batch)
    file.close()
    return found


def test_a_living_outbox_is_not_adopted_a_dead_one_is_once(tmp_path: Path) -> None:
    db_path = tmp_path / "ev.db"
    lock = new_outbox(db_path)
    OutboxFile(lock.path).close()
    assert list(dead_outboxes(db_path)) == []
    lock.close()
    (adopted,) = dead_outboxes(db_path)
    assert adopted.path == lock.path
    assert list(dead_outboxes(db_path)) == []
    adopted.close(delete=True)
    assert list(tmp_path.iterdir()) == []


def test_an_outbox_without_a_lock_file_gets_one(tmp_path: Path) -> None:
    lock = try_lock(tmp_path / "ev-1-0.db")
    assert lock is not None and lock.lock_path.exists() and lock.held()
    assert try_lock(tmp_path / "ev-1-0.db") is None, "it is locked"
    lock.close(delete=True)
    assert list(tmp_path.iterdir()) == []


def test_who_locks_an_outbox_knows_what_it_should_hold(tmp_path: Path) -> None:
    lock = new_outbox(tmp_path / "ev.db")
    lock.tally.begin(Held(3, 1, 3))
    lock.close()
    again = try_lock(lock.path)
    assert again is not None and again.record is not None
    assert again.record.process == os.getpid()
    again.close(delete=True)


def test_a_link_in_place_of_a_lock_file_is_not_followed(tmp_path: Path) -> None:
    lock_path(tmp_path / "ev-1-0.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"ev-1-0\.db\.lock"):
        try_lock(tmp_path / "ev-1-0.db")
    assert not (tmp_path / "elsewhere").exists()


def test_outboxes_are_found_by_whatever_file_is_left_of_them(tmp_path: Path) -> None:
    for name in ("ev-7-1.db-wal", "ev-12-0.db", "ev-12-0.db-wal", "ev-3-0.db.lock", "ev-3-0.dbx", "ev-3.db"):
        (tmp_path / name).write_text("")
    found = names_beside(tmp_path / "ev.db")
    assert dict(found) == {
        tmp_path / "ev-7-1.db": 7,
        tmp_path / "ev-12-0.db": 12,
        tmp_path / "ev-3-0.db": 3,
    }
    assert found[0][1] == 7, "that of which only the WAL is left, with no time of its making"


def test_a_name_that_a_dead_process_of_the_same_id_left_is_not_taken(tmp_path: Path) -> None:
    first = new_outbox(tmp_path / "ev.db")
    OutboxFile(first.path).close()
    first.close()
    second = new_outbox(tmp_path / "ev.db")
    assert second.path != first.path
    second.close(delete=True)


def test_other_files_beside_the_outboxes_are_left_alone(tmp_path: Path) -> None:
    for name in ("ev-notes.db", "ev-refused.db", "ev-1-x.db", "other-1-0.db", "ev.db"):
        (tmp_path / name).write_text("mine")
    assert list(dead_outboxes(tmp_path / "ev.db")) == []


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "ev-1-0.db").write_text("this is no database, and it is long enough to be sure of that")
    with pytest.raises(OutboxError, match=r"ev-1-0\.db"):
        OutboxFile(tmp_path / "ev-1-0.db")


RECORD_UNTIL_KILLED = """
import asyncio, sys
from evometrics.producers import EvolutionMetricsCollector

async def main():
    collector = EvolutionMetricsCollector(
        {"db_path": sys.argv[1], "brokers": "127.0.0.1:1", "node_id": "killed"}
    )
    await collector.start()
    async def work(name):
        for number in range(100_000):
            event_id = await collector.record_system_event(name, {"number": number})
            print(event_id, flush=True)
    await asyncio.gather(*(work(f"task-{n}") for n in range(20)))

asyncio.run(main())
"""


async def test_kill_9_loses_no_event_whose_recording_returned(tmp_path: Path) -> None:
    db_path = tmp_path / "ev.db"
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RECORD_UNTIL_KILLED,
        str(db_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert child.stdout is not None
    returned = [await asyncio.wait_for(child.stdout.readline(), 30) for _ in range(500)]
    os.kill(child.pid, signal.SIGKILL)
    returned += (await child.stdout.read()).splitlines(keepends=True)
    await child.wait()
    ids = {line.strip().decode() for line in returned if line.endswith(b"\n")}
    stored = {event.event_id for event in left_in(tmp_path)}
    assert len(ids) >= 500
    assert ids <= stored
    (lock,) = dead_outboxes(db_path)
    assert try_lock(lock.path) is None
    lock.close()
