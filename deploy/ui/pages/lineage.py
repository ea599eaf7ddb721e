"""What an agent was made from and what was made from it, merges included."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import altair as alt

from evometrics.deploy.ui import charts
from evometrics.deploy.ui.ancestry import gains, lineage, nothing
from evometrics.deploy.ui.layout import best_path, generations, places
from evometrics.deploy.ui.looks import ACCENT, INK, SOFT
from evometrics.deploy.ui.page import Ask, Choice, Page, Rows, Section, address
from evometrics.deploy.ui.pages.agent import LAST_AGENTS

#: Edges of the graph at most, the nearest first.
MOST_EDGES = 400
#: So many agents all have their names beside them; of more, the agent and both ends of the best path.
ALL_NAMED = 14
#: Most characters of a name in the chart.
LONGEST = 18
KEPT_STATUS = "succeeded"

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
        about = {str(row["child"]): row for row in reversed(rows)}
        gains = {(str(row["parent"]), str(row["child"])): row["gain"] for row in rows}
        born = generations(gains)
        layers = {node: number - born.get(agent, 0) for node, number in born.items()}
        rows = [row for row in rows if str(row["parent"]) in layers and str(row["child"]) in layers]
        pairs = [(str(row["parent"]), str(row["child"])) for row in rows]
        across = places(layers, pairs)
        best = best_path({pair: gains[pair] for pair in pairs if about[pair[1]]["status"] == KEPT_STATUS})
        steps = set(pairwise(best))
        edges = [
            {
                "kind": "best" if pair in steps else "kept" if row["status"] == KEPT_STATUS else "not kept",
                "x": layers[pair[0]],
                "x2": layers[pair[1]],
                "y": across[pair[0]],
                "y2": across[pair[1]],
            }
            for row, pair in zip(rows, pairs, strict=True)
        ]
        named = set(layers) if len(layers) <= ALL_NAMED else {agent, *best[:1], *best[-1:]}
        nodes = [
            {
                "agent": node,
                "name": short(node) if node in named else "",
                "status": about[node]["status"] if node in about else KEPT_STATUS,
                "strategy": about[node]["strategy_used"] if node in about else "",
                "gain": about[node]["gain"] if node in about else None,
                "x": layers[node],
                "y": across[node],
                "link": address("lineage", agent=node),
                "size": 260 if node == agent else 110 if node in best else 70,
            }
            for node in layers
        ]
        axis = alt.X(
            "x:Q",
            title="Generations from the agent",
            axis=alt.Axis(tickMinStep=1, format="d"),
            scale=alt.Scale(nice=False, padding=24),
        )
        hidden = alt.Y("y:Q", axis=None, scale=alt.Scale(padding=16))
        lines = (
            alt.Chart(charts.data(edges))
            .mark_rule(strokeCap="round")
            .encode(
                x=axis,
                x2="x2:Q",
                y=hidden,
                y2="y2:Q",
                color=by_kind(ACCENT, SOFT, SOFT),
                strokeWidth=by_kind(3.5, 1.2, 1),
                strokeDash=by_kind([1, 0], [1, 0], [3, 4]),
                opacity=by_kind(0.9, 0.6, 0.5),
            )
        )
        dots = (
            alt.Chart(charts.data(nodes))
            .mark_point(filled=True, opacity=1)
            .encode(
                x=axis,
                y=hidden,
                color=charts.status_colour(nodes),
                shape=charts.status_shape(nodes),
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
        words = (
            alt.Chart(charts.data([node for node in nodes if node["name"]]))
            .mark_text(dy=-14, fontSize=11, fontWeight=600, color=INK)
            .encode(x=axis, y=hidden, text="name:N")
        )
        widest = max(Counter(layers.values()).values())
        return charts.layered(
            [lines, dots, words],
            f"What {agent} was made from and what was made from it; {told(best)}",
            height=min(900, max(200, 30 * widest)),
        )

    return draw


def by_kind(best: Any, kept: Any, not_kept: Any) -> Any:
    """Return the value that an edge has by its kind."""
    return (
        alt.when(alt.datum.kind == "best")
        .then(alt.value(best))
        .when(alt.datum.kind == "kept")
        .then(alt.value(kept))
        .otherwise(alt.value(not_kept))
    )


def told(best: Sequence[str]) -> str:
    """Return the best path in words."""
    return (
        f"the line that gained most leads from {best[0]} to {best[-1]}." if best else "none gained anything."
    )


def short(agent: str) -> str:
    """Return what an agent is called in the chart: a candidate's name without its run."""
    name = agent.rsplit("/", 1)[-1] or agent
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


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
            note="The thick line is the line of descent that gained most; a merge has an edge from each "
            f"parent. At most the nearest {MOST_EDGES} edges are shown.",
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
