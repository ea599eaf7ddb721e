"""A topic that is made anew under a running sink: it is read from its beginning, and stored once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from evometrics.deploy.pipeline.topics import create_topics
from evometrics.schemas.events import Event, EvolutionProgressed
from evometrics.schemas.kafka.topics import answered, delete
from evometrics.schemas.topics import BY_RECORD
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker import cycle, source
from evometrics.sinks.worker.plan import InsertPlan, metadata
from tests.conftest import running_node
from tests.support.sinks import Kafka, common, rows, running, until_stored

TOPIC = BY_RECORD["evolution_progressed"]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node of its own: others' topics are not to be deleted."""
    yield from running_node(tmp_path_factory.mktemp("stack"))


def of_one_agent(number: int) -> list[Event]:
    return [
        EvolutionProgressed(**common("agent-1"), evolution_id="e", iteration=n, fitness=0.5)
        for n in range(number)
    ]


async def make_anew(broker: Kafka) -> None:
    await answered(broker.settings, lambda admin: delete(admin, [TOPIC.name]))
    await create_topics(broker.settings)


async def commit(broker: Kafka, place: TopicPartition, offset: OffsetAndMetadata) -> None:
    """Commit an offset of the sink's group, as one of its workers does that comes late."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.settings.brokers,
        group_id=broker.sink.group,
        enable_auto_commit=False,  # which would commit the consumer's own position over it when it stops
    )
    await consumer.start()
    consumer.assign([place])
    await consumer.commit({place: offset})
    await consumer.stop()


async def stored(database: ClickHouseSettings) -> list[str]:
    """Return the ids of all rows in storage, those stored twice as well."""
    found = await rows(database, f"SELECT toString(event_id) FROM {TOPIC.table}_rows")
    return sorted(event_id for (event_id,) in found)


async def test_a_running_sink_stores_what_the_new_topic_holds_once_however_many_it_is(
    broker: Kafka, database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "METADATA_AGE_MS", 500)
    monkeypatch.setattr(cycle, "LOOK_SECONDS", 0.5)
    wanted = of_one_agent(40)
    async with running(broker, database):
        await broker.send(wanted)
        await until_stored(database, TOPIC.table, 40)
        for number in (15, 15, 90):  # below the offset that was reached, at the same, and beyond it
            await make_anew(broker)
            new = of_one_agent(number)
            await broker.send(new)
            wanted += new
            await until_stored(database, TOPIC.table, len(wanted))
    assert await stored(database) == sorted(event.event_id for event in wanted)


async def test_a_plan_and_an_offset_that_were_committed_late_for_the_old_topic_do_not_count(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    old, new = of_one_agent(30), of_one_agent(50)
    async with running(broker, database) as worker:
        sent = await broker.send(old)
        await until_stored(database, TOPIC.table, 30)
        assert worker.cycle is not None
        before = worker.cycle.source.ids[TOPIC.name]
    await make_anew(broker)
    await broker.send(new)
    place = TopicPartition(*sent[0][:2])
    await commit(broker, place, OffsetAndMetadata(20, metadata(InsertPlan(20, 29, "run", 1), before)))
    async with running(broker, database):
        await until_stored(database, TOPIC.table, 80)
    assert await stored(database) == sorted(event.event_id for event in (*old, *new))


async def test_a_plan_of_offsets_that_the_old_topic_had_too_is_finished_with_the_new_ones_events(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    old, new = of_one_agent(25), of_one_agent(25)
    async with running(broker, database):
        sent = await broker.send(old)
        await until_stored(database, TOPIC.table, 25)
    await make_anew(broker)
    await broker.send(new)
    place = TopicPartition(*sent[0][:2])
    await commit(broker, place, OffsetAndMetadata(0, metadata(InsertPlan(0, 24, "run", 7), "")))
    async with running(broker, database):
        await until_stored(database, TOPIC.table, 50)
    assert await stored(database) == sorted(event.event_id for event in (*old, *new))
