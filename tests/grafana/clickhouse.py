"""The panels that ask ClickHouse: each statement is run, and its answer judged as the plugin takes it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from evometrics.sinks.query import MetricsQuery
from tests.grafana.candidates import RUN
from tests.grafana.macros import Shown
from tests.grafana.panels import Asked, asked, first_choices, variables

#: Points that a panel of half a screen's width asks for, about.
POINTS = 500


def shown(name: str, begin: float, end: float) -> Shown:
    """Return a dashboard over a time, with what is chosen when it is opened."""
    interval = max(1, int((end - begin) / POINTS))
    return Shown(int(begin), int(end) + 1, interval, first_choices(name))


async def opened(name: str, query: MetricsQuery, begin: float, end: float | None = None) -> Shown:
    """Return a dashboard over a time, with the first of a variable's values where none was chosen.

    Raises AssertionError where a variable's statement finds no value.
    """
    seen = shown(name, begin, end or time.time())
    for variable in variables(name).values():
        if variable["type"] != "query":
            continue
        found = [row[0] for row in await query.sql(seen.statement(variable["query"]))]
        assert found, f"{name}: ${variable['name']} has no values"
        if variable["name"] not in seen.chosen:
            seen = seen.choosing(**{variable["name"]: [str(found[0])]})
    return seen


async def answered(each: Asked, seen: Shown, query: MetricsQuery) -> int:
    """Run a panel's statement; return how many rows show something. AssertionError: they make no picture."""
    found = await query.sql(seen.statement(each.target["rawSql"]))
    rows, columns = list(found), list(found.columns)
    said = f"{each.dashboard}, {each.where}"
    if each.target["queryType"] == "timeseries":
        check_series(rows, columns, said)
    named = {rule["matcher"]["options"] for rule in each.panel["fieldConfig"].get("overrides") or []}
    labels = [index for index, name in enumerate(columns) if rows and isinstance(rows[0][index], str)]
    if each.target["queryType"] == "timeseries" and labels:
        named = set()  # series are named by their labels
    assert named <= {*columns, "last_at", *UNUSED}, f"{said}: {named - set(columns)} is no column"
    time_first = 1 if columns[:1] == ["time"] else 0
    return sum(any(value not in (None, "") for value in row[time_first:]) for row in rows)


async def asked_of_all(name: str, query: MetricsQuery, begin: float) -> AsyncIterator[tuple[Asked, int]]:
    """Yield each query of a dashboard with its rows: of one of the demo's agents, else of a candidate.

    The demo's has KPIs and progress, the candidate costs, ancestors and descendants.
    """
    ((demo,),) = await query.sql("SELECT max(agent_id) FROM evolution_progressed")
    seen = await opened(name, query, begin)
    for each in asked(name):
        found = 0
        for agent in (demo, f"{RUN}/2"):
            found = found or await answered(each, seen.choosing(agent=[agent]), query)
        yield each, found


#: Units that listings share; a listing has those columns that it has.
UNUSED = {"low", "high", "success_rate", "cost", "cost_per_success"}


def check_series(rows: list[Any], columns: list[str], said: str) -> None:
    """Check that rows are points of series: a time first, in order, and at least one number."""
    assert columns[0] == "time", said
    times = [row[0] for row in rows]
    assert all(isinstance(each, datetime) for each in times), said
    assert times == sorted(times), f"{said}: not in the order of time"
    for row in rows:
        assert any(isinstance(value, int | float) or value is None for value in row[1:]), said
    points = [(row[0], *(value for value in row if isinstance(value, str))) for row in rows]
    if any(isinstance(value, str) for row in rows for value in row):
        assert len(points) == len(set(points)), f"{said}: a series has two values at a time"
