"""The fault runs in short, for CI: random faults, crashes, outages, scaling, each guarantee switched off."""

from __future__ import annotations

import pytest

from tests.faults.__main__ import seen, without
from tests.faults.crash import CRASH_POINTS, Crash, parse_crashes
from tests.faults.run import Plan, Report, run
from tests.faults.schedule import plan_faults
from tests.faults.weakened import GUARANTEES, WEAKENED

#: Every point between two steps that belong together, once: nothing is half done after a fetch or a commit.
#: Each process has those of its own kind, one after the other.
CRASHES = {point: 5 if point.startswith("publisher") else 2 for point in CRASH_POINTS}
CRASHES.pop("sink:after-fetch")
CRASHES.pop("sink:after-commit")
CRASH_PLAN = ",".join(f"{point}:{passes}" for point, passes in CRASHES.items())


async def right(plan: Plan) -> Report:
    said: list[str] = []
    report = await run(plan, said.append)
    assert report.right, (said, report.result, report.crashes_missed, report.unclean)
    return report


async def test_random_kills_pauses_and_cuts_lose_nothing_and_double_nothing() -> None:
    report = await right(Plan(seed=21, events=4000, rate=400, faults=6))
    assert sum(report.faults.values()) >= 3


async def test_a_crash_at_any_step_changes_nothing() -> None:
    report = await right(Plan(seed=22, events=30_000, rate=300, streams=1, sinks=1, crash=CRASH_PLAN))
    assert set(report.crashes) == set(CRASHES)


async def test_long_outages_and_workers_that_come_and_go_under_load_change_nothing() -> None:
    plan = Plan(
        seed=23, events=60_000, rate=300, streams=1, sinks=1, duplicates=0, outage=8, scalings=1, gap=2
    )
    before, broker, after_broker, _, after_clickhouse = (await right(plan)).outage
    assert broker.recorded_per_second > 0.5 * before.recorded_per_second, "recording waits for the broker"
    for phase in (after_broker, after_clickhouse):
        assert phase.catch_up is not None, phase
        assert phase.catch_up.stored_per_second > phase.catch_up.recorded_per_second


# Side by side only where each shows in a way of its own: as lost, as stored twice, or as differing.
@pytest.mark.parametrize("guarantees", ["outbox,plan,fence", "insert-before-commit", "deduplication"])
async def test_the_check_sees_what_a_missing_guarantee_breaks(guarantees: str) -> None:
    report = await run(without(*guarantees.split(","), seed=25), lambda _: None)
    assert not report.crashes_missed
    assert seen(report), report.result


def test_a_seed_always_means_the_same_faults() -> None:
    parts = ["kafka-1", "sink-1", "node-0"]
    assert plan_faults(1, parts, 60, 12) == plan_faults(1, parts, 60, 12)
    assert plan_faults(1, parts, 60, 12) != plan_faults(2, parts, 60, 12)
    assert {fault.part for fault in plan_faults(3, parts, 600, 300)} == set(parts)
    assert all(0 < fault.at < 600 for fault in plan_faults(3, parts, 600, 300))


def test_a_plan_of_crashes_names_points_and_passes() -> None:
    assert parse_crashes("sink:after-plan:3,stream:after-state") == [
        Crash("sink:after-plan", 3),
        Crash("stream:after-state", 1),
    ]
    assert {crash.kind for crash in parse_crashes(CRASH_PLAN)} == {"publisher", "stream", "sink"}
    for wrong in ("sink:after-lunch", "sink:after-plan:0", "sink:after-plan:x"):
        with pytest.raises(ValueError, match=wrong):
            parse_crashes(wrong)


def test_each_guarantee_can_be_switched_off() -> None:
    assert set(GUARANTEES) == set(WEAKENED)
