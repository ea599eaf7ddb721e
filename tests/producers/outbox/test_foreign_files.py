"""Files of the user's that are named like ours: byte-identical afterwards, named once, in nobody's way."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from evometrics.producers import EvolutionMetricsCollector
from evometrics.producers.outbox.file import OutboxFile
from evometrics.producers.outbox.format import RELEASED
from evometrics.producers.outbox.names import new_outbox
from evometrics.producers.outbox.outbox import Outbox
from evometrics.producers.outbox.row import Row
from evometrics.producers.publisher.backlog import Backlog
from evometrics.producers.publisher.refused import RefusedMessages
from evometrics.schemas.topics import SYSTEM_EVENTS
from tests.support.outboxes import config, files

STEM = "evolution_metrics"
MINE = "CREATE TABLE metrics (id INTEGER PRIMARY KEY, score REAL)"

RECORD = """
import asyncio, os, signal, sys
from evometrics.producers import EvolutionMetricsCollector

async def main():
    collector = EvolutionMetricsCollector(
        {"db_path": sys.argv[1], "brokers": "127.0.0.1:1", "node_id": "n", "flush_interval": 0.1}
    )
    await collector.start()
    for number in range(20):
        assert await collector.record_system_event("x", {"number": number})
    await asyncio.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def database(path: Path, *statements: str, mode: str = "delete") -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {mode}")
    for statement in statements:
        connection.execute(statement)
    return connection


def users_files(folder: Path) -> sqlite3.Connection:
    """Make all kinds of files that a user may have; return one that is in use, with a log beside it."""
    for name in (f"{STEM}.db", f"{STEM}-2026-08.db", f"{STEM}-20260801-1.db", f"{STEM}-refused.db"):
        database(folder / name, MINE, "INSERT INTO metrics VALUES (1, 0.5)").close()
    # Named like an outbox, and with a table of its name, but not with ours alone.
    database(folder / f"{STEM}-3-0.db", RELEASED, MINE).close()
    database(folder / f"{STEM}-4-0.db", "CREATE TABLE outbox (seq INTEGER PRIMARY KEY, topic TEXT)").close()
    database(folder / f"{STEM}-5-0.db", MINE, "PRAGMA application_id = 4242").close()
    (folder / f"{STEM}-6-0.db").write_text("time,score\n1,0.5\n")
    (folder / f"{STEM}-7-0.db").write_bytes(b"")
    (folder / f"{STEM}-8-0.db").symlink_to(folder / f"{STEM}.db")
    (folder / f"{STEM}-9-0.db").mkdir()
    os.mkfifo(folder / f"{STEM}-10-0.db")
    (folder / f"{STEM}-11-0.db.lock").write_text("a lock of mine")
    (folder / f"{STEM}-12-0.db-wal").write_text("a log of mine")
    return database(folder / f"{STEM}-13-0.db", MINE, mode="wal")


def state(folder: Path) -> dict[str, object]:
    """Return name, kind, time and content of everything in a folder."""
    found: dict[str, object] = {}
    for path in folder.iterdir():
        kept = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[path.name] = kept.st_mode, kept.st_ino, kept.st_mtime_ns, kept.st_size, content
    return found


async def test_users_files_are_the_same_after_start_crash_adoption_and_stop_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_use = users_files(tmp_path)
    before = state(tmp_path)
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", RECORD, str(tmp_path / f"{STEM}.db")], timeout=60, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    caplog.set_level(logging.WARNING)
    collector = EvolutionMetricsCollector(config(tmp_path, flush_interval=0.1))
    await collector.start()
    assert collector.outbox_depth >= 20, "what the killed process left is adopted"
    await asyncio.sleep(0.5)
    RefusedMessages.beside(tmp_path / f"{STEM}.db").add(Row(1, "t", "k", b"refused"), "a reason")
    await collector.stop()
    after = state(tmp_path)
    assert {name: after.get(name) for name in before} == before
    new = {name for name in after if name not in before}
    assert all(name.startswith(f"{STEM}-") for name in new)
    assert not any(name.startswith(f"{mine}-") or name == f"{mine}.lock" for mine in before for name in new)
    for name in before:
        if name.split("-")[-1] == "0.db":
            assert caplog.text.count(f"/{name}: ") == 1, name
    in_use.close()


