"""Reports as text: a line for a run, a table for an outage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.faults.outage import PhaseReport
from tests.faults.rolling import StepReport
from tests.faults.run import Report


def line_of(report: Report) -> str:
    """Return a run's result in one line."""
    result, plan = report.result, report.plan
    done = [
        f"{what}: {listed(counts)}"
        for what, counts in (
            ("faults", report.faults),
            ("crashes", report.crashes),
            ("restarts", report.restarts),
        )
        if counts
    ]
    if plan.clock:
        done.insert(0, f"clock of {plan.clock} {plan.ahead:+,d} s")
    if plan.disk or plan.topics:
        done.insert(0, f"disk of {plan.disk}" if plan.disk else f"topics {plan.topics}")
    if result.taken:
        done.append(f"{result.taken} went with a deleted topic")
    if report.refused_seconds:
        done.append(f"refused after {report.refused_seconds} s")
    done += [f"NOT REACHED by {name}: {', '.join(points)}" for name, points in report.crashes_missed.items()]
    done += [f"NOT CLEAN: {said}" for said in report.unclean]
    return (
        f"seed {plan.seed}{f' {plan.crash}' if plan.crash else ''}: recorded {result.recorded}, "
        f"lost {result.lost}, doubled {result.doubled}, stored twice {result.stored_twice}, "
        f"differing {result.differing}, dead letters {result.dead_letters}; {seconds(report)}; "
        + "; ".join(done or ["no faults"])
    )


def missing_line(report: Report) -> str:
    """Return what a missing guarantee led to, in one line of a table."""
    result = report.result
    return (
        f"without {report.plan.without:<21} lost {result.lost:>6}  doubled {result.doubled:>6}  "
        f"stored twice {result.stored_twice:>6}  differing {result.differing:>6}  ({seconds(report)}; "
        f"crashes: {listed(report.crashes) or 'none'})"
    )


def seconds(report: Report) -> str:
    """Return how long a run took, in all and by step."""
    return f"{sum(report.seconds.values()):.0f} s ({listed(report.seconds)})"


def listed(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))


def phase_table(phases: Sequence[PhaseReport]) -> str:
    """Return what was measured in each phase, a column each."""
    rows: list[tuple[str, list[str]]] = [
        ("", [phase.name for phase in phases]),
        ("seconds", [f"{phase.seconds:.0f}" for phase in phases]),
        ("recorded, events/s", [f"{phase.recorded_per_second:.0f}" for phase in phases]),
    ]
    rows += [
        (f"record_* {name}, ms", [f"{phase.latency_ms[name]:.1f}" for phase in phases])
        for name in ("p50", "p99", "max")
    ]
    caught = [phase.catch_up for phase in phases]
    rows += [
        ("backlog at the end", ["?" if phase.backlog is None else str(phase.backlog) for phase in phases]),
        ("caught up after, s", [f"{c.seconds:.0f}" if c else "" for c in caught]),
        ("stored meanwhile, events/s", [f"{c.stored_per_second:.0f}" if c else "" for c in caught]),
        ("recorded meanwhile, events/s", [f"{c.recorded_per_second:.0f}" if c else "" for c in caught]),
    ]
    for name in sorted({name for phase in phases for name in phase.peak_mb}):
        rows.append(
            (f"{name} MB, peak", [f"{p.peak_mb[name]:.0f}" if name in p.peak_mb else "" for p in phases])
        )
    rows.append(("restarts", [listed(phase.restarts) or "none" for phase in phases]))
    widths = [max(len(row[1][i]) for row in rows) for i in range(len(phases))]
    return "\n".join(
        f"    {title:<30}" + "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        for title, cells in rows
    )


def step_table(steps: Sequence[StepReport]) -> str:
    """Return what was measured at each restart, a line each."""
    lines = [
        f"    {'restarted':<12}{'ended, s':>10}{'ready, s':>10}{'events':>9}"
        f"{'late p50, ms':>14}{'p99':>8}{'max':>8}{'computed p50':>14}{'p99':>8}{'max':>8}"
    ]
    for each in steps:
        step = each.step
        line = f"    {step.part:<12}{step.stop_seconds:>10.1f}{step.ready_seconds:>10.1f}{each.events:>9}"
        for late in (each.late_ms, each.computed_ms):
            line += f"{late['p50']:>14.0f}{late['p99']:>8.0f}{late['max']:>8.0f}"
        lines.append(line)
    return "\n".join(lines)
