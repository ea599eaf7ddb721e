"""Runs and nodes at present: attempts, success, gain, cost, and what failed and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evometrics.deploy.ui import charts
from evometrics.deploy.ui.page import Page, Rows, Section
from evometrics.deploy.ui.pages.statements import ENDED, GAIN, HOURS, RATES, SINCE

SUMS = f"""{ENDED} AS attempts,
    countIf(success) AS succeeded,
    {RATES},
    {GAIN} AS mean_gain,
    sumOrNull(cost_usd) AS cost_usd"""

NOW = f"""SELECT
    {SUMS},
    uniqExact(agent_id) AS agents,
    uniqExact(node_id) AS nodes,
    max(occurred_at) AS last_at
FROM evolution_metrics
WHERE {SINCE} AND NOT endsWith(evolution_type, '_run')
HAVING count() > 0"""

BY_TIME = f"""SELECT
    toStartOfInterval(occurred_at, toIntervalSecond({{seconds:UInt32}})) AS time,
    status,
    count() AS evolutions
FROM evolution_metrics
WHERE {SINCE} AND NOT endsWith(evolution_type, '_run')
GROUP BY time, status
ORDER BY time, status"""

RUNS = f"""SELECT
    run_id,
    evolution_type,
    {SUMS},
    min(started_at) AS began_at,
    max(occurred_at) AS last_at
FROM evolution_metrics
WHERE {SINCE} AND NOT endsWith(evolution_type, '_run')
GROUP BY run_id, evolution_type
ORDER BY last_at DESC
LIMIT 200"""

NODES = f"""SELECT
    node_id,
    {SUMS},
    max(occurred_at) AS last_at
FROM evolution_metrics
WHERE {SINCE} AND NOT endsWith(evolution_type, '_run')
GROUP BY node_id
ORDER BY last_at DESC
LIMIT 1000"""

#: Texts that differ in their numbers alone are one reason.
REASON = "if(empty(insights), '(no reason was recorded)', insights[1])"
NUMBERS = "[0-9]+(\\\\.[0-9]+)?"
MOST_REASONS = 12

REASONS = f"""SELECT
    count() AS failures,
    replaceRegexpAll({REASON}, '{NUMBERS}', '…') AS reason,
    argMax({REASON}, occurred_at) AS last_reason,
    uniqExact(agent_id) AS agents,
    arraySort(groupUniqArray(5)(strategy_used)) AS strategies,
    max(occurred_at) AS last_at,
    argMax(event_id, occurred_at) AS last_event
FROM evolution_completed
WHERE {SINCE} AND status = 'failed'
GROUP BY reason
ORDER BY failures DESC, reason
LIMIT {MOST_REASONS}"""

FAILED = f"""SELECT
    occurred_at,
    event_id,
    agent_id,
    evolution_type,
    strategy_used,
    status,
    insights[1] AS reason
FROM evolution_completed
WHERE {SINCE} AND status = 'failed'
ORDER BY occurred_at DESC
LIMIT 50"""

#: Bars of the chart.
BARS = 48


def by_time(seconds: int) -> Any:
    """Return what draws evolutions by time, so many seconds a bar, and status."""

    def draw(rows: Rows) -> dict[str, Any]:
        bars = charts.bars(rows, seconds, "evolutions").encode(
            color=charts.status_colour(rows),
            tooltip=charts.tooltip(
                ("time:T", "time"), ("status:N", "status"), ("evolutions:Q", "evolutions")
            ),
        )
        return charts.layered([bars], "Evolutions that ended, by time and status.")

    return draw


def sections(state: Mapping[str, str]) -> Sequence[Section]:
    """Return the page's sections."""
    hours = int(state["hours"])
    values, seconds = {"hours": hours}, hours * 3600 // BARS
    return (
        Section(
            "now",
            "In short",
            NOW,
            values,
            kind="figures",
            note="The interval of the success rate is Wilson's, 95 %.",
        ),
        Section("by-time", "Evolutions", BY_TIME, {**values, "seconds": seconds}, by_time(seconds)),
        Section(
            "reasons",
            "What failed, and why",
            REASONS,
            values,
            note="Reasons that differ in their numbers alone are one.",
            links={"last_event": ("candidate", "event")},
            empty="Nothing failed.",
        ),
        Section("runs", "Runs", RUNS, values, links={"run_id": ("run", "run")}),
        Section("nodes", "Nodes", NODES, values),
        Section(
            "failed",
            "Last failures",
            FAILED,
            values,
            links={"agent_id": ("agent", "agent"), "event_id": ("candidate", "event")},
            empty="Nothing failed.",
        ),
    )


PAGE = Page("tonight", "Tonight", "What runs now, how it goes, and what failed.", sections, (HOURS,))