def test_refused_messages_go_beside_a_file_that_has_their_name(tmp_path: Path) -> None:
    database(tmp_path / "ev-refused.db", MINE).close()
    (tmp_path / "ev-refused-2.db").write_text("neither")
    refused = RefusedMessages.beside(tmp_path / "ev.db")
    refused.forget(1)
    refused.add(Row(1, "t", "k", b"value"), "a reason")
    assert refused.path.name == "ev-refused-3.db"
    assert [message[:4] for message in RefusedMessages.beside(tmp_path / "ev.db").all()] == [
        ("t", "k", b"value", "a reason")
    ]


def test_refused_messages_of_the_release_before_are_kept_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "ev-refused.db"
    table = (
        "CREATE TABLE IF NOT EXISTS refused (\n    topic TEXT NOT NULL,\n    key TEXT NOT NULL,\n"
        "    value BLOB NOT NULL,\n    reason TEXT NOT NULL,\n    refused_at REAL NOT NULL\n)\n"
    )
    database(path, table, "INSERT INTO refused VALUES ('t', 'k', x'01', 'old', 1.0)").close()
    refused = RefusedMessages.beside(tmp_path / "ev.db")
    refused.add(Row(1, "t", "k", b"2"), "new")
    assert refused.path == path
    assert [message[3] for message in refused.all()] == ["old", "new"]


async def adopted(folder: Path, stem: str) -> list[str]:
    outbox = Outbox(folder / stem, max_bytes=1e9, group=10)
    outbox.open()
    backlog = Backlog(outbox)
    backlog.adopt(folder / stem)
    keys = []
    while items := backlog.read(100):
        keys += [row.key for row in items]
        backlog.delete(items)
    backlog.close()
    outbox.close()
    return keys


def leave(db_path: Path, key: str) -> None:
    lock = new_outbox(db_path)
    file = OutboxFile(lock.path, lock.tally)
    file.write([Row(1, SYSTEM_EVENTS.name, key, b"value")], ())
    file.close()
    lock.close()


@pytest.mark.parametrize("name", ["run[1].db", "run*.db", "ru?.db", "run", "run.db.lock", "a-1-0.db"])
async def test_names_are_taken_as_they_are_and_of_this_collector_alone(tmp_path: Path, name: str) -> None:
    for other in ("run1.db", "run[1]-2.db", "runs.db", "a.db", "a-1-0-1.db"):
        leave(tmp_path / other, "another's")
    leave(tmp_path / name, "ours")
    assert await adopted(tmp_path, name) == ["ours"]


@pytest.mark.parametrize("checkpointed", [False, True])
async def test_an_outbox_of_the_release_without_a_mark_is_adopted(
    tmp_path: Path, *, checkpointed: bool
) -> None:
    path = tmp_path / "made.db"
    made = database(path, "PRAGMA auto_vacuum = INCREMENTAL", mode="wal")
    made.executescript(RELEASED.replace("TABLE", "TABLE IF NOT EXISTS") + ";\n")
    made.execute("INSERT INTO outbox VALUES (7, ?, 'old', x'01', 5)", (SYSTEM_EVENTS.name,))
    if checkpointed:
        made.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for ending in ("", "-wal"):
        shutil.copy(f"{path}{ending}", tmp_path / f"ev-1-0.db{ending}")
    (tmp_path / "ev-1-0.db.lock").touch()
    made.close()
    assert await adopted(tmp_path, "ev.db") == ["old"]
    assert not (tmp_path / "ev-1-0.db").exists()


async def test_an_outbox_of_a_newer_release_is_named_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leave(tmp_path / "ev.db", "newer")
    (path,) = (path for path in files(tmp_path) if path.suffix == ".db")
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 2")
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    content = path.read_bytes()
    assert await adopted(tmp_path, "ev.db") == []
    assert path.read_bytes() == content
    assert "newer release" in caplog.text


def test_a_new_outbox_takes_no_name_of_which_anything_is_there(tmp_path: Path) -> None:
    name = f"ev-{os.getpid()}"
    for number, ending in enumerate(("", "-wal", "-shm", "-journal", ".lock")):
        (tmp_path / f"{name}-{number}.db{ending}").write_text("mine")
    lock = new_outbox(tmp_path / "ev.db")
    assert lock.path.name == f"{name}-5.db"
    lock.close(delete=True)
    assert {path.read_text() for path in files(tmp_path)} == {"mine"}


