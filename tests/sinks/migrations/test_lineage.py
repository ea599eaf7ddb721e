"""The views on lineage and on what was known at a time, on a real engine."""

from __future__ import annotations

import dataclasses
import random

import pytest

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionMetrics
from evometrics.schemas.ids import new_event_id
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.sinks import evolution, sent

MINUTE = 60_000_000
BEGIN = 1_900_000_000_000_000 - 1000 * MINUTE


def step(
    agent: str, parent: str | tuple[str, ...] | None, minute: float, *, success: bool = True
) -> EvolutionCompleted:
    """Return an evolution that ended at a minute, and began half a minute before.

    One parent is named as earlier versions do.
    """
    at = round(BEGIN + minute * MINUTE)
    parents = list(parent) if isinstance(parent, tuple) else []
    return EvolutionCompleted(
        event_id=new_event_id(),
        agent_id=agent,
        node_id="n",
        occurred_at=at,
        evolution_id=f"{agent}-{minute}",
        started_at=at - MINUTE // 2,
        strategy_used="mutation",
        success=success,
        status="succeeded" if success else "rolled_back",
        parent_agent_id=parents[0] if parents else parent if isinstance(parent, str) else None,
        parent_agent_ids=parents,
    )


def gained(done: EvolutionCompleted, gain: float) -> EvolutionMetrics:
    return evolution(
        done.agent_id,
        occurred_at=done.occurred_at,
        source_event_id=done.event_id,
        evolution_id=done.evolution_id,
        improvement_delta=gain,
    )


#: b was made from a and c from b; then b took the state of x, from which d was made, and a that of d.
STEPS = [
    step("b", "a", 1),
    step("b", None, 2),
    step("c", "b", 3),
    step("c", "nobody", 4, success=False),
    step("b", "x", 5),
    step("d", "b", 6),
    step("a", "d", 7),
    step("alone", "alone", 8),
]


@pytest.fixture
async def query(database: ClickHouseSettings) -> MetricsQuery:
    events: list[Event] = [*STEPS, gained(STEPS[0], 0.1), gained(STEPS[2], 0.2)]
    await fill(database, [sent(each, offset=place) for place, each in enumerate(events)])
    return MetricsQuery(database)


async def rows(query: MetricsQuery, text: str, **params: object) -> list[tuple[object, ...]]:
    async with query:
        return list(await query.sql(text, params))


@pytest.mark.parametrize(
    ("agent", "wanted"),
    [
        ("c", [(1, "b", "c", "c-3", 0.2), (2, "a", "b", "b-1", 0.1)]),
        ("d", [(1, "b", "d", "d-6", None), (2, "x", "b", "b-5", None)]),
        (
            "a",
            [(1, "d", "a", "a-7", None), (2, "b", "d", "d-6", None), (3, "x", "b", "b-5", None)],
        ),
        ("x", []),
        ("alone", []),
        ("it's nobody", []),
    ],
)
async def test_ancestors_are_those_whose_state_it_was(
    query: MetricsQuery, agent: str, wanted: list[tuple[object, ...]]
) -> None:
    text = (
        "SELECT distance, agent_id, child_agent_id, evolution_id, gain "
        "FROM agent_ancestors(agent = {agent:String}) ORDER BY distance"
    )
    assert await rows(query, text, agent=agent) == wanted


@pytest.mark.parametrize(
    ("agent", "wanted"),
    [
        ("a", [(1, "b", "a", "b-1"), (2, "c", "b", "c-3")]),
        ("x", [(1, "b", "x", "b-5"), (2, "d", "b", "d-6"), (3, "a", "d", "a-7")]),
        ("b", [(1, "c", "b", "c-3"), (1, "d", "b", "d-6"), (2, "a", "d", "a-7")]),
        ("c", []),
    ],
)
async def test_descendants_are_those_that_were_made_from_its_states(
    query: MetricsQuery, agent: str, wanted: list[tuple[object, ...]]
) -> None:
    text = (
        "SELECT distance, agent_id, parent_agent_id, evolution_id "
        "FROM agent_descendants(agent = {agent:String}) ORDER BY distance, occurred_at"
    )
    assert await rows(query, text, agent=agent) == wanted


#: m was merged from b, which came from a, and from c, which came from b and x; then n was made from m and a.
MERGED = [
    step("b", "a", 1),
    step("c", ("b", "x", "b"), 2),
    step("m", ("b", "c"), 3),
    step("lost", ("m", "c"), 4, success=False),
    step("n", ("m", "a"), 5),
]


async def test_a_merge_goes_back_to_both_its_parents_and_theirs(database: ClickHouseSettings) -> None:
    await fill(database, [sent(each, offset=place) for place, each in enumerate(MERGED)])
    query = MetricsQuery(database)
    ancestors = (
        "SELECT distance, agent_id, child_agent_id FROM agent_ancestors(agent = {agent:String}) ORDER BY ALL"
    )
    assert await rows(query, ancestors, agent="m") == [
        *((1, "b", "m"), (1, "c", "m")),
        *((2, "a", "b"), (2, "b", "c"), (2, "x", "c")),
    ]
    assert await rows(query, ancestors, agent="n") == [
        *((1, "a", "n"), (1, "m", "n"), (2, "b", "m"), (2, "c", "m")),
        *((3, "a", "b"), (3, "b", "c"), (3, "x", "c")),
    ]
    assert await rows(query, ancestors, agent="lost") == []
    descendants = ancestors.replace("child_agent_id", "parent_agent_id").replace("ancestors", "descendants")
    assert await rows(query, descendants, agent="x") == [(1, "c", "x"), (2, "m", "c"), (3, "n", "m")]
    assert await rows(query, descendants, agent="a") == [
        *((1, "b", "a"), (1, "n", "a"), (2, "c", "b"), (2, "m", "b")),
        *((3, "m", "c"), (3, "n", "m")),
    ]


