"""The page's lineage: the rows are those of the views, and few statements find them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from evometrics.deploy.ui.database import Database
from evometrics.deploy.ui.pages import lineage
from evometrics.schemas.events import Event, EvolutionCompleted, now_micros
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.ids import new_event_id
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.filled import filled_database

AGENTS = 12
SECOND = 1_000_000
DEEP = 60


def events() -> Iterator[Event]:
    """Yield evolutions of agents that are made from each other, merges among them, and one long line."""
    drawn = random.Random(11)
    begin = now_micros() - 3600 * SECOND
    agents = [f"a{number}" for number in range(AGENTS)]
    for number in range(90):
        parents = drawn.sample(agents, drawn.choice([0, 1, 1, 2, 3]))
        ended = begin + number * 10 * SECOND
        run = drawn.choice(["one", "other", None])
        yield from made(f"a{drawn.randrange(AGENTS)}", parents, ended, run, drawn.random() < 0.8)
    for number in range(DEEP):
        parents = [f"line/{number - 1}"] if number else []
        yield from made(f"line/{number}", parents, begin + number * 20 * SECOND, "line", True)


def made(agent: str, parents: list[str], ended: int, run: str | None, kept: bool) -> Iterator[Event]:
    completed = EvolutionCompleted(
        event_id=new_event_id(),
        agent_id=agent,
        node_id="node-1",
        occurred_at=ended,
        started_at=ended - 15 * SECOND,
        evolution_id=f"{agent}-{ended}",
        strategy_used=f"of {len(parents)}",
        status="succeeded" if kept else "failed",
        success=kept,
        pre_kpis={"accuracy": 0.5},
        post_kpis={"accuracy": 0.75} if kept else {},
        parent_agent_id=parents[0] if parents else None,
        parent_agent_ids=parents,
        run_id=run,
    )
    yield completed
    yield evolution_metrics(completed)


@pytest.fixture(scope="module")
def filled(migrated: ClickHouseSettings) -> Iterator[ClickHouseSettings]:
    with filled_database(migrated, "ancestry_of_the_ui", events()) as settings:
        yield settings


@pytest.fixture
async def query(filled: ClickHouseSettings) -> AsyncIterator[MetricsQuery]:
    async with MetricsQuery(filled) as found:
        yield found


def rows_as_set(rows: Any) -> list[tuple[str, ...]]:
    return sorted(tuple(str(value) for value in row.values()) for row in rows)


@pytest.mark.parametrize("agent", ["a0", "a5", "a11", "line/0", f"line/{DEEP - 1}", "nobody"])
async def test_the_rows_of_a_lineage_are_those_of_its_statement(query: MetricsQuery, agent: str) -> None:
    (section,) = lineage.PAGE.sections({"agent": agent, "show": "all"})
    database = Database(query)
    found = await database.rows(section)
    assert rows_as_set(found) == rows_as_set(await database.fetch(section.sql, section.values))
    assert found or agent == "nobody"


async def test_a_long_line_takes_few_statements(query: MetricsQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    database = Database(query)
    fetch = database.fetch

    async def noted(sql: str, values: Any) -> Any:
        asked.append(sql)
        return await fetch(sql, values)

    monkeypatch.setattr(database, "fetch", noted)
    (section,) = lineage.PAGE.sections({"agent": f"line/{DEEP - 1}", "show": "kept"})
    assert len(await database.rows(section)) == DEEP - 1
    assert len(asked) < 10
