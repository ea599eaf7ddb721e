"""Which strategies pay: success with intervals, gain, efficiency, and cost per improvement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from evometrics.deploy.ui import charts
from evometrics.deploy.ui.page import Choice, Page, Rows, Section
from evometrics.deploy.ui.pages.statements import ENDED, GAIN, HOURS, RATES, SINCE

BY = {"strategy_used": "strategy", "evolution_type": "type", "model": "model", "node_id": "node"}

TABLE = f"""SELECT
    coalesce(nullIf(toString({{column}}), ''), '(none)') AS {{name}},
    {ENDED} AS attempts,
    countIf(success) AS succeeded,
    {RATES},
    {GAIN} AS mean_gain,
    avgOrNullIf(improvement_delta, success) AS mean_gain_of_successes,
    avgOrNullIf(efficiency, status != 'abandoned') AS mean_efficiency,
    sumOrNull(cost_usd) AS cost,
    cost / nullIf(succeeded, 0) AS cost_per_success,
    countIf(cost_usd IS NULL) AS without_cost
FROM evolution_metrics
WHERE {SINCE} AND NOT endsWith(evolution_type, '_run')
GROUP BY {{name}}
ORDER BY attempts DESC
LIMIT 100"""

OVER_TIME = f"""SELECT
    toStartOfInterval(occurred_at, toIntervalSecond({{seconds:UInt32}})) AS time,
    coalesce(nullIf(toString({{column}}), ''), '(none)') AS {{name}},
    {ENDED} AS attempts,
    countIf(success) AS succeeded,
    {RATES},
    {GAIN} AS mean_gain
FROM evolution_metrics
WHERE {SINCE} AND NOT endsWith(evolution_type, '_run')
GROUP BY time, {{name}}
HAVING attempts > 0
ORDER BY time, {{name}}"""

POINTS = 24


def filled(template: str, column: str) -> str:
    """Return a statement about one of the columns."""
    return template.replace("{column}", column).replace("{name}", BY[column])


def intervals(name: str) -> Any:
    """Return what draws success rates with their intervals."""

    def draw(rows: Rows) -> dict[str, Any]:
        base = alt.Chart(charts.data(rows)).encode(y=alt.Y(f"{name}:N", title=name.capitalize(), sort="-x"))
        scale = alt.Scale(domain=[0, 1])
        bars = base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q", title="Success rate, 95 % Wilson interval", scale=scale), x2="high:Q"
        )
        dots = base.mark_point(filled=True, size=70, color="#0072b2").encode(
            x=alt.X("success_rate:Q", scale=scale),
            tooltip=charts.tooltip(
                (f"{name}:N", name), ("success_rate:Q", "success rate"), ("attempts:Q", "attempts")
            ),
        )
        return charts.layered(
            [bars, dots], f"Success rate by {name}, with its interval.", height=max(60, 26 * len(rows))
        )

    return draw


def over_time(name: str) -> Any:
    """Return what draws success rates over time."""

    def draw(rows: Rows) -> dict[str, Any]:
        base = alt.Chart(charts.data(rows)).encode(
            x=alt.X("time:T", title="Time (UTC)", scale=alt.Scale(type="utc")),
            color=alt.Color(f"{name}:N", title=name.capitalize()),
        )
        scale = alt.Scale(domain=[0, 1])
        band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q")
        line = base.mark_line(point=True).encode(
            y=alt.Y("success_rate:Q", title="Success rate", scale=scale),
            tooltip=charts.tooltip(
                ("time:T", "time"), (f"{name}:N", name), ("success_rate:Q", "success rate")
            ),
        )
        return charts.layered([band, line], f"Success rate by {name} over time, with its interval.")

    return draw


def sections(state: Mapping[str, str]) -> Sequence[Section]:
    """Return the page's sections."""
    hours, column = int(state["hours"]), state["by"]
    name = BY[column]
    values = {"hours": hours}
    note = "Cost is what is known of it; without_cost counts evolutions whose cost is not."
    return (
        Section("rates", f"By {name}", filled(TABLE, column), values, intervals(name), note=note),
        Section(
            "over-time",
            "Over time",
            filled(OVER_TIME, column),
            {**values, "seconds": hours * 3600 // POINTS},
            over_time(name),
        ),
    )


PAGE = Page(
    "strategies",
    "Strategies",
    "Which ways of evolving pay: success, gain, efficiency, and cost per improvement.",
    sections,
    (HOURS, Choice("by", "By", "strategy_used", BY)),
)
