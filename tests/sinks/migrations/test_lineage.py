"""The views on lineage and on what was known at a time, on a real engine."""

from __future__ import annotations

import dataclasses

import pytest

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionMetrics
from evometrics.schemas.ids import new_event_id
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.sinks import evolution, sent

MINUTE = 60_000_000
BEGIN = 1_900_000_000_000_000 - 1000 * MINUTE


def step(agent: str, parent: str | None, minute: float, *, success: bool = True) -> EvolutionCompleted:
    """Return an evolution that ended at a minute, and began half a minute before."""
    at = round(BEGIN + minute * MINUTE)
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
        parent_agent_id=parent,
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
