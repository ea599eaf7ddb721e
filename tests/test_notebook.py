"""The notebook from its first cell to its last, over a real night: its figures equal SQL."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.shown_night import SEARCH, night
from tests.support.sinks import copy_database, run_statements

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook" / "evolutions.py"


@pytest.fixture(scope="module")
def filled(migrated: ClickHouseSettings) -> Iterator[ClickHouseSettings]:
    settings = dataclasses.replace(migrated, database="night_of_the_notebook")
    asyncio.run(copy_database(migrated, settings))
    asyncio.run(fill(settings, night(time.time_ns() // 1000, rounds=4, candidates=40)))
    yield settings
    asyncio.run(run_statements(settings, [f"DROP DATABASE {settings.database}"]))


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebook_of_evolutions", NOTEBOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def figures(filled: ClickHouseSettings) -> dict[str, Any]:
    """What the notebook's cells define."""
    given = {"URL": filled.url, "DATABASE": filled.database}
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("EVOMETRICS_")]:
            patch.delenv(name)
        for name, value in given.items():
            patch.setenv(f"EVOMETRICS_CLICKHOUSE_{name}", value)
        _, defined = loaded().app.run()
    return dict(defined)


async def rows(filled: ClickHouseSettings, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    async with MetricsQuery(filled) as query:
        return list(await query.sql(sql, values))


async def test_success_by_strategy_equals_sql(filled: ClickHouseSettings, figures: dict[str, Any]) -> None:
    wanted = await rows(
        filled,
        "SELECT strategy_used, count(), countIf(success), avgOrNull(improvement_delta) "
        "FROM evolution_metrics GROUP BY strategy_used",
    )
    success = figures["success"]
    columns = (success[name] for name in ("strategy", "attempts", "successes", "mean_gain"))
    found = {row[0]: row[1:] for row in zip(*columns, strict=True)}
    assert found.keys() == {row[0] for row in wanted}
    for strategy, *others in wanted:
        assert found[strategy] == pytest.approx(others)


async def test_intervals_are_those_of_the_rolling_success_rates(
    filled: ClickHouseSettings, figures: dict[str, Any]
) -> None:
    wanted = await rows(
        filled, "SELECT successes, attempts, wilson_low, wilson_high FROM success_rates WHERE attempts > 0"
    )
    for successes, attempts, low, high in wanted:
        assert figures["interval"](successes, attempts) == pytest.approx((low, high), abs=1e-9)


async def test_cost_per_improvement_equals_sql(filled: ClickHouseSettings, figures: dict[str, Any]) -> None:
    wanted = await rows(
        filled,
        "SELECT model, strategy_used, sum(cost_usd), sum(cost_usd) / nullIf(countIf(success), 0) "
        "FROM evolution_metrics WHERE run_id IS NOT NULL GROUP BY model, strategy_used",
    )
    assert len(figures["cost"]) == len(wanted) > 1
    found = {(row.model, row.strategy): row for row in figures["cost"].itertuples()}
    for model, strategy, cost, per_improvement in wanted:
        row = found[model, strategy]
        assert row.cost == pytest.approx(cost)
        assert row.cost_unknown == 0
        if per_improvement is not None:
            assert row.cost_per_improvement == pytest.approx(per_improvement)
        else:
            assert row.cost_per_improvement != row.cost_per_improvement  # NaN


async def test_the_best_so_far_follows_the_direction(
    filled: ClickHouseSettings, figures: dict[str, Any]
) -> None:
    ((lowest, highest),) = await rows(
        filled,
        "SELECT minIf(performance_score, run_id = {run:String}), maxIf(performance_score, run_id IS NULL) "
        "FROM evolution_metrics",
        run=SEARCH,
    )
    last = figures["scores"].groupby("run").best.last()
    assert last[SEARCH] == lowest
    assert last["agents without a run"] == highest


async def test_the_lineage_is_that_of_the_view(filled: ClickHouseSettings, figures: dict[str, Any]) -> None:
    agent = figures["agent"].value
    wanted = await rows(
        filled, "SELECT child_agent_id, agent_id FROM agent_ancestors(agent = {agent:String})", agent=agent
    )
    ancestors = figures["ancestors"]
    assert sorted(zip(ancestors.child, ancestors.parent, strict=True)) == sorted(wanted)
    assert wanted
