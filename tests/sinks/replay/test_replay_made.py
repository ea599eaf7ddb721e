"""Replay after retention: what comes of events that the sink has stored and the stream has never read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.evolutions.outcome import abandoned_metrics
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.topics import (
    DERIVED_TOPICS,
    EVOLUTION_METRICS,
    KPI_DELTAS,
    KPI_SNAPSHOTS,
    SUCCESS_RATES,
)
from evometrics.sinks.checksums import Checksum, checksums
from evometrics.sinks.raw.tables import RawSelection
from evometrics.sinks.replay.replay import replaying
from evometrics.sinks.replay.settings import ReplaySettings
from evometrics.sinks.retention import keep
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.streams.settings import StreamSettings
from tests.sinks.raw.test_raw_events import fill
from tests.sinks.replay.test_replay import BEGIN, HOUR, Stored, counts, replayed, wanted
from tests.support.generator import Load, generate
from tests.support.model import SECOND, differences, made_snapshots
from tests.support.pure_stream import SOURCES
from tests.support.sinks import WIRE
from tests.support.sinks import rows as query
from tests.support.tables import rows

#: Evolutions that never complete begin so early that the events tell, and no clock has to.
LOAD = Load(
    seed=31,
    begin=BEGIN,
    agents=12,
    evolutions=240,
    nodes=2,
    snapshots=0.6,
    unfinished=0.1,
    unfinished_earlier_hours=26.0,
)
SENT = generate(LOAD)
EVERY = [event for _, event in SENT]
#: What Kafka had then, retention took before the stream read it.
GONE_FROM, GONE_TO = BEGIN + 2 * HOUR, BEGIN + 10 * HOUR
CHECKED = (KPI_SNAPSHOTS, *DERIVED_TOPICS)
DAY = 24 * HOUR


def gone(at: int) -> bool:
    return GONE_FROM <= at < GONE_TO


def never_made() -> list[KpiSnapshot]:
    """The snapshots of events that the stream has not read, neither the first time nor sent again."""
    read = {event.event_id for at, event in SENT if not gone(at)}
    return made_snapshots(event for event in EVERY if event.event_id not in read)


async def put_passed_by(stored: Stored) -> None:
    """Store what a sink has of all events, and a stream that retention has passed."""
    stream = stored.stream
    messages = [stored.message(event, at) for at, event in SENT]
    for number, (at, event) in enumerate(SENT):
        if isinstance(event, SOURCES) and not gone(at):
            stream.publish(event)
        if number % 100 == 0:
            stream.run(stored.rng)
    stream.run(stored.rng)
    outputs = [message for outcome in stream.outcomes for message in outcome.messages]
    made = [WIRE.decode(message.value) for message in outputs if message.topic == KPI_SNAPSHOTS.name]
    messages += [stored.message(event, event.occurred_at) for event in made]
    messages += [stored.message(event, SENT[-1][0]) for event in stream.derived]
    await fill(stored.database, messages)


@pytest.fixture
def passed(database: ClickHouseSettings) -> ClickHouseSettings:
    asyncio.run(put_passed_by(Stored(database)))
    return database


async def sums(database: ClickHouseSettings) -> dict[str, Checksum]:
    return await checksums(database, CHECKED)


async def wrong(database: ClickHouseSettings, events: Sequence[Event]) -> dict[str, list[str]]:
    """Return where the tables are not what the model makes of events, by table."""
    model, found = wanted(events), dict[str, list[str]]()
    for topic in CHECKED:
        table = await asyncio.to_thread(rows, database.url, topic.record, database=database.database)
        if topic is KPI_SNAPSHOTS:
            every = [*events, *made_snapshots(events)]
            right = {e.event_id: e.to_record() for e in every if isinstance(e, KpiSnapshot)}
        else:
            right = getattr(model, topic.table)
        if said := differences(right, table):
            found[topic.table] = said
    return found


async def test_every_table_is_the_models_after_a_replay_and_a_second_one_makes_nothing(
    passed: ClickHouseSettings,
) -> None:
    before = await sums(passed)
    assert {table for table, said in (await wrong(passed, EVERY)).items() if len(said) > 30} == {
        topic.table for topic in CHECKED
    }
    dry = await replayed(passed)
    assert dry["kpi_snapshots"].counts["added"] == len(never_made()) > 30
    assert dry["evolution_metrics"].counts["gone"] > 0, "abandoned, for the stream has not read their ends"
    assert await sums(passed) == before

    assert counts(await replayed(passed, apply=True)) == counts(dry)
    assert await wrong(passed, EVERY) == {}

    right = await sums(passed)
    again = await replayed(passed, apply=True)
    assert counts(again) == {} and "kpi_snapshots" not in again
    assert await sums(passed) == right

    # what the stream makes after all is the same row again
    late = await query(passed, "SELECT count() FROM kpi_snapshots_rows WHERE _offset < 0")
    assert late == [(len(never_made()),)]
    stored = Stored(passed)
    await fill(passed, [stored.message(event, SENT[-1][0]) for event in never_made()])
    assert await sums(passed) == right
    # and a made one belongs to its agent's partition, in which its evolutions are computed
    places = await query(passed, "SELECT DISTINCT agent_id, _partition FROM kpi_snapshots_rows")
    assert {(agent, stored.stream.partition_of(agent)) for agent, _ in places} == set(places)


async def test_a_part_makes_the_snapshots_of_its_range_and_agents_and_of_no_table_that_is_not_meant(
    passed: ClickHouseSettings,
) -> None:
    before, made = await sums(passed), {e.event_id: e for e in never_made()}
    others = (EVOLUTION_METRICS, SUCCESS_RATES)
    assert set(await replayed(passed, topics=others)) == {topic.table for topic in others}

    since, until = BEGIN + 4 * HOUR, BEGIN + 7 * HOUR
    agents = tuple(sorted({e.agent_id for e in made.values() if since <= e.occurred_at < until})[:5])
    meant = {i for i, e in made.items() if since <= e.occurred_at < until and e.agent_id in agents}
    assert 2 < len(meant) < len(made) - 5
    part = {"since": since, "until": until, "agents": agents, "topics": (KPI_DELTAS,)}
    found = await replayed(passed, apply=True, **part)
    assert set(found) == {"kpi_snapshots", "kpi_deltas"} and found["kpi_snapshots"].counts["added"] == len(
        meant
    )
    there = await query(passed, "SELECT toString(event_id) FROM kpi_snapshots")
    assert made.keys() & {row[0] for row in there} == meant
    # also where the snapshot before it lies outside the part
    deltas = await asyncio.to_thread(rows, passed.url, "kpi_delta", database=passed.database)
    right = wanted(EVERY).kpi_deltas
    for event_id, row in right.items():
        if row["agent_id"] in agents and since <= row["occurred_at"] < until:
            assert differences({event_id: row}, {event_id: deltas[event_id]}) == []
    assert counts(await replayed(passed, **part)) == {}
    after = await sums(passed)
    assert {t for t in before if before[t] != after[t]} == {"kpi_snapshots", "kpi_deltas"}

    # the deltas alone, by several processes, in small slices
    settings = ReplaySettings(RawSelection((KPI_DELTAS,)), 0, slice_events=60, step_events=50, processes=2)
    async with replaying(passed, settings, StreamSettings()) as replay:
        done = await replay.compute(lambda number: None)
        assert done.events == replay.events and replay.made == len(made) - len(meant)
        await replay.compare()
        await replay.apply()
    assert set(await wrong(passed, EVERY)) == {"evolution_metrics", "success_rates"}


async def test_none_is_made_that_the_table_would_keep_no_more(database: ClickHouseSettings) -> None:
    """Evolutions are kept longer: their snapshots were there, and have gone."""
    stored, (start, done) = Stored(database), ended()
    await keep(database, "kpi_snapshots", 30)
    old = replace(start, occurred_at=start.occurred_at - 40 * DAY, snapshot_phases=["pre_evolution"])
    new = replace(done, snapshot_phases=["pre_evolution", "post_evolution"])
    await fill(database, [stored.message(old, old.occurred_at), stored.message(new, new.occurred_at)])
    found = await replayed(database, apply=True)
    assert found["kpi_snapshots"].counts["added"] == 2
    made = await query(database, "SELECT toString(source_event_id), phase FROM kpi_snapshots ORDER BY phase")
    assert made == [(new.event_id, "post_evolution"), (new.event_id, "pre_evolution")]
    assert "kpi_snapshots" not in await replayed(database)


def ended(
    agent: str = "agent-1", begun: int = BEGIN, seconds: int = 600
) -> tuple[EvolutionStarted, EvolutionCompleted]:
    """Return an evolution's start and completion."""
    head = {"agent_id": agent, "node_id": "node-0", "evolution_id": f"{agent}-of-{begun}"}
    start = EvolutionStarted(
        event_id=new_event_id(), occurred_at=begun, pre_kpis={"accuracy": 0.25}, strategy="tune", **head
    )
    done = EvolutionCompleted(
        event_id=new_event_id(),
        occurred_at=begun + seconds * SECOND,
        started_at=begun,
        pre_kpis={"accuracy": 0.25},
        post_kpis={"accuracy": 0.5},
        strategy_used="tune",
        status="succeeded",
        success=True,
        **head,
    )
    return start, done


