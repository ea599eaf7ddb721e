"""Which strategies pay: success with intervals, gain, efficiency, and cost per improvement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import altair as alt

from evometrics.deploy.ui import charts
from evometrics.deploy.ui.looks import ACCENT, SHARES
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
#: Order of the chart's lines.
BEST_FIRST = alt.EncodingSortField("success_rate", order="descending")


def filled(template: str, column: str) -> str:
    """Return a statement about one of the columns."""
    return template.replace("{column}", column).replace("{name}", BY[column])


def intervals(name: str) -> Any:
    """Return what draws success rates with their intervals."""

    def draw(rows: Rows) -> dict[str, Any]:
        base = alt.Chart(charts.data(rows)).encode(y=alt.Y(f"{name}:N", title=None, sort=BEST_FIRST))
        reach = base.mark_rule(strokeWidth=5, opacity=0.35, strokeCap="round", color=ACCENT).encode(
            x=alt.X(**charts.share_axis("low", "Success rate with its 95 % interval")), x2="high:Q"
        )
        dots = base.mark_point(filled=True, size=110, opacity=1, color=ACCENT).encode(
            x="success_rate:Q",
            tooltip=charts.tooltip(
                (f"{name}:N", name), ("success_rate:Q", "success rate"), ("attempts:Q", "attempts")
            ),
        )
        return charts.layered(
            [reach, dots], f"Success rate by {name}, with its interval.", height=40 + 28 * len(rows)
        )

    return draw


def over_time(name: str, seconds: int) -> Any:
    """Return what draws success rates over time, so many seconds a cell."""

    def draw(rows: Rows) -> dict[str, Any]:
        ended = [{**row, "end": row["time"] + timedelta(seconds=seconds)} for row in rows]
        scale = alt.Scale(type="quantize", domain=[0, 1], range=SHARES)
        cells = (
            alt.Chart(charts.data(ended))
            .mark_rect()
            .encode(
                x=charts.time_axis(),
                x2="end:T",
                y=alt.Y(f"{name}:N", title=None),
                color=alt.Color("success_rate:Q", title=None, scale=scale, legend=alt.Legend(format=".0%")),
                tooltip=charts.tooltip(
                    ("time:T", "time"),
                    (f"{name}:N", name),
                    ("success_rate:Q", "success rate"),
                    ("attempts:Q", "attempts"),
                ),
            )
        )
        names = len({row[name] for row in rows})
        return charts.layered([cells], f"Success rate by {name} over time.", height=40 + 28 * names)

    return draw


def sections(state: Mapping[str, str]) -> Sequence[Section]:
    """Return the page's sections."""
    hours, column = int(state["hours"]), state["by"]
    name = BY[column]
    values, seconds = {"hours": hours}, hours * 3600 // POINTS
    note = "Cost is what is known of it; without_cost counts evolutions whose cost is not."
    return (
        Section("rates", f"By {name}", filled(TABLE, column), values, intervals(name), True, note),
        Section(
            "over-time",
            "Over time",
            filled(OVER_TIME, column),
            {**values, "seconds": seconds},
            over_time(name, seconds),
            note="A cell is the share of attempts that succeeded in that time; none where there were none.",
        ),
    )


PAGE = Page(
    "strategies",
    "Strategies",
    "Which ways of evolving pay: success, gain, efficiency, and cost per improvement.",
    sections,
    (HOURS, Choice("by", "By", "strategy_used", BY)),
)
