"""`evometrics backup`: a copy of a stack under load holds all that was recorded, once; the stack goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from evometrics.deploy.stack.backup import BackupFailed, paused
from evometrics.deploy.stack.copying import copy_folder
from evometrics.deploy.stack.stackfile import ProcessMark
from evometrics.schemas.events import Event
from tests.faults.check import check, keep_every_row
from tests.faults.orchestrator import ENOUGH
from tests.support.generator import Load, generate
from tests.support.model import SECOND
from tests.support.stack import Running, evometrics, running_stack

ROOT = Path(__file__).parents[3]
PARTITIONS = 2
NODE = "node-0"
LOAD = Load(
    seed=4, begin=(int(time.time()) - 30 * 3600) * SECOND, agents=60, evolutions=1500, nodes=1, hours=8
)


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return [event for _, event in generate(LOAD)]


@contextlib.contextmanager
def node(stack: Running, rate: float = 400) -> Iterator[subprocess.Popen[bytes]]:
    """A node that records events into the stack's folder; ends once all is sent, where there is `enough`."""
    command = [sys.executable, "-m", "tests.faults.weakened", "orchestrator", "--node", NODE]
    command += ["--brokers", stack.brokers, "--folder", str(stack.data / "outbox"), "--rate", str(rate)]
    environment = os.environ | {"FAULTS_COUNTER": str(stack.data.parent / "crashes")}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            yield process
            (stack.data / "outbox" / ENOUGH).touch()
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()


def wrong(stack: Running, events: list[Event]) -> object:
    """Return what is not as it should be, once all is stored; nothing where all is."""
    stack.drained()
    found = check(stack.clickhouse_url, stack.data / "outbox", {NODE: events}, PARTITIONS, {}, 0.0)
    assert found.recorded > 300
    return None if found.right else found


def test_a_copy_of_a_stack_under_load_holds_all_that_was_recorded_once(
    tmp_path: Path, events: list[Event]
) -> None:
    copy = tmp_path / "copy"
    with running_stack(tmp_path / "data", PARTITIONS) as stack:
        keep_every_row(stack.clickhouse_url)
        outbox = stack.data / "outbox"
        outbox.mkdir()
        (outbox / f"{NODE}.events").write_bytes(pickle.dumps(events))
        journal = outbox / f"{NODE}.journal"
        with node(stack) as recording:
            while not journal.exists() or journal.stat().st_size < 40_000:
                assert recording.poll() is None
                time.sleep(0.05)
            before = journal.read_bytes()
            done = evometrics("backup", str(copy), "--data", str(stack.data))
            assert done.returncode == 0, done.stderr
            assert "is a complete copy" in done.stdout
            size = journal.stat().st_size
            while journal.stat().st_size < size + 10_000:  # the node and the stack go on
                time.sleep(0.05)
        assert wrong(stack, events) is None
    # what was begun meanwhile may be in the copy; what had returned before must be
    whole = before[: before.rfind(b"\n") + 1]
    begun = b"".join(b"i %d\n" % number for number in range(len(events)))
    (copy / "outbox" / f"{NODE}.journal").write_bytes(whole + begun)
    (copy / "outbox" / ENOUGH).touch()
    with running_stack(copy, PARTITIONS) as again:
        with node(again):
            pass
        assert wrong(again, events) is None


def test_parts_go_on_though_the_copying_process_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, start_new_session=True) as part:
        mark = ProcessMark.of(part.pid)
        pause = "import sys; from evometrics.deploy.stack.backup import paused; "
        pause += "from evometrics.deploy.stack.stackfile import ProcessMark\n"
        pause += (
            f"with paused({{'part': ProcessMark({mark.pid}, {mark.started})}}): print('still', flush=True); "
        )
        pause += "sys.stdin.read()"
        with subprocess.Popen([sys.executable, "-c", pause], stdin=-1, stdout=-1) as copying:
            assert copying.stdout is not None
            assert copying.stdout.readline() == b"still\n"
            process = psutil.Process(part.pid)
            assert process.status() == psutil.STATUS_STOPPED
            os.kill(copying.pid, signal.SIGKILL)
        while process.status() == psutil.STATUS_STOPPED:
            time.sleep(0.02)
        part.kill()
        part.wait()
    with pytest.raises(BackupFailed, match="being restarted"), paused({"part": mark}):
        pass


def test_what_can_not_be_copied_whole_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "kafka").mkdir(parents=True)
    (data / "stack.lock").touch()
    for target, words in ((data / "kafka" / "copy", "is inside"), (tmp_path, "already exists")):
        done = evometrics("backup", str(target), "--data", str(data))
        assert (done.returncode, words in done.stderr) == (1, True), done.stderr
    done = evometrics("backup", str(tmp_path / "copy"), "--data", str(tmp_path / "nothing"))
    assert done.returncode == 1 and "is not a folder of a stack" in done.stderr
    done = evometrics("backup", str(tmp_path / "copy"), "--data", str(data))
    assert done.returncode == 0 and [p.name for p in (tmp_path / "copy").iterdir()] == ["kafka"]


def test_files_come_over_as_they_are(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "empty").mkdir(parents=True)
    (source / ".lock").write_text("Kafka's")
    (source / "left out").write_text("x")
    with (source / "holes").open("wb") as file:
        file.truncate(50_000_000)
        file.seek(20_000_000)
        file.write(b"in the middle")
    (source / "link").symlink_to("holes")
    outbox = sqlite3.connect(source / "o.db")
    outbox.execute("PRAGMA journal_mode=wal")
    outbox.execute("CREATE TABLE t (n)")
    outbox.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(1000)])
    outbox.commit()  # and not yet in the database's own file
    (source / "o.db.lock").write_bytes(b"counts")
    (source / "damaged.db").write_bytes(b"SQLite format 3\0" + bytes(200))
    (source / "damaged.db-wal").write_bytes(b"log")
    copy_folder(source, target, frozenset({"left out"}), lambda: None)
    outbox.close()
    copied = sqlite3.connect(target / "o.db")
    assert copied.execute("SELECT count(), sum(n) FROM t").fetchone() == (1000, 499_500)
    copied.close()
    assert (target / ".lock").read_text() == "Kafka's"
    assert (target / "o.db.lock").read_bytes() == b""
    assert (target / "damaged.db-wal").read_bytes() == b"log"
    assert (target / "damaged.db").read_bytes() == (source / "damaged.db").read_bytes()
    assert (target / "holes").read_bytes() == (source / "holes").read_bytes()
    assert (target / "holes").stat().st_blocks * 512 < 1_000_000
    assert (target / "link").readlink() == Path("holes") and (target / "empty").is_dir()
    assert not (target / "left out").exists()


async def test_a_copy_that_is_ended_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evometrics.deploy.stack import backup as module

    data, copying = tmp_path / "data", asyncio.Event()
    data.mkdir()
    for name in "abc":
        (data / name).touch()
    loop = asyncio.get_running_loop()

    def slow(source: Path, target: Path, left_out: frozenset[str], check: object) -> None:
        target.mkdir()
        loop.call_soon_threadsafe(copying.set)
        while True:
            check()  # type: ignore[operator]
            time.sleep(0.01)

    monkeypatch.setattr(module, "copy_folder", slow)
    task = asyncio.create_task(module.backup(data, tmp_path / "copy"))
    await copying.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(os.listdir, tmp_path) == ["data"]
