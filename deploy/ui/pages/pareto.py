"""Two KPIs against each other, and the candidates that no other beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from evometrics.deploy.ui import charts
from evometrics.deploy.ui.looks import ACCENT
from evometrics.deploy.ui.page import NO_LIMIT, Choice, Page, Rows, Section, share
from evometrics.deploy.ui.pages.run import LAST_RUNS
from evometrics.deploy.ui.pages.statements import OF_RUN

#: Dots of the chart at most; the front first.
MOST_DOTS = 800
BETTER = {"maximize": "more is better", "minimize": "less is better"}

KNOWN = """SELECT DISTINCT arrayJoin(mapKeys(post_kpis)) AS kpi
FROM evolution_completed
WHERE occurred_at >= now() - toIntervalDay(1)
ORDER BY kpi
LIMIT 100"""

FRONT = """WITH
    {x_sign:Int8} AS x_sign,
    {y_sign:Int8} AS y_sign,
    candidates AS
    (
        SELECT
            event_id,
            agent_id,
            status,
            post_kpis[{x:String}] AS x,
            post_kpis[{y:String}] AS y
        FROM evolution_completed
        WHERE {of_run}
            AND mapContains(post_kpis, {x:String})
            AND mapContains(post_kpis, {y:String})
    ),
    ranked AS
    (
        SELECT
            *,
            max(y * y_sign) OVER (
                ORDER BY x * x_sign DESC RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS best,
            max(y * y_sign) OVER (PARTITION BY x) AS best_here,
            max(x * x_sign) OVER (PARTITION BY y) AS furthest
        FROM candidates
    )
SELECT
    event_id,
    agent_id,
    status,
    x,
    y,
    y * y_sign = best AND y * y_sign = best_here AND x * x_sign = furthest AS front,
    count() OVER () AS of_all
FROM ranked
ORDER BY front DESC, if(front, x * x_sign, 0) DESC, cityHash64(event_id)
LIMIT {dots:UInt32}"""


FRONT = FRONT.replace("{of_run}", OF_RUN)


def front(x: str, y: str) -> Any:
    """Return what draws candidates and the front."""

    def draw(rows: Rows) -> dict[str, Any]:
        linked = charts.linked(rows, "candidate", "event", "event_id")
        base = alt.Chart(charts.data(linked)).encode(
            x=alt.X("x:Q", title=x, scale=alt.Scale(zero=False)),
            y=alt.Y("y:Q", title=y, scale=alt.Scale(zero=False)),
        )
        dots = base.mark_point(filled=True, opacity=0.85).encode(
            color=charts.status_colour(rows),
            shape=charts.status_shape(rows),
            href="link:N",
            tooltip=charts.tooltip(
                ("agent_id:N", "candidate"), ("x:Q", x), ("y:Q", y), ("status:N", "status")
            ),
        )
        line = (
            base.transform_filter("datum.front")
            .mark_line(color=ACCENT, interpolate="step")
            .encode(order="x:Q")
        )
        return charts.layered([line, dots], f"{y} against {x}; the line is the Pareto front.", height=360)

    return draw


def sections(state: Mapping[str, str]) -> Sequence[Section]:
    """Return the page's sections."""
    if not (state["run"] and state["x"] and state["y"]):
        return (
            Section(
                "kpis", "KPIs of the last day", KNOWN, note="Choose a run and two of its KPIs.", empty="None."
            ),
        )
    signs = {f"{axis}_sign": 1 if state[f"{axis}_is"] == "maximize" else -1 for axis in ("x", "y")}
    values = {"run": state["run"], "x": state["x"], "y": state["y"], "dots": MOST_DOTS, **signs}
    return (
        Section(
            "front",
            "Front",
            FRONT,
            values,
            front(state["x"], state["y"]),
            note="front: no other candidate of the run is at least as good in both and better in one.",
            told=lambda rows: share(len(rows), rows[0]["of_all"], "candidates"),
            whole={"dots": NO_LIMIT},
            links={"event_id": ("candidate", "event"), "agent_id": ("agent", "agent")},
            empty="No candidate of this run has both KPIs.",
        ),
    )


PAGE = Page(
    "pareto",
    "Pareto",
    "Two KPIs of a run's candidates, and those that no other beats in both.",
    sections,
    (
        Choice("run", "Run", suggestions=LAST_RUNS),
        Choice("x", "Across", suggestions=KNOWN),
        Choice("x_is", "Its direction", "maximize", BETTER),
        Choice("y", "Up", suggestions=KNOWN),
        Choice("y_is", "Its direction", "maximize", BETTER),
    ),
)
