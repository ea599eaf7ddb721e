"""What panels ask: ClickHouse's statements return rows of the demo, Prometheus' name metrics that exist."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.deploy.prometheus.test_rules import DECLARED
from tests.grafana.candidates import RUN, candidates
from tests.grafana.clickhouse import asked_of_all, opened, shown
from tests.grafana.macros import ALL, Shown
from tests.grafana.panels import Asked, asked
from tests.support.demo_night import recorded, store_night
from tests.support.sinks import copy_database, run_statements

#: Prometheus' own, and its client's.
OTHERS = {
    "up",
    "ALERTS",
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
}
#: What PromQL itself says in the expressions.
FUNCTIONS = re.compile(r"\b\w+(?=\s*\()|\b(?:by|on|or|and|unless|bool|group_left|ignoring)\b")
HOURS = 3600.0


@pytest.fixture(scope="module")
def night(
    migrated: ClickHouseSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClickHouseSettings]:
    """A night of the demo, and a run of candidates with costs."""
    settings = dataclasses.replace(migrated, database="night_of_the_demo")
    asyncio.run(copy_database(migrated, settings))
    events = asyncio.run(recorded(tmp_path_factory.mktemp("night"), agents=2, evolutions=8))
    asyncio.run(store_night(settings, [*events, *candidates()]))
    yield settings
    asyncio.run(run_statements(settings, [f"DROP DATABASE {settings.database}"]))


@pytest.fixture
async def query(night: ClickHouseSettings) -> AsyncIterator[MetricsQuery]:
    async with MetricsQuery(night) as found:
        yield found


def of(*names: str) -> list[Asked]:
    return [each for name in names for each in asked(name)]


def called(each: Asked) -> str:
    return f"{each.dashboard}: {each.where}"


async def test_every_panel_over_clickhouse_has_rows_as_its_kind_of_panel_wants_them(
    query: MetricsQuery,
) -> None:
    begin = time.time() - HOURS
    empty = [
        each
        for name in ("fleet", "agent")
        async for each, rows in asked_of_all(name, query, begin)
        if not rows
    ]
    # the demo and the candidates have different objectives
    assert [called(each) for each in empty] == ["fleet: Mean gain"] and empty[0].may_be_empty


async def test_what_is_chosen_is_all_that_is_asked_for(query: MetricsQuery) -> None:
    at = shown("agent", time.time() - HOURS, time.time())
    seen = at.choosing(agent=[f"{RUN}/0"], run=[RUN])
    (best,) = [each for each in asked("agent") if each.panel["title"] == "Best agents"]
    found = [row[0] for row in await query.sql(seen.statement(best.target["rawSql"]))]
    assert found == [f"{RUN}/4", f"{RUN}/2", f"{RUN}/0"]
    other = seen.choosing(run=["it's none"])
    assert not list(await query.sql(other.statement(best.target["rawSql"])))
    whole = seen.choosing(run=[ALL])
    assert len(list(await query.sql(whole.statement(best.target["rawSql"])))) > 3


async def test_the_fleets_figures_are_those_of_the_type_that_is_chosen(query: MetricsQuery) -> None:
    seen = (await opened("fleet", query, time.time() - HOURS)).choosing(type=["gepa"])
    figures = {each.panel["title"]: each.target["rawSql"] for each in asked("fleet")}

    async def figure(title: str) -> tuple[object, ...]:
        (row,) = await query.sql(seen.statement(figures[title]))
        return tuple(row)

    assert await figure("Attempts") == (6,)
    assert await figure("Cost per success") == (pytest.approx((0.02 + 0.03 + 0.02 + 0.04 + 0.01) / 3),)
    assert await figure("Mean gain") == (pytest.approx((0.1 + 0.05 + 0.22 + 0.2 + 0.31) / 5),)
    rate, low, high = await figure("Success rate")
    assert rate == 0.5 and (low, high) == (pytest.approx(0.18762, abs=1e-5), pytest.approx(0.81238, abs=1e-5))


@pytest.mark.parametrize("each", of("pipeline"), ids=called)
def test_an_expression_names_metrics_and_labels_that_exist(each: Asked) -> None:
    expression = each.target["expr"]
    plain = re.sub(r"\[[^]]*\]|\{[^}]*\}", "", expression)
    grouped = re.findall(r"\w+", " ".join(re.findall(r"\b(?:by|on|group_left) \(([^)]*)\)", plain)))
    plain = re.sub(r"\b(?:by|on|group_left) \([^)]*\)", "", plain)
    named = set(re.findall(r"[a-zA-Z_]\w*", FUNCTIONS.sub("", plain)))
    assert named and named <= DECLARED.keys() | OTHERS
    known = {"job", "instance", "le", "alertname", "alertstate"}
    known |= {label for name in named & DECLARED.keys() for label in DECLARED[name].labels}
    matched = re.findall(r"(\w+)=~?\"", expression)
    shown_labels = re.findall(r"\{\{(\w+)\}\}", each.target.get("legendFormat", ""))
    assert {*matched, *grouped, *shown_labels} <= known
    counters = {name for name in named & DECLARED.keys() if DECLARED[name].kind == "counter"}
    for name in counters:
        assert re.search(rf"(?:rate|increase)\({name}", expression), "a counter starts anew with each start"


def test_promtool_reads_every_expression(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on this machine (apt-get install prometheus)")
    seen = Shown(0, 6 * 3600, 60, {})
    rules = [
        {"record": f"panel:{number}", "expr": seen.expression(each.target["expr"])}
        for number, each in enumerate(of("pipeline"))
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
