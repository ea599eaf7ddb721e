"""Four nights: one as nights are, one of names with markup, one of many candidates, one that is not over."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, time, timedelta

import pytest

from evometrics.deploy.ui.database import Database
from evometrics.deploy.ui.report.findings import Findings
from evometrics.deploy.ui.report.gathering import gathered
from evometrics.deploy.ui.report.subject import night as night_subject
from evometrics.deploy.ui.report.subject import night_of, run
from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, now_micros
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.ids import new_event_id
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.shown_night import SEARCH, night
from tests.support.sinks import copy_database, run_statements, sent

MARKUP = "<script>alert('out')</script> & <img src=x onerror=alert(1)>"
LARGE = 1200
TODAY = datetime.now(UTC).date()
WHOLE, NAMED, MANY, NONE = (TODAY - timedelta(days=days) for days in (2, 4, 6, 8))
SUBJECTS = {
    "whole": night_subject(WHOLE),
    "named": night_subject(NAMED),
    "many": night_subject(MANY),
    "none": night_subject(NONE),
    "tonight": night_subject(night_of(datetime.now(UTC))),
    "search": run(SEARCH),
    "open": run("open"),
    "named run": run(f"run {MARKUP}"),
}


def morning_after(day: date) -> int:
    """Return when a night is over, microseconds."""
    return int(datetime.combine(day + timedelta(days=1), time(8), UTC).timestamp()) * 1_000_000


def candidate(run: str, number: int, ended: int, score: float, **fields: object) -> EvolutionCompleted:
    """Return a candidate that ended at a time, microseconds."""
    values = {
        "agent_id": f"{run}/{number}",
        "strategy_used": "mutate",
        "status": "succeeded",
        "success": True,
        "insights": [],
        "candidate": None,
    } | fields
    return EvolutionCompleted(
        event_id=new_event_id(),
        node_id="node-1",
        occurred_at=ended,
        started_at=ended - 1_000_000,
        evolution_id=f"{run}/{number}",
        evolution_type="sweep",
        duration_seconds=1.0,
        pre_kpis={"loss": 1.0},
        post_kpis={"loss": score},
        run_id=run,
        objective="loss",
        direction="minimize",
        **values,
    )


def events() -> Iterator[Event]:
    """Yield what the other nights have."""
    ended = morning_after(NAMED)
    failed = {"status": "failed", "success": False, "insights": [f"{MARKUP} 7"]}
    given = {"strategy_used": MARKUP, "model": MARKUP, "candidate": MARKUP}
    completed = [candidate(f"run {MARKUP}", n, ended + n, 1 / (n + 1), **given) for n in range(3)]
    completed += [candidate(f"run {MARKUP}", n, ended + n, 0.0, **given, **failed) for n in range(3, 6)]
    ended = morning_after(MANY)
    completed += [candidate("large", n, ended + n, 2.0 - n / LARGE) for n in range(LARGE)]
    whole = {"evolution_type": "sweep_run", "cost_usd": 5.0, "evolution_id": "large"}
    completed.append(dataclasses.replace(candidate("large", LARGE, ended + LARGE, 0.1), **whole))
    for each in completed:
        yield each
        yield evolution_metrics(each)
    now = now_micros() - 60_000_000
    for name in ("open", "large"):
        for number, kind in enumerate(("sweep_run", "sweep")):
            yield EvolutionStarted(
                event_id=new_event_id(),
                agent_id=f"{name}/open",
                node_id="node-1",
                occurred_at=now,
                evolution_id=f"{name}/open/{number}",
                evolution_type=kind,
                run_id=name,
            )
    done = candidate("open", 0, now + 1, 0.5)
    yield done
    yield evolution_metrics(done)


@pytest.fixture(scope="package")
def nights(migrated: ClickHouseSettings) -> Iterator[ClickHouseSettings]:
    settings = dataclasses.replace(migrated, database="nights_of_reports")
    asyncio.run(copy_database(migrated, settings))
    asyncio.run(fill(settings, night(morning_after(WHOLE), rounds=4, candidates=40)))
    asyncio.run(fill(settings, [sent(each, offset=place) for place, each in enumerate(events())]))
    yield settings
    asyncio.run(run_statements(settings, [f"DROP DATABASE {settings.database}"]))


@pytest.fixture(scope="package")
def reports(nights: ClickHouseSettings) -> dict[str, Findings]:
    """What is found of each night, and of runs, by name; asked for once for all tests."""

    async def ask() -> dict[str, Findings]:
        async with MetricsQuery(nights) as query:
            return {name: await gathered(Database(query), subject) for name, subject in SUBJECTS.items()}

    return asyncio.run(ask())


@pytest.fixture
async def query(nights: ClickHouseSettings) -> AsyncIterator[MetricsQuery]:
    async with MetricsQuery(nights) as found:
        yield found