AS_NOBODY = """
import logging, os, sys
from pathlib import Path
from evometrics.producers.outbox.dead_outboxes import dead_outboxes
os.setuid(65534)
logging.basicConfig(format="%(message)s")
for _ in range(2):
    assert list(dead_outboxes(Path(sys.argv[1]))) == []
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("modes", [(0o600, 0o600), (0o444, 0o666), (0o666, 0o600)], ids=str)
def test_an_outbox_that_may_not_be_written_is_named_once_with_the_way_out(modes: tuple[int, int]) -> None:
    with tempfile.TemporaryDirectory() as made:  # each start of pytest makes the folder of its runs private
        folder = Path(made)
        leave(folder / "ev.db", "theirs")
        folder.chmod(0o777)
        for path in files(folder):
            path.chmod(modes[path.suffix == ".lock"])
        command = [sys.executable, "-c", AS_NOBODY, str(folder / "ev.db")]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stderr.count("can't be used") == 1
    assert "chmod" in ended.stderr
    count = "1" if modes[1] == 0o666 else "an unknown number of"
    assert f"its {count} events are not sent" in ended.stderr


async def test_a_lock_that_a_child_of_a_dead_process_holds_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = new_outbox(tmp_path / "ev.db")
    file = OutboxFile(lock.path, lock.tally)
    lock.tally.process = 4194399  # above any that Linux gives
    file.write([Row(1, SYSTEM_EVENTS.name, "k", b"value")], ())
    file.close()
    for path in files(tmp_path):
        path.rename(path.with_name(path.name.replace(f"-{os.getpid()}-", "-4194399-")))
    for _ in range(2):
        assert await adopted(tmp_path, "ev.db") == []
    assert caplog.text.count("holds its lock") == 1
    assert "its 1 events wait" in caplog.text
    lock.close()
    assert await adopted(tmp_path, "ev.db") == ["k"]


async def test_what_was_recorded_is_whole_beside_all_that(tmp_path: Path) -> None:
    in_use = users_files(tmp_path)
    collector = EvolutionMetricsCollector(config(tmp_path))
    await collector.start()
    assert await collector.record_system_event("x")
    path = collector.outbox.path
    await collector.stop()
    assert path.exists()
    in_use.close()


async def test_an_outbox_that_another_node_has_adopted_is_nothing_to_be_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = (
        "import asyncio, os, sys\n"
        "from evometrics.producers import EvolutionMetricsCollector\n"
        "async def main():\n"
        "    c = EvolutionMetricsCollector({'db_path': sys.argv[1], 'brokers': '127.0.0.1:1'})\n"
        "    await c.start()\n"
        "    await c.record_system_event('left')\n"
        "    os._exit(0)\n"
        "asyncio.run(main())\n"
    )
    argv = [sys.executable, "-c", script, str(tmp_path / "evolution_metrics.db")]
    await asyncio.to_thread(subprocess.run, argv, check=True)
    first, second = (EvolutionMetricsCollector(config(tmp_path)) for _ in range(2))
    await first.start()
    assert first.outbox_depth == 1, "adopted"
    await second.start()
    await second.stop()
    await first.stop()
    assert "holds its lock" not in caplog.text


def test_any_number_of_refused_messages_is_read_in_little_memory_each_once(tmp_path: Path) -> None:
    """120 MB in two files, the second begun when the first was damaged: a few of them are in memory."""
    refused = RefusedMessages.beside(tmp_path / "ev.db")
    for number in (1, 2):
        with closing(refused.open(refused.named(number))) as connection, connection:
            connection.executemany(
                "INSERT INTO refused VALUES ('t', ?, zeroblob(1000000), 'too large', ?)",
                ((f"{number}-{n}", 2.0 * n + number) for n in range(60)),
            )
    tracemalloc.start()
    try:
        keys = [message[1] for message in refused.all()]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert keys == [f"{number}-{n}" for n in range(60) for number in (1, 2)]
    assert peak < 70_000_000
