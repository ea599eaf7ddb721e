"""Asks for everything that a report shows, and puts it together."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from evometrics.deploy.ui.database import Database
from evometrics.deploy.ui.page import Page, Row, Section
from evometrics.deploy.ui.pages import candidate, run, strategies, tonight
from evometrics.deploy.ui.report import statements
from evometrics.deploy.ui.report.findings import BestCandidate, Findings, RunFindings, SectionRows
from evometrics.deploy.ui.report.subject import Subject

#: Runs of a night that are shown one by one, those with the most attempts.
MOST_PARTS = 4
#: Dots of a chart at most.
MOST_DOTS = 300
#: Candidates of a part's table.
MOST_BEST = 5
NONE = "(none)"
#: By what the strategies page's table is shown, besides runs.
COLUMNS = ("strategy_used", "model", "evolution_type", "node_id")


class SubjectQuestions:
    """Asks a database about one subject."""

    def __init__(self, database: Database, subject: Subject) -> None:
        self.database = database
        self.subject = subject

    async def answer(self, section: Section, *, and_only: str = "") -> SectionRows:
        """Return a section about the subject, with its rows."""
        own = self.subject.of(section, and_only=and_only)
        return SectionRows(own, await self.database.rows(own))

    async def ask(self, name: str, sql: str) -> SectionRows:
        """Return a statement about the subject, with its rows."""
        return await self.answer(Section(name, "", sql))


def of_page(page: Page, **choices: str) -> dict[str, Section]:
    """Return a page's sections by name."""
    return {each.name: each for each in page.sections({**page.state({}), **choices})}


async def gathered(database: Database, subject: Subject) -> Findings:
    """Ask for everything about a subject. Raises `QueryFailed`, `ClickHouseUnavailable`."""
    asking = SubjectQuestions(database, subject)
    ends_when = statements.OPEN.replace("{ended_when}", subject.ended_when)
    about, whole, statuses, reasons, ended, still_open = await asyncio.gather(
        asking.ask("about", statements.ABOUT),
        asking.answer(statements.by("'all'", "which")),
        asking.ask("statuses", statements.STATUSES),
        asking.ask("reasons", tonight.REASONS),
        asking.ask("ends", statements.ENDS),
        asking.ask("open", ends_when),
    )
    hours = hours_of(about.first)
    by_time = await asking.answer(of_page(tonight.PAGE, hours=str(hours))["by-time"])
    tables = [await asking.answer(each) for each in tables_of(str(hours))]
    runs = await asking.answer(statements.by("run_id", "run"))
    parts = await asyncio.gather(
        *(
            part(database, subject, None if row["run"] == NONE else row["run"])
            for row in runs.rows[:MOST_PARTS]
        )
    )
    last = [] if about.rows else await database.ask(statements.LAST, {})
    return Findings(
        subject=subject,
        made_at=datetime.now(UTC),
        about=about.first,
        whole=whole,
        statuses=statuses,
        by_time=by_time,
        by=tuple(each for each in (runs, *tables) if tells_something(each)),
        reasons=reasons,
        parts=tuple(parts),
        more_parts=max(0, len(runs.rows) - MOST_PARTS),
        ended={row["run"]: row for row in ended.rows},
        still_open=still_open.first,
        last_at=last[0]["occurred_at"] if last else None,
    )


def hours_of(about: Row) -> int:
    """Return the hours that the rows are spread over, at least one."""
    if not about:
        return 1
    spread: timedelta = about["last_at"] - about["began_at"]
    return max(1, math.ceil(spread / timedelta(hours=1)))


def tables_of(hours: str) -> Sequence[Section]:
    """Return the tables by strategy, model, type and node."""
    return [of_page(strategies.PAGE, by=column, hours=hours)["rates"] for column in COLUMNS]


def tells_something(table: SectionRows) -> bool:
    """Return whether a table has more to say than that all are one; strategies are always told."""
    name = table.section.title
    return bool(table.rows) and (len(table.rows) > 1 or name == "By strategy")


async def part(database: Database, subject: Subject, run_id: str | None) -> RunFindings:
    """Ask for what is shown of one run."""
    own = subject if "run" in subject.values else subject.within(run_id)
    asking = SubjectQuestions(database, own)
    sections = of_page(run.PAGE, run=run_id or "-")
    every = sections["scores"]
    lowered = replace(every, values={**every.values, "dots": MOST_DOTS})
    objective, short, scores, best = await asyncio.gather(
        asking.ask("objective", statements.OBJECTIVE),
        asking.answer(sections["short"]),
        asking.answer(lowered),
        asking.answer(sections["best"], and_only="success"),
    )
    generations = sections["generations"]
    rows = await database.rows(generations) if run_id else ()
    comparable = len(objective.first["names"]) == 1
    kept = [row for row in best.rows if row["score"] is not None and comparable]
    return RunFindings(
        run=run_id or "",
        title=run_id or "Agents without a run",
        objective=objective.first,
        short=short.first,
        scores=scores,
        generations=SectionRows(generations, rows if len(rows) > 1 else ()),
        best=await best_of(database, kept[0]) if kept else None,
        others=SectionRows(best.section, kept[1:MOST_BEST]),
    )


async def best_of(database: Database, row: Row) -> BestCandidate:
    """Ask for the KPIs and the texts of a candidate."""
    sections = of_page(candidate.PAGE, event=str(row["event_id"]))
    wanted = (sections[name] for name in ("kpis", "insights", "text", "difference"))
    return BestCandidate(row, *[SectionRows(each, await database.rows(each)) for each in wanted])
