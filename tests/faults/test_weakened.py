"""The comparison with the model sees what is broken where a guarantee is switched off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.__main__ import seen, without
from tests.faults.run import run
from tests.faults.weakened import GUARANTEES, WEAKENED

#: Half of those that `python -m tests.faults` has for it: each has completions sent again, too.
CRASHES = {"deduplication": ",".join(["publisher:after-ack:20"] * 2)}


# Side by side only where each shows in a way of its own: as lost, as stored twice, or as differing.
@pytest.mark.parametrize("guarantees", ["outbox,plan,fence", "insert-before-commit", "deduplication"])
async def test_the_check_sees_what_a_missing_guarantee_breaks(guarantees: str) -> None:
    plan = without(*guarantees.split(","), seed=25, events=15_000, rate=250)
    report = await run(replace(plan, crash=CRASHES.get(guarantees, plan.crash)), lambda _: None)
    assert not report.crashes_missed
    assert seen(report), report.result


def test_each_guarantee_can_be_switched_off() -> None:
    assert set(GUARANTEES) == set(WEAKENED)
