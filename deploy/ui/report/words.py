"""Figures in words, the same in every form of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from evometrics.deploy.ui.columns import heading, written
from evometrics.deploy.ui.page import Row, Rows
from evometrics.deploy.ui.report.findings import Findings, RunFindings, SectionRows

UNKNOWN = "–"


def interval(row: Row) -> str:
    """Return the interval of a success rate; empty where there is none."""
    return "" if row["low"] is None else f"{written('low', row['low'])} to {written('high', row['high'])}"


def moment(at: datetime | None) -> str:
    """Return a time, UTC, to the minute."""
    return UNKNOWN if at is None else f"{at:%Y-%m-%d %H:%M}"


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
    rate = written("success_rate", row["success_rate"])
    succeeded = f"{row['succeeded']:,} of {counted(row['attempts'], 'attempt')} succeeded"
    return f"{succeeded}: {rate}, {interval(row)} with 95 % confidence."


def nothing(report: Findings) -> str:
    """Return what is said of a night or run without rows."""
    what = "in this night" if report.subject.since is not None else "of this run"
    if report.still_open:
        return f"No evolution has ended {what} yet."
    if report.last_at is None:
        return f"Nothing was recorded {what}, and nothing at any other time."
    return f"Nothing was recorded {what}. The last evolution before now ended {moment(report.last_at)} UTC."


def cost(row: Mapping[str, Any]) -> str:
    """Return of how many attempts the cost is not known, in words."""
    if row["cost"] is None:
        return "not known of any attempt"
    unknown = row["without_cost"]
    return f"not known of {counted(unknown, 'attempt')}" if unknown else "of all attempts"


def cards(report: Findings) -> Iterator[tuple[str, str, str]]:
    """Yield the figures that a report begins with: name, value, and what is to be known of it."""
    row, about = report.whole.first, report.about
    yield heading("success_rate"), written("success_rate", row["success_rate"]), interval(row)
    yield heading("attempts"), written("attempts", row["attempts"]), f"{row['succeeded']:,} succeeded"
    known = about["gain_low"] is not None
    reach = f"{written('gain', about['gain_low'])} to {written('gain', about['gain_high'])}" if known else ""
    several = "none: there are several objectives" if about["objectives"] > 1 else reach
    yield heading("mean_gain"), written("mean_gain", row["mean_gain"]), several
    yield heading("cost"), written("cost", row["cost"]), cost(row)
    if row["cost"] is not None and not row["without_cost"]:  # else its successes are not those of the cost
        yield heading("cost_per_success"), written("cost_per_success", row["cost_per_success"]), ""


def summary(part: RunFindings, report: Findings) -> str:
    """Return what came of a run, and what its scores are."""
    row = part.short
    said = [counted(row["attempts"], "attempt"), f"{written('success_rate', row['success_rate'])} succeeded"]
    if row["cost_usd"] is not None:
        said.append(written("cost_usd", row["cost_usd"]))
    for name, what in (
        ("evaluations", "evaluations"),
        ("tokens_in", "tokens in"),
        ("tokens_out", "tokens out"),
    ):
        if row[name] is not None:
            said.append(f"{written(name, row[name])} {what}")
    sentences = [", ".join(said)]
    if part.run in report.open_runs:
        sentences.append("It has not ended")
    elif part.run in report.ended:
        end = report.ended[part.run]
        sentences.append(f"It ended {moment(end['ended_at'])}: {written('status', end['outcome'])}")
    which = better(part.objective)
    sentences.append(f"Scores are {objective(part.objective)}{f'; {which}' if which else ''}")
    return ". ".join(sentences) + "."


def columns(answer: SectionRows) -> list[str]:
    """Return the columns of a table of rates; what a cost lacks is told where there is a cost."""
    found = [answer.name, "attempts", "succeeded", "success_rate", "mean_gain"]
    costs = known(answer.rows, ["cost", "cost_per_success"])
    lacking = ["without_cost"] if any(row["without_cost"] for row in answer.rows) else []
    return [*found, *costs, *lacking] if costs else found


def known(rows: Rows, names: Sequence[str]) -> list[str]:
    """Return the columns of which anything is known."""
    return [name for name in names if any(row[name] not in (None, "") for row in rows)]


def highlights(report: Findings) -> Iterator[str]:
    """Yield what a reader wants to know first: the best of each run, and what failed most."""
    for part in report.parts:
        if part.best:
            row = part.best.row
            how = " with ".join(filter(None, (row["strategy_used"], row["model"])))
            best = f"{objective(part.objective)} {written('score', row['score'])}"
            yield f"{part.title}: {best}, the best that was kept{f', by {how}' if how else ''}."
        elif len(part.objective["names"]) > 1:
            yield f"{part.title}: no best, for scores are of several objectives."
        else:
            yield f"{part.title}: no candidate that was kept has a score."
    if report.reasons.rows:
        row = report.reasons.rows[0]
        yield f"What failed most: {row['reason']} ({row['failures']:,} times)."


def objective(row: Mapping[str, Any]) -> str:
    """Return what a score is."""
    return ", ".join(row["names"])


def better(row: Mapping[str, Any]) -> str:
    """Return which scores are better, in words; empty where that is not one."""
    known = {"minimize": "less is better", "maximize": "more is better", "pareto": "several objectives"}
    return known.get(row["direction"], "")
