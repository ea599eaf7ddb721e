"""An agent's lineage as the views find it, sooner.

`agent_ancestors` and `agent_descendants` read every completion. Here an agent's steps are read by its id, and
with those of a run all others of it, of which most of a lineage is; then the way is gone in memory, again
until no agent on it is left whose steps are not known. The rows are those of the views, the nearest first.
"""

from __future__ import annotations

import asyncio
import bisect
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from evometrics.deploy.ui.page import Ask, Rows

PARENTS = """arrayDistinct(arrayFilter(
        x -> x != '' AND x != agent_id, arrayPushFront(parent_agent_ids, ifNull(parent_agent_id, ''))
    ))"""
STEPS = f"""SELECT
    event_id,
    agent_id,
    {PARENTS} AS parents,
    occurred_at,
    least(started_at, occurred_at - toIntervalMicrosecond(1)) AS began_at,
    strategy_used,
    run_id
FROM evolution_completed
WHERE success AND notEmpty(parents)"""
OF_AGENTS = f"{STEPS} AND agent_id IN {{agents:Array(String)}}"
FROM_AGENTS = f"{STEPS} AND hasAny(parents, {{agents:Array(String)}})"
SPAN = "(SELECT (min(first_at), max(last_at)) FROM evolution_runs WHERE run_id IN {runs:Array(String)})"
OF_RUNS = f"""{STEPS} AND run_id IN {{runs:Array(String)}}
    AND occurred_at >= tupleElement({SPAN}, 1)
    AND occurred_at <= tupleElement({SPAN}, 2)"""
GAINS = """SELECT source_event_id, improvement_delta
FROM evolution_metrics
WHERE agent_id IN {agents:Array(String)}
    AND occurred_at >= {since:DateTime64(6)}
    AND occurred_at <= {until:DateTime64(6)}
    AND source_event_id IN {events:Array(UUID)}"""
#: Runs of which all steps are read at a time; of others they are read by agent.
RUNS_AT_ONCE = 8


@dataclass(frozen=True, slots=True, eq=False)
class KeptStep:
    """An evolution that was kept, and made an agent from others."""

    event_id: object
    agent: str
    parents: tuple[str, ...]
    ended_at: datetime
    began_at: datetime
    strategy: str
    run: str | None


class Edge(NamedTuple):
    """One parent of a step; `distance`: generations, 1 for its own steps and for its children."""

    distance: int
    step: KeptStep
    parent: str


