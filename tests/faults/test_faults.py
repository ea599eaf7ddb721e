"""The short form of the fault runs for CI: random faults, one guarantee off, a crash at a named point."""

from __future__ import annotations

import pytest

from tests.faults.run import Plan, Report, run_seed
from tests.faults.schedule import plan_faults
from tests.faults.weakened import CRASH_POINTS, GUARANTEES, REVEALED_BY

#: Not in the ordinary run yet: `stream:after-partials` finds success rates of merged scopes too low.
pytestmark = pytest.mark.faults
EVENTS = 4000


async def run(plan: Plan) -> Report:
    said: list[str] = []
    report = await run_seed(plan, said.append)
    assert report.result.recorded > 0.5 * plan.events, said
    return report


async def test_random_kills_pauses_and_cuts_lose_nothing_and_double_nothing() -> None:
    report = await run(Plan(seed=21, events=EVENTS, rate=400, every=1.5))
    assert sum(report.faults.values()) >= 3
    assert report.result.right, report.result.examples


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_the_harness_sees_what_a_missing_guarantee_breaks(guarantee: str) -> None:
    crash = REVEALED_BY[guarantee]
    report = await run(
        Plan(seed=22, events=1500, rate=500, streams=1, sinks=1, every=0, without=guarantee, crash=crash)
    )
    assert not report.result.right


@pytest.mark.parametrize("point", ["publisher:after-send:20", "stream:after-partials:5", "sink:after-plan:4"])
async def test_a_crash_at_a_named_step_changes_nothing(point: str) -> None:
    report = await run(Plan(seed=23, events=EVENTS, rate=800, streams=1, sinks=1, crash=point))
    assert any("SIGKILL" in line for line in report.said), "the crash point was not reached"
    assert report.result.right, report.result.examples


def test_a_seed_always_means_the_same_faults() -> None:
    parts = ["kafka-1", "sink-1", "node-0"]
    assert plan_faults(1, parts, 60, 5) == plan_faults(1, parts, 60, 5)
    assert plan_faults(1, parts, 60, 5) != plan_faults(2, parts, 60, 5)
    assert {f.part for f in plan_faults(3, parts, 600, 2)} == set(parts)
    assert all(0 < f.at < 600 for f in plan_faults(3, parts, 600, 2))


def test_crash_points_cover_every_part() -> None:
    assert {point.partition(":")[0] for point in CRASH_POINTS} == {"publisher", "stream", "sink"}
