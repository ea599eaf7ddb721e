"""One evolution: KPIs before and after, what is known of it, its text, and the difference to its parent's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from evometrics.deploy.ui import charts
from evometrics.deploy.ui.looks import ACCENT, SOFT
from evometrics.deploy.ui.page import Choice, Page, Rows, Section

SHORT = """SELECT
    status,
    agent_id,
    evolution_type,
    strategy_used,
    model,
    generation,
    objective,
    direction,
    occurred_at,
    duration_seconds,
    cost_usd,
    tokens_in,
    tokens_out,
    evaluations,
    arrayStringConcat(parent_agent_ids, ', ') AS parents,
    run_id,
    node_id,
    error_count,
    warning_count
FROM evolution_completed
WHERE event_id = toUUIDOrZero({event:String})"""

KPIS = """SELECT
    kpi,
    if(mapContains(pre_kpis, kpi), pre_kpis[kpi], NULL) AS before,
    if(mapContains(post_kpis, kpi), post_kpis[kpi], NULL) AS after,
    after - before AS change
FROM
(
    SELECT pre_kpis, post_kpis, arrayJoin(arrayUnion(mapKeys(pre_kpis), mapKeys(post_kpis))) AS kpi
    FROM evolution_completed
    WHERE event_id = toUUIDOrZero({event:String})
)
ORDER BY kpi"""

INSIGHTS = """SELECT arrayJoin(insights) AS insight
FROM evolution_completed
WHERE event_id = toUUIDOrZero({event:String})"""

METADATA = """SELECT entry.1 AS name, entry.2 AS value
FROM
(
    SELECT arrayJoin(CAST(metadata, 'Array(Tuple(String, String))')) AS entry
    FROM evolution_completed
    WHERE event_id = toUUIDOrZero({event:String})
)
ORDER BY name"""

TEXT = """SELECT candidate AS text
FROM evolution_completed
WHERE event_id = toUUIDOrZero({event:String}) AND candidate IS NOT NULL"""


def kpis(rows: Rows) -> dict[str, Any]:
    """Draw how much each KPI changed, as a share of what it was before."""
    changed = [
        {
            **row,
            "share": row["change"] / abs(row["before"])
            if row["before"] and row["change"] is not None
            else None,
        }
        for row in rows
    ]
    base = alt.Chart(charts.data(changed)).encode(y=alt.Y("kpi:N", title=None))
    axis = alt.X("share:Q", title="Change, of what it was before", axis=alt.Axis(format="+.0%", tickCount=6))
    zero = alt.Chart(charts.data([{"share": 0}])).mark_rule(color=SOFT).encode(x=axis)
    steps = base.mark_rule(strokeWidth=5, opacity=0.35, strokeCap="round", color=ACCENT).encode(
        x=axis, x2=alt.datum(0)
    )
    dots = base.mark_point(filled=True, size=110, opacity=1, color=ACCENT).encode(
        x=axis,
        tooltip=charts.tooltip(
            ("kpi:N", "KPI"), ("before:Q", "before"), ("after:Q", "after"), ("change:Q", "change")
        ),
    )
    return charts.layered([zero, steps, dots], "How much each KPI changed.", height=40 + 28 * len(rows))


def sections(state: Mapping[str, str]) -> Sequence[Section]:
    """Return the page's sections."""
    event = {"event": state["event"]}
    links = {"agent_id": ("agent", "agent"), "run_id": ("run", "run")}
    return (
        Section(
            "short",
            "In short",
            SHORT,
            event,
            links=links,
            kind="figures",
            empty="No evolution with this event_id is known; pages of runs and agents lead to candidates.",
        ),
        Section("kpis", "KPIs", KPIS, event, kpis, True, empty="None were measured."),
        Section("insights", "Insights", INSIGHTS, event, empty="None."),
        Section("text", "Text", TEXT, event, kind="text", empty="No text was recorded."),
        Section("metadata", "Metadata", METADATA, event, empty="None."),
    )


PAGE = Page(
    "candidate",
    "Candidate",
    "One evolution: what it changed, what it cost, and its text.",
    sections,
    (Choice("event", "event_id"),),
    listed=False,
)
