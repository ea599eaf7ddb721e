"""A run of which all must go as it should."""

from __future__ import annotations

from tests.faults.run import Plan, Report, run


async def right(plan: Plan) -> Report:
    """Carry out a plan; fail with what was said where anything was lost, doubled, missed or left unclean."""
    said: list[str] = []
    report = await run(plan, said.append)
    assert report.right, (said, report.result, report.crashes_missed, report.unclean)
    return report
