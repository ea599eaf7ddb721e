"""One agent: its KPIs over time with every evolution marked, and what is recommended for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from evometrics.deploy.ui import charts
from evometrics.deploy.ui.looks import WORDS
from evometrics.deploy.ui.page import NO_LIMIT, Choice, Page, Rows, Section, share
from evometrics.schemas.kpis.performance import KPI_NAMES

LAST_AGENTS = """SELECT agent_id
FROM evolution_metrics
WHERE occurred_at >= now() - toIntervalDay(1)
GROUP BY agent_id
ORDER BY max(occurred_at) DESC
LIMIT 200"""

SHORT = """SELECT
    argMax(recommendation, occurred_at) AS recommendation,
    argMax(overall_performance, occurred_at) AS performance,
    argMax(overall_delta, occurred_at) AS last_change,
    argMax(phase, occurred_at) AS measured,
    max(occurred_at) AS measured_at
FROM kpi_deltas
WHERE agent_id = {agent:String}
HAVING count() > 0"""

#: Values, and evolutions, that are drawn at most, the newest.
MOST_DOTS, MOST_STEPS = 800, 400

KPIS = """SELECT *
FROM
(
    SELECT occurred_at, phase, kpi, value, count() OVER () AS of_all
    FROM
    (
        SELECT
            occurred_at,
            phase,
            mapConcat(
                mapFilter((name, value) -> isNotNull(value), map({columns})),
                mapApply((name, value) -> (toString(name), toNullable(value)), extra)
            ) AS measured
        FROM kpi_snapshots
        WHERE agent_id = {agent:String}
    )
    ARRAY JOIN mapKeys(measured) AS kpi, mapValues(measured) AS value
    WHERE {kpi:String} = 'all' OR kpi = {kpi:String}
    ORDER BY occurred_at DESC, kpi
    LIMIT {most:UInt32}
)
ORDER BY occurred_at, kpi"""

EVOLUTIONS = """SELECT
    occurred_at,
    source_event_id AS event_id,
    status,
    strategy_used,
    generation,
    baseline_performance AS before,
    performance_score AS after,
    improvement_delta AS gain,
    duration_minutes,
    cost_usd,
    model,
    arrayStringConcat(parent_agent_ids, ', ') AS parents,
    count() OVER () AS of_all
FROM evolution_metrics
WHERE agent_id = {agent:String}
ORDER BY occurred_at DESC
LIMIT {most:UInt32}"""

KPI_CHOICES = {"overall_performance": "performance", **{name: name for name in KPI_NAMES}, "all": "all"}


def kpis(rows: Rows) -> dict[str, Any]:
    """Draw KPIs over time."""
    chart = (
        alt.Chart(charts.data(rows))
        .mark_line(point=True)
        .encode(
            x=charts.time_axis("occurred_at"),
            y=alt.Y("value:Q", title="Value", scale=alt.Scale(zero=False)),
            color=alt.Color("kpi:N", title=None, legend=alt.Legend(labelExpr=WORDS)),
            shape=alt.Shape("phase:N", title=None, legend=alt.Legend(labelExpr=WORDS)),
            detail="kpi:N",
            tooltip=charts.tooltip(
                ("occurred_at:T", "time"), ("kpi:N", "KPI"), ("value:Q", "value"), ("phase:N", "measured")
            ),
        )
    )
    return charts.layered([chart], "KPIs of the agent over time.", height=280)


def evolutions(rows: Rows) -> dict[str, Any]:
    """Draw each evolution as the step from the performance before to that after."""
    linked = charts.linked(rows, "candidate", "event", "event_id")
    base = alt.Chart(charts.data(linked)).encode(
        x=charts.time_axis("occurred_at"), color=charts.status_colour(rows)
    )
    steps = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("before:Q", title="Performance", scale=alt.Scale(zero=False)), y2="after:Q"
    )
    ends = base.mark_point(filled=True, size=80, opacity=1).encode(
        y="after:Q",
        shape=charts.status_shape(rows),
        href="link:N",
        tooltip=charts.tooltip(
            ("occurred_at:T", "time"),
            ("status:N", "status"),
            ("gain:Q", "gain"),
            ("strategy_used:N", "strategy"),
        ),
    )
    return charts.layered([steps, ends], "Evolutions of the agent: performance before and after.")


def newest(drawn: int, total: int, what: str) -> str:
    """Return how many are drawn, and which."""
    part = share(drawn, total, what)
    return f"{part} They are the newest; the CSV has all." if part else ""


def sections(state: Mapping[str, str]) -> Sequence[Section]:
    """Return the page's sections."""
    if not state["agent"]:
        return (
            Section(
                "agents",
                "Agents of the last day",
                LAST_AGENTS,
                links={"agent_id": ("agent", "agent")},
                empty="No agent evolved in the last day.",
            ),
        )
    agent = {"agent": state["agent"]}
    columns = ", ".join(f"'{name}', {name}" for name in ("overall_performance", *KPI_NAMES))
    return (
        Section(
            "short",
            "At present",
            SHORT,
            agent,
            kind="figures",
            note="What the stream recommends by its thresholds; nothing where an evolution states an "
            "objective of its own.",
            empty="No KPIs of this agent were measured.",
        ),
        Section(
            "kpis",
            "KPIs",
            KPIS.replace("{columns}", columns),
            {**agent, "kpi": state["kpi"], "most": MOST_DOTS},
            kpis,
            told=lambda rows: newest(len(rows), rows[0]["of_all"], "values"),
            whole={"most": NO_LIMIT},
            empty="No such KPI was measured.",
        ),
        Section(
            "evolutions",
            "Evolutions",
            EVOLUTIONS,
            {**agent, "most": MOST_STEPS},
            evolutions,
            told=lambda rows: newest(len(rows), rows[0]["of_all"], "evolutions"),
            whole={"most": NO_LIMIT},
            links={"event_id": ("candidate", "event")},
            empty="This agent has not evolved.",
        ),
    )


PAGE = Page(
    "agent",
    "Agent",
    "How an agent's KPIs changed, and which evolutions changed them.",
    sections,
    (
        Choice("agent", "Agent", suggestions=LAST_AGENTS),
        Choice("kpi", "KPI", "overall_performance", KPI_CHOICES),
    ),
)
