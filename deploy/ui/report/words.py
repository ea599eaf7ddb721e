"""Figures in words, the same in every form of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from evometrics.deploy.ui.report.gathering import Findings

UNKNOWN = "–"
#: What people call a status.
STATUSES = {"rolled_back": "rolled back"}


def percent(share: float | None) -> str:
    """Return a share in per cent, one digit of a fraction."""
    return UNKNOWN if share is None else f"{share * 100:.1f} %"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval of a share in per cent; empty where there is none."""
    return "" if low is None or high is None else f"{low * 100:.1f}–{high * 100:.1f} %"


def signed(value: float | None) -> str:
    """Return a difference with its sign, three digits."""
    return UNKNOWN if value is None else f"{value:+.3g}".replace("-", "−")


def number(value: float | None) -> str:
    """Return a figure, four digits."""
    if value is None:
        return UNKNOWN
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}".replace("-", "−")


def money(value: float | None) -> str:
    """Return US dollars; less than a dollar with as many digits as tell it."""
    if value is None:
        return UNKNOWN
    return f"${value:,.2f}" if value == 0 or abs(value) >= 1 else f"${value:.2g}"


def moment(at: datetime | None) -> str:
    """Return a time, UTC, to the minute."""
    return UNKNOWN if at is None else f"{at:%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    """Return a duration by its two greatest units."""
    left = timedelta(seconds=round(seconds))
    hours, minutes = left.seconds // 3600 + left.days * 24, left.seconds % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left.seconds % 60} s" if minutes else f"{left.seconds} s"


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number of things."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def period(report: Findings) -> str:
    """Return from when to when a report is."""
    subject = report.subject
    if subject.since is None or subject.until is None:
        if report.empty:
            return ""
        return f"{moment(report.about['began_at'])} to {moment(report.about['last_at'])} UTC"
    return f"{moment(subject.since)} to {moment(subject.until)} UTC"


def state(report: Findings) -> str:
    """Return whether more may come, as a sentence; empty where not."""
    until = report.subject.until
    still = report.still_open.get("evolutions", 0)
    waiting = f"{counted(still, 'evolution has', 'evolutions have')} begun and not ended" if still else ""
    if until is not None and report.made_at < until:
        return f"This night is not over{f': {waiting}' if waiting else ''}."
    if not report.going_on:
        return ""
    return f"Still going: {waiting}." if waiting else "Still going: its run has begun and not ended."


def outcome(report: Findings) -> str:
    """Return what came of it, as a sentence."""
    row = report.whole.first
    if not row["attempts"]:
        return "Nothing has ended yet."
    rate = f"{percent(row['success_rate'])} ({interval(row['low'], row['high'])})"
    return f"{row['succeeded']:,} of {counted(row['attempts'], 'attempt')} succeeded: {rate}."


def nothing(report: Findings) -> str:
    """Return what is said of a night or run without rows."""
    what = "in this night" if report.subject.since is not None else "of this run"
    if report.last_at is None:
        return f"Nothing was recorded {what}, and nothing at any other time."
    return f"Nothing was recorded {what}. The last evolution before now ended {moment(report.last_at)} UTC."


def cost(row: Mapping[str, Any]) -> str:
    """Return of how many attempts the cost is not known, in words."""
    if row["cost"] is None:
        return "not known of any attempt"
    unknown = row["without_cost"]
    return f"not known of {counted(unknown, 'attempt')}" if unknown else "of all attempts"


def status(name: str) -> str:
    """Return what people call a status."""
    return STATUSES.get(name, name)


def cards(report: Findings) -> Iterator[tuple[str, str, str]]:
    """Yield the figures that a report begins with: name, value, and what is to be known of it."""
    row, about = report.whole.first, report.about
    yield "Success", percent(row["success_rate"]), interval(row["low"], row["high"])
    yield "Attempts", number(row["attempts"]), f"{number(row['succeeded'])} succeeded"
    several = about["objectives"] > 1
    known = about["gain_low"] is not None
    reach = f"{signed(about['gain_low'])} to {signed(about['gain_high'])}" if known else ""
    yield "Mean gain", signed(row["mean_gain"]), "of several objectives: none" if several else reach
    yield "Cost", money(row["cost"]), cost(row)
    if row["cost"] is not None and not row["without_cost"]:  # else its successes are not those of the cost
        yield "Cost a success", money(row["cost_per_success"]), ""


def highlights(report: Findings) -> Iterator[str]:
    """Yield what a reader wants to know first: the best of each run, and what failed most."""
    for part in report.parts:
        if part.best:
            row = part.best.row
            how = " with ".join(filter(None, (row["strategy_used"], row["model"])))
            name = f"{part.title}: {objective(part.objective)} {number(row['score'])}, the best that was kept"
            yield f"{name}{f', by {how}' if how else ''}."
        else:
            yield f"{part.title}: no candidate that was kept has a score."
    if report.reasons.rows:
        row = report.reasons.rows[0]
        yield f"What failed most: {row['reason']} ({row['failures']:,} times)."


def objective(row: Mapping[str, Any]) -> str:
    """Return what a score is."""
    return ", ".join(row["names"]) if row.get("names") else "score"


def better(row: Mapping[str, Any]) -> str:
    """Return which scores are better, in words; empty where that is not one."""
    known = {"minimize": "less is better", "maximize": "more is better", "pareto": "several objectives"}
    return known.get(row.get("direction") or "", "")


def size(count: int) -> str:
    """Return a size in bytes."""
    return f"{count / 1e6:.1f} MB" if count >= 1_000_000 else f"{count / 1000:.0f} KB"
