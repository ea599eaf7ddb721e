"""Chooses the night or the run, and writes its report in each form that is asked for."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path

from evometrics.deploy.terminal import tell
from evometrics.deploy.ui.columns import size
from evometrics.deploy.ui.database import Database
from evometrics.deploy.ui.report import document, picture, statements, terminal
from evometrics.deploy.ui.report.findings import Findings
from evometrics.deploy.ui.report.gathering import gathered
from evometrics.deploy.ui.report.subject import Subject, night, night_of, run
from evometrics.schemas.errors import EvometricsError
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings

STANDARD = Path("-")


class NoSuchRun(EvometricsError, LookupError):
    """No evolution of the run is known; the message names runs that are."""


@dataclass(frozen=True, slots=True)
class Forms:
    """Where a report goes; None and False are left out."""

    html: Path | None = None
    png: Path | None = None
    terminal: bool = False


async def report(
    clickhouse: ClickHouseSettings, run_id: str | None, day: date | None, zone: tzinfo, forms: Forms
) -> None:
    """Write the report of a run, or of the night that begins on a day; of the last one if neither is given.

    Raises `NoSuchRun`, `QueryFailed`, `ClickHouseUnavailable`, and `OSError` where a file can't be written.
    """
    async with MetricsQuery(clickhouse) as query:
        database = Database(query)
        subject = await chosen(database, run_id, day, zone)
        found = await gathered(database, subject)
        if run_id is not None and not (found.about or found.still_open or found.ended):
            raise NoSuchRun(await known(database, run_id))
    await asyncio.to_thread(write, found, forms)


async def plotted(clickhouse: ClickHouseSettings, subject: Subject) -> str:
    """Return plots for standard output."""
    async with MetricsQuery(clickhouse) as query:
        found = await gathered(Database(query), subject)
    return terminal.plots(found, terminal.Screen.of(sys.stdout))


async def chosen(database: Database, run_id: str | None, day: date | None, zone: tzinfo) -> Subject:
    """Return what the report is about."""
    if run_id is not None:
        return run(run_id)
    if day is not None:
        return night(day, zone)
    now = datetime.now(UTC)
    last = await database.ask(statements.LAST, {})
    if not last:
        return night(night_of(now, zone), zone)
    day = night_of(last[0]["occurred_at"], zone)
    subject = night(day, zone)
    if night_of(now, zone) - day <= timedelta(days=1):
        return subject
    return dataclasses.replace(subject, note="Nothing has been recorded in the nights since.")


async def known(database: Database, run_id: str) -> str:
    """Return that a run is not known, and which are."""
    rows = await database.ask(statements.KNOWN_RUNS, {})
    others = ", ".join(str(row["run_id"]) for row in rows)
    last = f"the last runs are {others}" if others else "no run was recorded in the last 30 days"
    return f"--run {run_id}: no evolution of this run is known; {last}"


def write(found: Findings, forms: Forms) -> None:
    """Write a report."""
    if forms.html is not None:
        put(forms.html, document.html(found).encode())
    if forms.png is not None:
        put(forms.png, picture.png(found))
    if forms.terminal:
        print(terminal.plots(found, terminal.Screen.of(sys.stdout)))


def put(path: Path, body: bytes) -> None:
    """Write a file, or to standard output."""
    if path == STANDARD:
        sys.stdout.buffer.write(body)
        sys.stdout.flush()
        return
    path.write_bytes(body)
    tell(f"wrote {path}, {size(len(body))}")
