"""The pipeline itself: what waits on nodes, what could not be read or stored, and what nodes report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from evometrics.deploy.ui import charts
from evometrics.deploy.ui.page import Page, Rows, Section
from evometrics.deploy.ui.pages.statements import HOURS, SINCE
from evometrics.sinks.letters.letters import RETRIED, RETRIED_SQL

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

#: The messages that were sent again.
SENT_AGAIN = f"(source_topic, source_partition, source_offset) IN ({RETRIED_SQL})"

LETTERS_BY_REASON = f"""SELECT
    stage,
    source_topic,
    reason,
    count() AS messages,
    countIf(NOT {SENT_AGAIN}) AS open,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at
FROM dead_letters
WHERE {SINCE}
GROUP BY stage, source_topic, reason
ORDER BY messages DESC
LIMIT 100"""

#: The newest are found without reading what they hold.
LETTERS = f"""SELECT
    toString(argMin(event_id, stage)) AS event_id,
    max(occurred_at) AS occurred_at,
    if({SENT_AGAIN}, 'sent again', 'open') AS state,
    arrayStringConcat(arraySort(groupArray(stage)), ', ') AS stages,
    source_topic,
    source_partition,
    source_offset,
    argMin(reason, stage) AS reason,
    any(agent_id) AS agent_id,
    max(length(message_value)) AS bytes
FROM dead_letters
WHERE (source_topic, source_partition, source_offset) IN
(
    SELECT source_topic, source_partition, source_offset
    FROM dead_letters
    WHERE {SINCE}
    GROUP BY source_topic, source_partition, source_offset
    ORDER BY max(occurred_at) DESC
    LIMIT 100
)
GROUP BY source_topic, source_partition, source_offset
ORDER BY occurred_at DESC, source_topic, source_partition, source_offset DESC"""

EVENTS = f"""SELECT
    toStartOfInterval(occurred_at, toIntervalSecond({{seconds:UInt32}})) AS time,
    event_type,
    count() AS events
FROM system_events
WHERE {SINCE}
GROUP BY time, event_type
ORDER BY time, event_type"""

BARS = 48


def events(seconds: int) -> Any:
    """Return what draws the events that nodes reported, so many seconds a bar."""

    def draw(rows: Rows) -> dict[str, Any]:
        bars = charts.bars(rows, seconds, "events").encode(
            color=alt.Color("event_type:N", title=None),
            tooltip=charts.tooltip(("time:T", "time"), ("event_type:N", "event"), ("events:Q", "events")),
        )
        return charts.layered([bars], "Events of nodes over time, by kind.")

    return draw


def sections(state: Mapping[str, str]) -> Sequence[Section]:
    """Return the page's sections."""
    hours = int(state["hours"])
    values, seconds = {"hours": hours}, hours * 3600 // BARS
    of_letters = {**values, "retried": RETRIED}
    return (
        Section(
            "nodes",
            "Outboxes",
            NODES,
            values,
            note="What each node's collector reported last; a node that is silent reports nothing.",
            empty="No collector has reported.",
            actions={"How far stream and sink are behind Kafka …": "/lag"},
        ),
        Section("reasons", "Dead letters by reason", LETTERS_BY_REASON, of_letters, empty="There are none."),
        Section(
            "letters",
            "Dead letters",
            LETTERS,
            of_letters,
            note="The newest 100 messages that could not be read or stored. An id leads to the bytes.",
            links={"event_id": ("letter", "id"), "agent_id": ("agent", "agent")},
            empty="There are none.",
            actions={"Send open messages again …": "/retry"},
        ),
        Section("events", "System events", EVENTS, {**values, "seconds": seconds}, events(seconds)),
    )


PAGE = Page(
    "pipeline",
    "Pipeline",
    "What waits on nodes, and what could not be read or stored.",
    sections,
    (HOURS,),
)
