"""Replay after retention: what comes of events that the sink has stored and the stream has never read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.topics import DERIVED_TOPICS, EVOLUTION_METRICS, KPI_DELTAS, KPI_SNAPSHOTS
from evometrics.sinks.checksums import Checksum, checksums
from evometrics.sinks.raw_tables import RawSelection
from evometrics.sinks.replay import ReplaySettings, replaying
from evometrics.sinks.replay_compare import TableDifferences
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.streams.settings import StreamSettings
from tests.generator import Load, generate
from tests.model import differences, made_snapshots
from tests.sinks.test_replay import BEGIN, HOUR, Stored, counts, replayed, wanted
from tests.streams.pure_stream import SOURCES
from tests.tables import rows

LOAD = Load(seed=31, begin=BEGIN, agents=12, evolutions=240, nodes=2, snapshots=0.6, unfinished=0.05)
SENT = generate(LOAD)
#: What Kafka had then, retention took before the stream read it.
GONE_FROM, GONE_TO = BEGIN + 12 * HOUR, BEGIN + 20 * HOUR
CHECKED = (KPI_SNAPSHOTS, *DERIVED_TOPICS)
AGENT = "agent-0003"


def unread(at: int) -> bool:
    return GONE_FROM <= at < GONE_TO


def lost() -> list[KpiSnapshot]:
    """The snapshots that nobody has made: an event that was also sent at another time is read then."""
    read = {event.event_id for at, event in SENT if not unread(at)}
    return made_snapshots(event for at, event in SENT if event.event_id not in read)


class PassedBy(Stored):
    """A database of a sink that has read everything, and of a stream that retention has passed."""

    async def put_passed_by(self, events: Sequence[tuple[int, Event]], unread: Callable[[int], bool]) -> None:
        stream, first = self.stream, len(self.stream.derived)
        messages = [self.message(event, at) for at, event in events]
        for number, (at, event) in enumerate(events):
            if isinstance(event, SOURCES) and not unread(at):
                stream.publish(event)
            if number % 100 == 0:
                stream.run(self.rng)
        stream.run(self.rng)
        made = {
            e.event_id: e
            for (topic, _), log in stream.logs.items()
            if topic == KPI_SNAPSHOTS.name
            for e in map(stream.offline.wire.decode, (record.value for record in log))
        }
        known = {event.event_id for _, event in events}
        last = events[-1][0]
        messages += [self.message(event, last) for i, event in made.items() if i not in known]
        messages += [self.message(event, last) for event in stream.derived[first:]]
        from tests.sinks.test_raw_events import fill

        await fill(self.database, messages)


@pytest.fixture
def passed(database: ClickHouseSettings) -> PassedBy:
    found = PassedBy(database)
    asyncio.run(found.put_passed_by(SENT, unread))
    return found


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


EVERY = [event for _, event in SENT]


async def test_every_table_is_the_models_after_a_replay_and_a_second_one_makes_nothing(
    passed: PassedBy,
) -> None:
    before = await sums(passed.database)
    assert {table: len(said) > 20 for table, said in (await wrong(passed.database, EVERY)).items()} == {
        topic.table: True for topic in CHECKED
    }
    dry = await replayed(passed.database)
    assert dry["kpi_snapshots"].counts["added"] == len(lost()) > 50
    assert await sums(passed.database) == before

    done = await replayed(passed.database, apply=True)
    assert counts(done) == counts(dry)
    assert await wrong(passed.database, EVERY) == {}

    right = await sums(passed.database)
    again = await replayed(passed.database, apply=True)
    assert counts(again) == {} and "kpi_snapshots" not in again
    assert await sums(passed.database) == right
