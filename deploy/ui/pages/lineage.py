"""What an agent was made from and what was made from it, merges included."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import altair as alt

from evometrics.deploy.ui import charts
from evometrics.deploy.ui.ancestry import gains, lineage, nothing
from evometrics.deploy.ui.layout import places
from evometrics.deploy.ui.page import Ask, Choice, Page, Rows, Section, address
from evometrics.deploy.ui.pages.agent import LAST_AGENTS

#: Edges of the graph at most, the nearest first.
MOST_EDGES = 400

#: Edges with the layer of their child: the agent is in layer 0, its ancestors are below, its offspring above.
KEPT = """SELECT
    child_agent_id AS child,
    agent_id AS parent,
    1 - toInt32(distance) AS layer,
    event_id,
    'succeeded' AS status,
    strategy_used,
    gain
FROM agent_ancestors(agent = {agent:String})
UNION ALL
SELECT
    agent_id AS child,
    parent_agent_id AS parent,
    toInt32(distance) AS layer,
    event_id,
    'succeeded' AS status,
    strategy_used,
    gain
FROM agent_descendants(agent = {agent:String})"""

#: Completions, of which the views make the lineage, are kept for 90 days.
NOT_KEPT = """SELECT
    agent_id AS child,
    arrayJoin(parent_agent_ids) AS parent,
    toInt32(1) AS layer,
    source_event_id AS event_id,
    status,
    strategy_used,
    improvement_delta AS gain
FROM evolution_metrics
WHERE NOT success
    AND occurred_at >= now() - toIntervalDay(90)
    AND has(parent_agent_ids, {agent:String})
    AND run_id IN (SELECT run_id FROM evolution_metrics WHERE agent_id = {agent:String})"""

EDGES = """SELECT child, parent, layer, event_id, status, strategy_used, gain
FROM
(
{edges}
)
ORDER BY abs(layer), child, parent
LIMIT {most:UInt32}"""


def nearest(agent: str, not_kept: bool) -> Callable[[Ask], Awaitable[Rows]]:
    """Return what finds the rows of `EDGES` without reading every completion."""

    async def find(ask: Ask) -> Rows:
        others = ask(NOT_KEPT, {"agent": agent}) if not_kept else nothing()
        (above, below), tried = await asyncio.gather(lineage(ask, agent, MOST_EDGES), others)
        layers = [(1 - edge.distance, edge) for edge in above] + [(edge.distance, edge) for edge in below]
        rows: list[dict[str, Any]] = [
            {
                "child": edge.step.agent,
                "parent": edge.parent,
                "layer": layer,
                "event_id": edge.step.event_id,
                "status": "succeeded",
                "strategy_used": edge.step.strategy,
                "gain": None,
            }
            for layer, edge in layers
        ]
        rows += [dict(row) for row in tried]
        rows = sorted(rows, key=lambda row: (abs(row["layer"]), row["child"], row["parent"]))[:MOST_EDGES]
        gained = await gains(ask, [edge for _, edge in layers])
        return [{**row, "gain": gained.get(row["event_id"], row["gain"])} for row in rows]

    return find


def graph(agent: str) -> Any:
    """Return what draws the edges of an agent's lineage."""

    def draw(rows: Rows) -> dict[str, Any]:
        layers: dict[str, int] = {agent: 0}
        about: dict[str, Mapping[str, Any]] = {}
        for row in rows:
            layers.setdefault(str(row["child"]), row["layer"])
            about.setdefault(str(row["child"]), row)
        for row in rows:
            layers.setdefault(str(row["parent"]), row["layer"] - 1)
        pairs = [(str(row["parent"]), str(row["child"])) for row in rows]
        across = places(layers, pairs)
        edges = [
            {
                "status": row["status"],
                "x": layers[parent],
                "x2": layers[child],
                "y": across[parent],
                "y2": across[child],
            }
            for row, (parent, child) in zip(rows, pairs, strict=True)
        ]
        nodes = [
            {
                "agent": node,
                "status": about[node]["status"] if node in about else "succeeded",
                "strategy": about[node]["strategy_used"] if node in about else "",
                "gain": about[node]["gain"] if node in about else None,
                "x": layers[node],
                "y": across[node],
                "link": address("lineage", agent=node),
                "size": 200 if node == agent else 80,
            }
            for node in layers
        ]
        axis = alt.X("x:Q", title="Generations from the agent", axis=alt.Axis(tickMinStep=1, grid=False))
        hidden = alt.Y("y:Q", axis=None)
        lines = (
            alt.Chart(charts.data(edges))
            .mark_rule(opacity=0.6)
            .encode(x=axis, x2="x2:Q", y=hidden, y2="y2:Q", color=charts.status_colour())
        )
        dots = (
            alt.Chart(charts.data(nodes))
            .mark_point(filled=True, opacity=1)
            .encode(
                x=axis,
                y=hidden,
                color=charts.status_colour(),
                shape=charts.status_shape(),
                size=alt.Size("size:Q", legend=None, scale=None),
                href="link:N",
                tooltip=charts.tooltip(
                    ("agent:N", "agent"),
                    ("status:N", "status"),
                    ("strategy:N", "strategy"),
                    ("gain:Q", "gain"),
                ),
            )
        )
        layers_drawn: list[alt.Chart] = [lines, dots]
        if len(nodes) <= 60:
            layers_drawn.append(dots.mark_text(dy=-10, fontSize=9).encode(text="agent:N"))
        height = min(900, max(160, 22 * max(list(layers.values()).count(n) for n in set(layers.values()))))
        return charts.layered(
            layers_drawn, f"What {agent} was made from and what was made from it.", height=height
        )

    return draw


def sections(state: Mapping[str, str]) -> Sequence[Section]:
    """Return the page's sections."""
    agent = state["agent"]
    if not agent:
        return (
            Section(
                "agents", "Agents of the last day", LAST_AGENTS, links={"agent_id": ("lineage", "agent")}
            ),
        )
    not_kept = state["show"] == "all"
    edges = f"{KEPT}\nUNION ALL\n{NOT_KEPT}" if not_kept else KEPT
    return (
        Section(
            "graph",
            "Ancestors and offspring",
            EDGES.replace("{edges}", edges),
            {"agent": agent, "most": MOST_EDGES},
            graph(agent),
            find=nearest(agent, not_kept),
            note=f"A merge has an edge from each parent. At most the nearest {MOST_EDGES} edges are shown.",
            links={
                "child": ("lineage", "agent"),
                "parent": ("lineage", "agent"),
                "event_id": ("candidate", "event"),
            },
            empty="It was made from no other agent, and none was made from it.",
        ),
    )


PAGE = Page(
    "lineage",
    "Lineage",
    "Which agents an agent was made from, and which were made from it.",
    sections,
    (
        Choice("agent", "Agent", suggestions=LAST_AGENTS),
        Choice("show", "Show", "kept", {"kept": "what was kept", "all": "offspring that was not kept, too"}),
    ),
)
