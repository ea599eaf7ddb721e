"""The pipeline itself: what waits on nodes, what could not be read or stored, and what nodes report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from evometrics.deploy.ui import charts
from evometrics.deploy.ui.page import Page, Rows, Section
from evometrics.deploy.ui.pages.statements import HOURS, SINCE

NODES = f"""SELECT
    node_id,
    last.1 AS reported_at,
    dateDiff('second', reported_at, now64(6)) AS seconds_ago,
    JSONExtractUInt(last.2, 'outbox_depth') AS outbox_depth,
    JSONExtractUInt(last.2, 'outbox_bytes') AS outbox_bytes,
    JSONExtractUInt(last.2, 'rejected') AS rejected,
    arraySum(mapValues(JSONExtract(last.2, 'shed', 'Map(String, UInt64)'))) AS shed,
    arraySum(mapValues(JSONExtract(last.2, 'left_out', 'Map(String, UInt64)'))) AS left_out
FROM
(
    SELECT node_id, argMax((occurred_at, data), occurred_at) AS last
    FROM system_events
    WHERE event_type = 'collector_health' AND {SINCE}
    GROUP BY node_id
)
ORDER BY outbox_depth DESC, reported_at
LIMIT 1000"""

LETTERS_BY_REASON = f"""SELECT
    stage,
    source_topic,
    reason,
    count() AS messages,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at
FROM dead_letters
WHERE {SINCE}
GROUP BY stage, source_topic, reason
ORDER BY messages DESC
LIMIT 100"""

LETTERS = f"""SELECT
    occurred_at,
    stage,
    source_topic,
    source_partition,
    source_offset,
    reason,
    agent_id,
    length(message_value) AS bytes,
    hex(substring(message_value, 1, 64)) AS first_bytes
FROM dead_letters
WHERE {SINCE}
ORDER BY occurred_at DESC
LIMIT 100"""

EVENTS = f"""SELECT
    toStartOfInterval(occurred_at, toIntervalSecond({{seconds:UInt32}})) AS time,
    event_type,
    count() AS events
FROM system_events
WHERE {SINCE}
GROUP BY time, event_type
ORDER BY time, event_type"""

BARS = 48


def events(rows: Rows) -> dict[str, Any]:
    """Draw what nodes reported over time."""
    chart = (
        alt.Chart(charts.data(rows))
        .mark_bar()
        .encode(
            x=alt.X("time:T", title="Time (UTC)", scale=alt.Scale(type="utc")),
            y=alt.Y("events:Q", title="Events"),
            color=alt.Color("event_type:N", title="Event"),
            tooltip=charts.tooltip(("time:T", "time"), ("event_type:N", "event"), ("events:Q", "events")),
        )
    )
    return charts.layered([chart], "Events of nodes over time, by kind.")


def sections(state: Mapping[str, str]) -> Sequence[Section]:
    """Return the page's sections."""
    hours = int(state["hours"])
    values = {"hours": hours}
    return (
        Section(
            "nodes",
            "Outboxes",
            NODES,
            values,
            note="What each node's collector reported last; a node that is silent reports nothing.",
            empty="No collector has reported.",
        ),
        Section("reasons", "Dead letters by reason", LETTERS_BY_REASON, values, empty="There are none."),
        Section(
            "letters",
            "Dead letters",
            LETTERS,
            values,
            note="`evometrics dead-letters show` prints a message whole, `retry` sends it again.",
            empty="There are none.",
        ),
        Section("events", "System events", EVENTS, {**values, "seconds": hours * 3600 // BARS}, events),
    )


PAGE = Page(
    "pipeline",
    "Pipeline",
    "What waits on nodes, and what could not be read or stored.",
    sections,
    (HOURS,),
)