async def test_a_report_of_what_had_completed_in_time_is_taken_back_and_no_other(
    database: ClickHouseSettings,
) -> None:
    stored = Stored(database)
    # when its completion came, and another one in its partition, so far on in event time that the first one
    # counts as abandoned; the start of the last came as history does, and the clock gives it a day from then
    cases = {
        "agent-1": ("in time", 0, HOUR, DAY + HOUR),
        "agent-2": ("after its deadline by the clock", 0, DAY + HOUR, DAY + 2 * HOUR),
        "agent-3": ("after another of its deadline's time", 0, 3 * HOUR, 2 * HOUR),
        "agent-4": (
            "in time, long after its deadline",
            60 * HOUR,
            60 * HOUR + SECOND,
            60 * HOUR + 2 * SECOND,
        ),
    }
    places = {agent: number for number, agent in enumerate(cases)}
    stored.stream.partition_of = places.__getitem__  # type: ignore[method-assign]
    begun = BEGIN - 24 * HOUR
    for agent, (_, started, came, other_came) in cases.items():
        start, done = ended(agent, begun)
        _, other = ended(agent, begun + DAY, 60)
        messages = [(start, started), (done, came), (other, other_came)]
        await fill(database, [stored.message(event, begun + after) for event, after in messages])
        await stored.put_derived(abandoned_metrics(start, DAY))
    found = await replayed(database, apply=True)
    assert found["evolution_metrics"].counts["gone"] == 2
    left = await query(database, "SELECT agent_id FROM evolution_metrics WHERE status = 'abandoned'")
    assert {cases[agent][0] for (agent,) in left} == {cases["agent-2"][0], cases["agent-3"][0]}