async def test_the_whole_tree_has_the_candidates_that_were_not_kept(database: ClickHouseSettings) -> None:
    await fill(database, [sent(each, offset=place) for place, each in enumerate(MERGED)])
    text = (
        "SELECT agent_id, status, parent FROM evolution_completed "
        "ARRAY JOIN if(empty(parent_agent_ids) AND parent_agent_id IS NOT NULL, "
        "[assumeNotNull(parent_agent_id)], parent_agent_ids) AS parent WHERE NOT success"
    )
    assert await rows(MetricsQuery(database), text) == [
        *(("lost", "rolled_back", "m"), ("lost", "rolled_back", "c")),
    ]


async def test_ancestors_and_descendants_in_crossovers_are_those_of_a_plain_walk(
    database: ClickHouseSettings,
) -> None:
    rng = random.Random(5)
    events, parents = [], dict[str, tuple[str, ...]]()
    for generation in range(1, 31):
        for place in range(6):
            name = f"g{generation}-{place}"
            parents[name] = tuple(f"g{generation - 1}-{rng.randrange(6)}" for _ in range(rng.randrange(1, 4)))
            events.append(step(name, parents[name], generation))
    await fill(database, [sent(each, offset=place) for place, each in enumerate(events)])
    query = MetricsQuery(database)
    columns = (
        "SELECT DISTINCT distance, agent_id, {other}_agent_id FROM agent_{view}(agent = {{agent:String}})"
    )
    found = await rows(query, columns.format(other="child", view="ancestors"), agent="g30-2")
    assert sorted(found) == walked("g30-2", parents)
    children: dict[str, tuple[str, ...]] = {}
    for child, of_child in parents.items():
        for parent in dict.fromkeys(of_child):
            children[parent] = (*children.get(parent, ()), child)
    found = await rows(query, columns.format(other="parent", view="descendants"), agent="g0-3")
    assert sorted(found) == walked("g0-3", children)


def walked(first: str, following: dict[str, tuple[str, ...]]) -> list[tuple[object, ...]]:
    """Return each step of a breadth-first walk with its distance: how far, where to, where from."""
    distances, queue, steps = {first: 0}, [first], []
    for agent in queue:
        for other in dict.fromkeys(following.get(agent, ())):
            steps.append((distances[agent] + 1, other, agent))
            if other not in distances:
                distances[other] = distances[agent] + 1
                queue.append(other)
    return sorted(steps)


async def test_agents_that_copy_one_another_at_one_moment_are_no_circle(database: ClickHouseSettings) -> None:
    at = {"occurred_at": BEGIN, "started_at": BEGIN}
    pair = [dataclasses.replace(step("p", "q", 0), **at), dataclasses.replace(step("q", "p", 0), **at)]
    await fill(database, [sent(each, offset=place) for place, each in enumerate(pair)])
    text = "SELECT distance, agent_id FROM agent_ancestors(agent = 'p') ORDER BY distance"
    assert await rows(MetricsQuery(database), text) == [(1, "q")]


async def test_a_line_of_hundreds_is_walked(database: ClickHouseSettings) -> None:
    line = [step(f"a{n}", f"a{n - 1}", n) for n in range(1, 301)]
    await fill(database, [sent(each, offset=place) for place, each in enumerate(line)])
    text = "SELECT count(), max(distance), argMax(agent_id, distance) FROM agent_ancestors(agent = 'a300')"
    assert await rows(MetricsQuery(database), text) == [(300, 300, "a0")]
    text = "SELECT count(), max(distance) FROM agent_descendants(agent = 'a0')"
    assert await rows(MetricsQuery(database), text) == [(300, 300)]


async def test_what_was_known_at_a_time_is_what_the_broker_had(database: ClickHouseSettings) -> None:
    first = evolution("a", occurred_at=BEGIN, improvement_delta=0.1, version=0)
    corrected = dataclasses.replace(first, improvement_delta=0.2, version=1)
    later = evolution("a", occurred_at=BEGIN)
    second = 1_900_000_000_000
    for offset, (event, at) in enumerate([(first, 0), (corrected, 2000), (later, 4000)]):
        await fill(database, [sent(event, offset=offset, timestamp=second + at)])
    text = (
        "SELECT event_id, improvement_delta FROM evolution_metrics_as_of(at = {at:DateTime64(3)}) "
        "ORDER BY known_at"
    )

    async def known(at: int) -> list[tuple[str, object]]:
        moment = f"2030-03-17T17:46:{40 + at // 1000:02d}.{at % 1000:03d}Z"
        return [(str(e), gain) for e, gain in await rows(MetricsQuery(database), text, at=moment)]

    assert await known(-1000) == []
    assert await known(1999) == [(first.event_id, 0.1)]
    assert await known(2000) == [(first.event_id, 0.2)]
    assert [event for event, _ in await known(4000)] == [first.event_id, later.event_id]
