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

#: Whether a candidate's text is only the beginning of the one that was tried.
CUT = "ifNull(lower(hex(SHA256(ifNull(candidate, '')))) != candidate_hash, false)"

TEXT = f"""SELECT
    candidate AS text,
    {CUT} AS cut
FROM evolution_completed
WHERE event_id = toUUIDOrZero({{event:String}}) AND candidate IS NOT NULL"""

#: The state that each parent had when the evolution began: its last evolution that was kept, else its last
#: one, as the candidates of a run have one each. Without parents it is the agent's own last state.
DIFFERENCE = f"""WITH
(
    SELECT
        (
            any(agent_id),
            any(least(started_at, occurred_at - INTERVAL 1 MICROSECOND)),
            any(arrayDistinct(arrayFilter(
                x -> x != '', arrayPushFront(parent_agent_ids, ifNull(parent_agent_id, ''))
            ))),
            any(candidate),
            any({CUT})
        )
    FROM evolution_completed
    WHERE event_id = toUUIDOrZero({{event:String}})
) AS child
SELECT
    parent AS parent_agent_id,
    if(p.agent_id = '', NULL, p.event_id) AS parent_event_id,
    p.text AS parent_text,
    p.cut AS parent_cut,
    child.4 AS text,
    child.5 AS cut
FROM (SELECT arrayJoin(if(empty(child.3), [child.1], child.3)) AS parent) AS c
LEFT JOIN
(
    SELECT agent_id, event_id, candidate AS text, {CUT} AS cut
    FROM evolution_completed
    WHERE (agent_id, occurred_at, event_id) IN
    (
        SELECT agent_id, occurred_at, event_id
        FROM evolution_completed
        WHERE agent_id IN (SELECT arrayJoin(if(empty(child.3), [child.1], child.3)))
            AND candidate IS NOT NULL
            AND (agent_id != child.1 OR success AND occurred_at <= child.2)
        ORDER BY occurred_at <= child.2 DESC, success DESC, occurred_at DESC
        LIMIT 1 BY agent_id
    )
) AS p ON c.parent = p.agent_id
WHERE child.4 IS NOT NULL AND (parent != child.1 OR p.text IS NOT NULL)
ORDER BY indexOf(child.3, parent)"""


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
    axis = alt.X("share:Q", title="Change, of what it was before", axis=alt.Axis(format="+~%", tickCount=6))
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
        Section(
            "difference",
            "Difference to its parents",
            DIFFERENCE,
            event,
            note="From what each parent's last evolution before this one left: - was removed, + added.",
            kind="difference",
            empty="There is no text of a parent to compare it with.",
        ),
        Section("metadata", "Metadata", METADATA, event, empty="None."),
    )


PAGE = Page(
    "candidate",
    "Candidate",
    "One evolution: what it changed, what it cost, and its text.",
    sections,
    (Choice("event", "Event"),),
    listed=False,
)
