"""Two agents, runs, strategies, models or nodes beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from evometrics.deploy.ui import charts
from evometrics.deploy.ui.page import NO_LIMIT, Choice, Page, Rows, Section, share
from evometrics.deploy.ui.pages.statements import ENDED, GAIN, HOURS, RATES, SINCE

WHAT = {
    "agent_id": "agents",
    "run_id": "runs",
    "strategy_used": "strategies",
    "model": "models",
    "node_id": "nodes",
}

SIDES = f"""SELECT
    toString({{column}}) AS which,
    {ENDED} AS attempts,
    countIf(success) AS succeeded,
    {RATES},
    {GAIN} AS mean_gain,
    stddevSampOrNull(improvement_delta) AS gain_deviation,
    max(performance_score) AS highest_score,
    min(performance_score) AS lowest_score,
    avgOrNullIf(efficiency, status != 'abandoned') AS mean_efficiency,
    sum(duration_minutes) AS minutes,
    sumOrNull(cost_usd) AS cost,
    cost / nullIf(succeeded, 0) AS cost_per_success
FROM evolution_metrics
WHERE {SINCE} AND {{column}} IN ({{a:String}}, {{b:String}}) AND NOT endsWith(evolution_type, '_run')
GROUP BY which
ORDER BY which = {{b:String}}"""

#: Points of a line at most, each the last of an equal share of the evolutions.
MOST_POINTS = 500

GAINS = f"""SELECT *
FROM
(
    SELECT
        toString({{column}}) AS which,
        count() OVER in_order AS evolution,
        sum(if(success, coalesce(improvement_delta, 0), 0)) OVER in_order AS gained,
        count() OVER (PARTITION BY which) AS of_all
    FROM evolution_metrics
    WHERE {SINCE} AND {{column}} IN ({{a:String}}, {{b:String}}) AND NOT endsWith(evolution_type, '_run')
    WINDOW in_order AS (PARTITION BY which ORDER BY occurred_at, event_id ROWS UNBOUNDED PRECEDING)
    ORDER BY evolution DESC
    LIMIT 1 BY which, intDiv((evolution - 1) * {{points:UInt32}}, greatest(of_all, {{points:UInt32}}))
)
ORDER BY which, evolution"""


def gains(rows: Rows) -> dict[str, Any]:
    """Draw what was gained by the number of evolutions."""
    chart = (
        alt.Chart(charts.data(rows))
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("evolution:Q", title="Evolutions"),
            y=alt.Y("gained:Q", title="Gained by those that were kept"),
            color=alt.Color("which:N", title=None),
            strokeDash=alt.StrokeDash("which:N", title=None),
            tooltip=charts.tooltip(
                ("which:N", "which"), ("evolution:Q", "evolution"), ("gained:Q", "gained")
            ),
        )
    )
    return charts.layered([chart], "What was gained, by the number of evolutions.")


def told(rows: Rows) -> str:
    """Return how many points are drawn."""
    return share(len(rows), sum({row["which"]: row["of_all"] for row in rows}.values()), "points")


def sections(state: Mapping[str, str]) -> Sequence[Section]:
    """Return the page's sections."""
    column = state["what"]
    values = {"hours": int(state["hours"]), "a": state["a"], "b": state["b"]}
    empty = f"Give two {WHAT[column]} that evolved since then."
    sides = SIDES.replace("{column}", column)
    return (
        Section("sides", "Side by side", sides, values, kind="sides", empty=empty),
        Section(
            "gains",
            "Gain",
            GAINS.replace("{column}", column),
            {**values, "points": MOST_POINTS},
            gains,
            told=told,
            whole={"points": NO_LIMIT},
            empty=empty,
        ),
    )


PAGE = Page(
    "compare",
    "Compare",
    "Two agents, runs, strategies, models or nodes beside each other.",
    sections,
    (
        Choice("what", "Compare", "agent_id", WHAT),
        Choice("a", "One"),
        Choice("b", "The other"),
        HOURS,
    ),
)
