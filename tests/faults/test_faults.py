"""The fault runs in short: random faults, outages, workers that come and go."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from tests.disks import cannot_mount
from tests.faults import disks
from tests.faults.right import right
from tests.faults.run import Plan
from tests.faults.schedule import plan_faults


async def test_random_kills_pauses_cuts_and_a_full_disk_lose_nothing_and_double_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("BEFORE", 2.0), ("FULL", 4.0), ("AFTER", 1.0)):
        monkeypatch.setattr(disks, name, seconds)
    if problem := cannot_mount(tmp_path):
        warnings.warn(f"without the broker's full disk: {problem}", stacklevel=1)
    disk = "" if problem else "broker"
    report = await right(Plan(seed=21, events=4000, rate=400, faults=6, disk=disk))
    assert sum(report.faults.values()) >= 3
    if disk:
        assert "kafka may run again; starting it" in report.said


async def test_long_outages_and_workers_that_come_and_go_under_load_change_nothing() -> None:
    plan = Plan(
        seed=23, events=60_000, rate=300, streams=1, sinks=1, duplicates=0, outage=8, scalings=1, gap=2
    )
    before, broker, after_broker, _, after_clickhouse = (await right(plan)).outage
    assert broker.recorded_per_second > 0.5 * before.recorded_per_second, "recording waits for the broker"
    for phase in (after_broker, after_clickhouse):
        assert phase.catch_up is not None, phase
        assert phase.catch_up.stored_per_second > phase.catch_up.recorded_per_second


def test_a_seed_always_means_the_same_faults() -> None:
    parts = ["kafka-1", "sink-1", "node-0"]
    assert plan_faults(1, parts, 60, 12) == plan_faults(1, parts, 60, 12)
    assert plan_faults(1, parts, 60, 12) != plan_faults(2, parts, 60, 12)
    assert {fault.part for fault in plan_faults(3, parts, 600, 300)} == set(parts)
    assert all(0 < fault.at < 600 for fault in plan_faults(3, parts, 600, 300))
