"""A kill -9 at each named step, in one run: every process crashes at the points of its own, in turn."""

from __future__ import annotations

import pytest

from tests.faults.crash import CRASH_POINTS, Crash, parse_crashes
from tests.faults.right import right
from tests.faults.run import Plan

#: Every point between two steps that belong together, once: nothing is half done after a fetch or a commit.
#: Each process has those of its own kind, one after the other.
CRASHES = {point: 5 if point.startswith("publisher") else 2 for point in CRASH_POINTS}
CRASHES.pop("sink:after-fetch")
CRASHES.pop("sink:after-commit")
CRASH_PLAN = ",".join(f"{point}:{passes}" for point, passes in CRASHES.items())


async def test_a_crash_at_any_step_changes_nothing() -> None:
    report = await right(Plan(seed=22, events=20_000, rate=150, streams=1, sinks=1, crash=CRASH_PLAN))
    assert set(report.crashes) == set(CRASHES)


def test_a_plan_of_crashes_names_points_and_passes() -> None:
    assert parse_crashes("sink:after-plan:3,stream:after-state") == [
        Crash("sink:after-plan", 3),
        Crash("stream:after-state", 1),
    ]
    assert {crash.kind for crash in parse_crashes(CRASH_PLAN)} == {"publisher", "stream", "sink"}
    for wrong in ("sink:after-lunch", "sink:after-plan:0", "sink:after-plan:x"):
        with pytest.raises(ValueError, match=wrong):
            parse_crashes(wrong)
