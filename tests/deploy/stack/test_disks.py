"""What runs on a disk that is nearly full: warned of, stopped in good order, started when there is room."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from evometrics.deploy.console.running import way_out
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.supervise import SupervisedPart
from evometrics.deploy.stack.disks import DiskWatch, Reserve
from evometrics.deploy.stack.stackfile import StackAddresses, write_stack
from evometrics.schemas.kafka.topics import BrokerUnavailable
from evometrics.schemas.service.disk import DiskSettings, DiskSpace, LowDisk, show_free, space_of
from evometrics.schemas.service.settings import SettingsError
from tests.deploy.process.test_supervision import spec_of
from tests.support.disks import fill, leave, small_disk

TIDIES = """
import signal, sys, time
def end(*_):
    print("tidied up", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("working", flush=True)
time.sleep(600)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 4) as folder:
        yield folder


def test_what_is_kept_free_is_the_smaller_of_an_amount_and_a_share() -> None:
    assert DiskSettings().kept_free(1_000_000_000_000) == 500_000_000
    assert DiskSettings().kept_free(700_000_000) == 35_000_000
    assert DiskSettings(keep_free_mb=1).kept_free(700_000_000) == 1_000_000
    for wrong in ({"keep_free_mb": 0.0}, {"keep_free_percent": 100.0}):
        with pytest.raises(SettingsError, match="keep_free"):
            DiskSettings(**wrong)


def test_a_part_may_run_again_only_once_there_is_clearly_more_room_than_is_kept(disk: Path) -> None:
    reserve = Reserve(disk / "not yet there", DiskSettings(keep_free_percent=25))
    assert reserve.lacks() is None
    filler = leave(disk, 900_000)
    assert str(disk) in str(reserve.lacks())
    filler.unlink()
    filler = leave(disk, 1_200_000)
    assert reserve.lacks() is not None, "more than the quarter that is kept, but not by much"
    filler.unlink()
    assert reserve.lacks() is None


async def test_a_part_is_stopped_in_good_order_before_its_disk_is_full_and_starts_when_there_is_room(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evometrics.deploy.process.supervise.HOLD_POLL_SECONDS", 0.02)
    told: list[str] = []
    reserve = Reserve(disk, DiskSettings())
    part = SupervisedPart(ChildProcess(spec_of(tmp_path, TIDIES)), told.append, lambda: None, reserve.lacks)
    filler = fill(disk)
    starting = asyncio.create_task(part.start())

    async def until_told(words: str) -> None:
        async with asyncio.timeout(60):
            while not any(words in line for line in told):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    await until_told("part is not started: the disk of")
    assert part.child.pid is None and part.held
    filler.unlink()
    await starting
    assert part.child.running and part.held is None
    first = part.child.pid
    filler = fill(disk)
    await until_told("part is stopped: the disk of")
    async with asyncio.timeout(60):
        await part.child.wait()
    assert "tidied up" in part.child.log_tail()
    filler.unlink()
    await until_told("part is ready again")
    assert part.child.running and part.child.pid != first
    await part.stop()
    assert not any("restarting it in" in line for line in told), "it has not died"


async def test_a_part_that_died_on_a_full_disk_is_held_and_not_started_on_it(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evometrics.deploy.process.supervise.HOLD_POLL_SECONDS", 0.02)
    told: list[str] = []
    allowed = asyncio.Event()
    allowed.set()
    part = SupervisedPart(
        ChildProcess(spec_of(tmp_path, TIDIES)),
        told.append,
        lambda: None,
        lambda: None if allowed.is_set() or part.child.running else "no room",
    )
    await part.start()
    allowed.clear()
    first = part.child.pid
    part.child.kill()
    async with asyncio.timeout(60):
        while "part is not started: no room" not in told:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert part.child.pid == first
    allowed.set()
    async with asyncio.timeout(60):
        while "part is ready again" not in told:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await part.stop()


def test_each_disk_is_warned_of_once_a_spell_with_all_that_is_on_it(disk: Path, tmp_path: Path) -> None:
    told: list[str] = []
    folders = {name: disk / name for name in ("kafka", "clickhouse")}
    for folder in folders.values():
        folder.mkdir()
    missing = {"stream": tmp_path / "none"}
    watch = DiskWatch(folders | missing, DiskSettings(keep_free_percent=10), told.append)
    watch.look()
    assert told == []
    filler = leave(disk, 700_000)
    watch.look()
    watch.look()
    assert len(told) == 1 and told[0].startswith(f"kafka, clickhouse in {disk}: the disk is nearly full")
    filler.unlink()
    watch.look()
    leave(disk, 700_000)
    watch.look()
    assert len(told) == 2


def test_a_command_that_finds_no_broker_says_that_the_stacks_is_held(disk: Path) -> None:
    data = disk / "stack"
    (data / "kafka").mkdir(parents=True)
    write_stack(StackAddresses("127.0.0.1:1", "http://127.0.0.1:2", {}, data), {}, ready=True)
    args = argparse.Namespace(data=str(data), config=None, command="topics", traceback=False)
    away = BrokerUnavailable("no Kafka broker answers")
    assert way_out(args, away) == "no Kafka broker answers"
    fill(disk)
    assert f"Kafka of the stack on {data} is held back: the disk of" in str(way_out(args, away))
    assert way_out(args, SettingsError("another thing")) == "another thing"


def test_a_file_system_that_does_not_tell_its_size_is_not_warned_of() -> None:
    assert LowDisk("x").warning(DiskSpace(0, 0), 100, "nothing happens") is None


def test_metrics_tell_the_space_of_those_data_folders_that_are_there(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    show_free(registry, {"stream": tmp_path, "kafka": tmp_path / "none"})
    (line,) = [row for row in generate_latest(registry).decode().splitlines() if not row.startswith("#")]
    name, value = line.split(" ")
    assert name == 'evometrics_disk_free_bytes{folder="stream"}'
    assert float(value) == pytest.approx(space_of(tmp_path).free, rel=0.05)
