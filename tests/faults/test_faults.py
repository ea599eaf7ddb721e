"""The fault runs in short: random faults, outages, workers that come and go."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from tests.faults import disks
from tests.faults.clocks import Clocks, supported
from tests.faults.journal import Call
from tests.faults.outage import CAUGHT_UP_SECONDS
from tests.faults.parts import ROOT
from tests.faults.right import right
from tests.faults.rolling import MERGE, Step, reported
from tests.faults.run import Plan
from tests.faults.schedule import plan_faults
from tests.faults.show import step_table
from tests.support.disks import cannot_mount


async def test_random_kills_pauses_cuts_and_a_full_disk_lose_nothing_and_double_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("BEFORE", 2.0), ("FULL", 4.0), ("AFTER", 1.0)):
        monkeypatch.setattr(disks, name, seconds)
    if problem := cannot_mount(tmp_path):
        warnings.warn(f"without the broker's full disk: {problem}", stacklevel=1)
    disk = "" if problem else "broker"
    # where it can be had, with stream workers whose clocks are two hours ahead and corrected in the middle
    clock = {} if supported() else {"clock": "stream", "ahead": 2 * 3600}
    plan = Plan(seed=21, events=4000, rate=400, faults=6, disk=disk, **clock)  # type: ignore[arg-type]
    report = await right(plan)
    assert sum(report.faults.values()) >= 3
    if disk:
        assert "kafka may run again; starting it" in report.said


async def test_long_outages_and_workers_that_come_and_go_under_load_change_nothing() -> None:
    plan = Plan(
        seed=23, events=45_000, rate=150, streams=1, sinks=1, duplicates=0, outage=8, scalings=1, gap=1
    )
    before, broker, after_broker, _, after_clickhouse = (await right(plan)).outage
    assert broker.recorded_per_second > 0.5 * before.recorded_per_second, "recording waits for the broker"
    for phase in (after_broker, after_clickhouse):
        if phase.catch_up is None:  # on a machine with time to spare it is done before the first look
            assert phase.backlog is not None and phase.backlog <= 150 * CAUGHT_UP_SECONDS, phase
        else:
            assert phase.catch_up.stored_per_second > phase.catch_up.recorded_per_second, phase


def test_a_processes_wall_clock_is_set_while_it_runs_and_its_waits_take_as_long(tmp_path: Path) -> None:
    if why := supported():
        pytest.skip(why)
    clocks = Clocks(tmp_path / "clocks")
    environment = os.environ | clocks.environment("part")
    clocks.set("part", 7200)
    told = "import queue, sys, time\n"
    told += "for _ in sys.stdin:\n"
    told += "    began = time.monotonic()\n"
    told += "    try: queue.Queue().get(timeout=0.05)\n"
    told += "    except queue.Empty: pass\n"
    told += "    print(time.time(), time.time_ns() / 1e9, time.monotonic() - began, flush=True)\n"
    with subprocess.Popen(
        [sys.executable, "-c", told], env=environment, stdin=-1, stdout=-1, text=True
    ) as part:
        assert part.stdin is not None and part.stdout is not None
        for ahead in (7200, -16 * 86_400, 0):
            clocks.set("part", ahead)
            print(file=part.stdin, flush=True)
            *times, waited = map(float, part.stdout.readline().split())
            assert all(each - time.time() == pytest.approx(ahead, abs=5) for each in times)
            assert 0.04 < waited < 5
        part.stdin.close()


def test_a_run_that_is_ended_by_a_signal_leaves_no_disk_mounted(tmp_path: Path) -> None:
    if problem := cannot_mount(tmp_path):
        pytest.skip(problem)

    def mounts() -> list[str]:
        return [line for line in Path("/proc/mounts").read_text().splitlines() if str(tmp_path) in line]

    argv = [sys.executable, "-m", "tests.faults", "--disks", "outbox"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=-1, stderr=-1, text=True) as run:
        while not mounts() and run.poll() is None:
            time.sleep(0.02)
        assert mounts()
        run.terminate()
        _, said = run.communicate()
    assert run.returncode == 1
    assert said.endswith("ended by a signal\n")
    assert not mounts()


def test_a_seed_always_means_the_same_faults() -> None:
    parts = ["kafka-1", "sink-1", "node-0"]
    assert plan_faults(1, parts, 60, 12) == plan_faults(1, parts, 60, 12)
    assert plan_faults(1, parts, 60, 12) != plan_faults(2, parts, 60, 12)
    assert {fault.part for fault in plan_faults(3, parts, 600, 300)} == set(parts)
    assert all(0 < fault.at < 600 for fault in plan_faults(3, parts, 600, 300))


def test_how_late_events_are_is_told_by_restart_and_no_restart_may_be_late() -> None:
    steps = [Step("sink-1", 100.0, 0.5, 2.0), Step("clickhouse", 110.0, 1.0, 5.0)]
    calls = [(f"e{number}", Call(number, 100.0 + number, 0.001)) for number in range(20)]
    raw = {event_id: call.at + (0.25 if call.at < 109 else 9.0) for event_id, call in calls}
    first, second = reported(steps, calls, raw, {"e3": 108.5})
    assert (first.events, first.late_ms) == (10, {"p50": 250.0, "p99": 9000.0, "max": 9000.0})
    assert first.computed_ms == {"p50": 5500.0, "p99": 5500.0, "max": 5500.0}
    assert first.late == "at sink-1 an event was 9.0 s late"
    assert (second.events, second.late_ms["max"]) == (10, 9000.0)
    assert second.late == "at clickhouse an event was 9.0 s late"
    merged, _ = reported([Step(MERGE, 100.0), steps[1]], calls, raw, {})
    assert merged.late_ms["max"] == 9000.0 and merged.late == ""  # the harness's own doing
    assert "sink-1" in step_table([first, second]) and "9000" in step_table([first, second])
    (only,) = reported(steps[:1], calls[:9], raw, {})
    assert only.late == "" and only.computed_ms["max"] == 0.0