@dataclass(slots=True)
class Steps:
    """The steps that are known.

    Attributes:
        by_agent: each agent's, in their order, by when they ended.
        by_parent: those that an agent was a parent in.
        made: agents all of whose steps are known.
        makers: agents of whom all are known in which they were a parent.
        runs: runs all of whose steps are known.
        by_event: every step, by its event's id.
    """

    by_event: dict[object, KeptStep] = field(default_factory=dict)
    by_agent: dict[str, list[tuple[datetime, str, KeptStep]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    by_parent: dict[str, list[KeptStep]] = field(default_factory=lambda: defaultdict(list))
    made: set[str] = field(default_factory=set)
    makers: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)

    def add(self, rows: Rows) -> None:
        """Add steps that were read; those that are known already stay."""
        for row in rows:
            if row["event_id"] in self.by_event:
                continue
            step = KeptStep(
                row["event_id"],
                row["agent_id"],
                tuple(row["parents"]),
                row["occurred_at"],
                row["began_at"],
                row["strategy_used"],
                row["run_id"],
            )
            self.by_event[step.event_id] = step
            bisect.insort(self.by_agent[step.agent], (step.ended_at, str(step.event_id), step), key=order)
            for parent in step.parents:
                self.by_parent[parent].append(step)

    def last(self, agent: str, until: datetime | None = None) -> KeptStep | None:
        """Return the last step that had made an agent by then; None where none had."""
        steps = self.by_agent.get(agent, [])
        place = len(steps) if until is None else bisect.bisect_right(steps, until, key=lambda each: each[0])
        return steps[place - 1][2] if place else None

    async def load(self, ask: Ask, made: set[str], makers: set[str]) -> None:
        """Read the steps of agents, those that others are parents in, and all of the runs of these."""
        own = ask(OF_AGENTS, {"agents": sorted(made)}) if made else nothing()
        of_others = ask(FROM_AGENTS, {"agents": sorted(makers)}) if makers else nothing()
        for rows in await asyncio.gather(own, of_others):
            self.add(rows)
        self.made |= made
        self.makers |= makers
        near = [step for agent in made for _, _, step in self.by_agent.get(agent, [])[-1:]]
        near += [step for agent in makers for step in self.by_parent.get(agent, [])]
        runs = {step.run for step in near if step.run is not None} - self.runs
        if some := sorted(runs)[:RUNS_AT_ONCE]:
            self.add(await ask(OF_RUNS, {"runs": some}))
            self.runs |= set(some)


async def nothing() -> Rows:
    """Return no rows."""
    return ()


def order(each: tuple[datetime, str, KeptStep]) -> tuple[datetime, str]:
    """Return what steps of an agent are sorted by."""
    return each[:2]


class Found(NamedTuple):
    """Edges by what is known, and of whom more has to be known for them to be right."""

    edges: list[Edge]
    made: set[str]
    makers: set[str]


def ancestors(steps: Steps, agent: str, most: int) -> Found:
    """Go from an agent's present state to its ancestors, until there are so many edges."""
    edges: list[Edge] = []
    wanted = {agent}
    layer = [step] if (step := steps.last(agent)) else []
    seen = {id(step) for step in layer}
    distance = 0
    while layer and len(edges) < most:
        distance += 1
        above = []
        for step in layer:
            for parent in step.parents:
                edges.append(Edge(distance, step, parent))
                wanted.add(parent)
                maker = steps.last(parent, step.began_at)
                if maker is not None and id(maker) not in seen:
                    seen.add(id(maker))
                    above.append(maker)
        layer = above
    return Found(edges, wanted - steps.made, set())


def descendants(steps: Steps, agent: str, most: int) -> Found:
    """Go from all states of an agent to what was made from them, until there are so many edges."""
    edges = [Edge(1, step, agent) for step in steps.by_parent.get(agent, [])]
    made, makers = set[str](), {agent}
    layer = [edge.step for edge in edges]
    seen = {id(step) for step in layer}
    distance = 1
    while layer and len(edges) < most:
        distance += 1
        below = []
        for maker in layer:
            made.add(maker.agent)
            makers.add(maker.agent)
            for step in steps.by_parent.get(maker.agent, []) if maker.agent != agent else ():
                if steps.last(maker.agent, step.began_at) is not maker:
                    continue
                edges.append(Edge(distance, step, maker.agent))
                if id(step) not in seen:
                    seen.add(id(step))
                    below.append(step)
        layer = below
    return Found(edges, made - steps.made, makers - steps.makers)


async def lineage(ask: Ask, agent: str, most: int) -> tuple[list[Edge], list[Edge]]:
    """Return the nearest edges to ancestors, and to descendants."""
    steps = Steps()
    while True:
        above, below = ancestors(steps, agent, most), descendants(steps, agent, most)
        made = above.made | below.made
        if not made and not below.makers:
            return above.edges, below.edges
        await steps.load(ask, made, below.makers)


async def gains(ask: Ask, edges: Iterable[Edge]) -> dict[object, float | None]:
    """Return how much better the performance got by each step, by its event's id."""
    steps = {edge.step.event_id: edge.step for edge in edges}
    if not steps:
        return {}
    ended = [step.ended_at for step in steps.values()]
    values = {
        "agents": sorted({step.agent for step in steps.values()}),
        "since": min(ended),
        "until": max(ended),
        "events": [str(event) for event in steps],
    }
    return {row["source_event_id"]: row["improvement_delta"] for row in await ask(GAINS, values)}
