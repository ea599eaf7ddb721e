"""The page's query of cost per improvement gives what the page shows, of runs of several frameworks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from evometrics.deploy.console.tables import Columns, QueryResult, exact
from evometrics.schemas.events import Event, EvolutionCompleted, now_micros
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.ids import new_event_id
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.sinks import sent

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "analyse.md"
SECTION = re.compile(r"^## Cost per improvement\n.*?^```sql\n(.*?)^```\n\n^```text\n(.*?)^```", re.M | re.S)
#: Framework, model, strategy; and each candidate's status and cost.
RUNS: list[tuple[str, str | None, str, list[tuple[str, float | None]]]] = [
    ("gepa", "large-model", "reflection", [
        *(("succeeded", 0.05), ("rolled_back", 0.06), ("succeeded", 0.07), ("failed", 0.04)),
    ]),
    ("gepa", "large-model", "merge", [("succeeded", 0.09), ("rejected", 0.04)]),
    ("dspy", "large-model", "bootstrap_fewshot", [("succeeded", 0.03), ("rolled_back", None)]),
    ("openevolve", "small-model", "diff", [("failed", 0.01), ("rejected", 0.0), ("rolled_back", 0.008)]),
    ("openevolve", "small-model", "full_rewrite", [("succeeded", 0.02), ("failed", 0.015), ("failed", 0.01)]),
    ("optuna", None, "tpe", [("succeeded", None), ("pruned", None), ("pruned", None), ("succeeded", None)]),
    ("optuna_run", None, "tpe", [("succeeded", 9.0)]),
]  # fmt: skip


def candidates() -> Iterator[Event]:
    """Yield the metrics of all runs, and of an evolution that belongs to none."""
    at = now_micros() - 1_000_000
    for framework, model, strategy, tried in [*RUNS, ("nightly", None, "tune", [("succeeded", 5.0)])]:
        for number, (status, cost) in enumerate(tried):
            yield evolution_metrics(
                EvolutionCompleted(
                    event_id=new_event_id(),
                    agent_id=f"{framework}-{strategy}/{number}",
                    node_id="n",
                    occurred_at=at,
                    started_at=at,
                    evolution_id=f"{framework}-{strategy}/{number}",
                    evolution_type=framework,
                    strategy_used=strategy,
                    status=status,
                    success=status == "succeeded",
                    cost_usd=cost,
                    model=model,
                    run_id=None if framework == "nightly" else framework,
                )
            )


async def test_the_pages_query_gives_what_the_page_shows(database: ClickHouseSettings) -> None:
    found = SECTION.search(PAGE.read_text())
    assert found is not None
    await fill(database, [sent(each, offset=place) for place, each in enumerate(candidates())])
    async with MetricsQuery(database) as query:
        answer = await query.sql(found[1])
    shown = QueryResult(list(answer.columns), list(answer))
    columns = Columns(shown, exact)
    assert "\n".join([columns.head(), *map(columns.line, shown.rows)]) + "\n" == found[2]
