"""`evometrics topics`: missing topics are created, existing ones corrected, those with messages kept."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import OffsetAndMetadata

from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.pipeline.drain import ConsumerGroup, DrainTimeout, drain
from evometrics.deploy.pipeline.new_topics import NotStored, make_anew
from evometrics.deploy.pipeline.topics import TopicMismatch, create_topics
from evometrics.schemas.kafka.topic_settings import (
    AFTER_MAX,
    BROKER_TIME,
    LARGEST_MESSAGE,
    RETENTION,
    TIMESTAMP_TYPE,
    own_settings,
)
from evometrics.schemas.kafka.topics import answered, delete, partitions_of
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import DAY_MS, KPI_SNAPSHOTS, SCOPE_COUNTS, SYSTEM_EVENTS, TOPICS
from evometrics.sinks.settings import SinkSettings
from evometrics.streams.changelog.topics import create_changelogs
from tests.conftest import running_node
from tests.support.sinks import Kafka
from tests.support.stack import evometrics_here

NAMES = [*(topic.name for topic in TOPICS), SCOPE_COUNTS]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of these tests' own: all topics there are made in ways that are wrong."""
    yield from running_node(tmp_path_factory.mktemp("stack"))


@pytest.fixture
async def kafka(node: str) -> KafkaSettings:
    """The broker with no topic of ours."""
    settings = KafkaSettings(brokers=node, partitions=3)
    there = await answered(settings, lambda admin: partitions_of(admin, NAMES))
    await answered(settings, lambda admin: delete(admin, there))
    return settings


async def settings_of(kafka: KafkaSettings, *names: str) -> dict[str, dict[str, str]]:
    return await answered(kafka, lambda admin: own_settings(admin, names or NAMES))


async def make(kafka: KafkaSettings, name: str, partitions: int, **own: str) -> None:
    """Make a topic as somebody else does."""
    topic = NewTopic(name, partitions, 1, topic_configs={k.replace("_", "."): v for k, v in own.items()})
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.brokers)
    await admin.start()
    await admin.create_topics([topic])
    while name not in await partitions_of(admin, [name]):  # noqa: ASYNC110 - brokers learn of it by and by
        await asyncio.sleep(0.05)
    await admin.close()


async def write(kafka: KafkaSettings, name: str) -> int:
    """Write one message; return what kind of time it has got."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.brokers)
    await producer.start()
    written = await producer.send_and_wait(name, b"x", key=b"k", partition=0, timestamp_ms=1_600_000_000_000)
    await producer.stop()
    return int(written.timestamp_type)


async def test_every_topic_is_made_to_keep_by_the_brokers_time_and_then_stays_as_it_is(
    kafka: KafkaSettings,
) -> None:
    made = await create_topics(kafka)
    assert {state.name for state in made} == set(NAMES)
    assert {state.words for state in made} == {"created"}
    settings = await settings_of(kafka)
    assert all(BROKER_TIME.items() <= own.items() for own in settings.values())
    assert BROKER_TIME == {TIMESTAMP_TYPE: "LogAppendTime", AFTER_MAX: "86400000"}
    assert await write(kafka, SYSTEM_EVENTS.name) == 1
    assert {state.words for state in await create_topics(kafka)} == {"exists"}
    assert await settings_of(kafka) == settings


async def test_topics_that_keep_by_their_senders_time_are_changed_and_their_other_settings_stay(
    kafka: KafkaSettings,
) -> None:
    name = SYSTEM_EVENTS.name
    own = {"retention_ms": "7200000", "segment_ms": "3600000", "max_message_bytes": "1500000"}
    await make(kafka, name, 3, message_timestamp_type="CreateTime", **own)
    assert await write(kafka, name) == 0
    words = {state.name: state.words for state in await create_topics(kafka)}
    assert words.pop(name) == f"exists, set to {AFTER_MAX}=86400000, {TIMESTAMP_TYPE}=LogAppendTime"
    assert set(words.values()) == {"created"}
    kept = {RETENTION: "7200000", "segment.ms": "3600000", LARGEST_MESSAGE: "1500000"}
    assert await settings_of(kafka, name) == {name: kept | BROKER_TIME}
    assert await write(kafka, name) == 1


async def test_what_a_broker_has_made_by_itself_is_put_right_where_it_is_empty(kafka: KafkaSettings) -> None:
    await make(kafka, KPI_SNAPSHOTS.name, 1)
    await make(kafka, SCOPE_COUNTS, 12)
    await make(kafka, SYSTEM_EVENTS.name, 3)
    await write(kafka, SYSTEM_EVENTS.name)
    words = {state.name: state.words for state in await create_topics(kafka)}
    assert words[KPI_SNAPSHOTS.name] == "recreated: it was empty, with 1 partitions"
    assert words[SCOPE_COUNTS] == "recreated: it was empty, with 12 partitions"
    assert f"{LARGEST_MESSAGE}=2000000" in words[SYSTEM_EVENTS.name]
    found = await answered(kafka, lambda admin: partitions_of(admin, NAMES))
    assert found == dict.fromkeys(NAMES, 3)
    settings = await settings_of(kafka)
    for name in (KPI_SNAPSHOTS.name, SYSTEM_EVENTS.name):
        assert settings[name][RETENTION] == str(14 * DAY_MS)
        assert settings[name][LARGEST_MESSAGE] == "2000000"


async def test_a_topic_with_other_partitions_that_holds_messages_is_left_and_named_with_the_ways_out(
    kafka: KafkaSettings,
) -> None:
    name = KPI_SNAPSHOTS.name
    await make(kafka, name, 1)
    await write(kafka, name)
    with pytest.raises(TopicMismatch, match=rf"{name} has 1 partitions, but.*KAFKA_PARTITIONS=1"):
        await create_topics(kafka)
    found = await answered(kafka, lambda admin: partitions_of(admin, NAMES))
    assert found.pop(name) == 1 and set(found.values()) == {3}
    assert BROKER_TIME.items() <= (await settings_of(kafka, name))[name].items()


async def test_every_topic_that_has_other_partitions_is_named_and_no_setting_that_is_right_for_one_alone(
    kafka: KafkaSettings,
) -> None:
    for name, partitions in ((KPI_SNAPSHOTS.name, 12), (SYSTEM_EVENTS.name, 4)):
        await make(kafka, name, partitions)
        await write(kafka, name)
    with pytest.raises(TopicMismatch) as refused:
        await create_topics(kafka)
    said = str(refused.value)
    assert f"{KPI_SNAPSHOTS.name} has 12" in said and f"{SYSTEM_EVENTS.name} has 4" in said
    assert "EVOMETRICS_KAFKA_PARTITIONS" not in said and "topics --anew" in said and "republish" in said


async def test_what_an_administrator_has_set_is_kept_and_named(kafka: KafkaSettings) -> None:
    right = {"message_timestamp_type": "LogAppendTime", "message_timestamp_after_max_ms": str(DAY_MS)}
    await make(kafka, SYSTEM_EVENTS.name, 3, retention_ms="3600000", max_message_bytes="3000000", **right)
    await make(kafka, KPI_SNAPSHOTS.name, 3, cleanup_policy="compact", max_message_bytes="2000000", **right)
    await make(kafka, SCOPE_COUNTS, 3, min_insync_replicas="2", retention_ms="-1")
    states = {state.name: state for state in await create_topics(kafka)}
    begin, a_new_one = f"topic {SYSTEM_EVENTS.name} has", f"a new one {14 * DAY_MS}"
    assert set(states.pop(SYSTEM_EVENTS.name).notes) == {
        f"{begin} retention.ms=3600000, {a_new_one}: who is away for longer misses messages",
        f"{begin} max.message.bytes=3000000, a new one 2000000: larger messages are taken",
    }
    (compacted,) = states[KPI_SNAPSHOTS.name].notes
    assert "cleanup.policy=compact, a new one delete" in compacted
    in_sync, endless = states[SCOPE_COUNTS].notes
    assert "retention.ms=-1" in endless and "kept longer" in endless
    assert "with 1 copies nothing can be written" in in_sync
    unusable = {KPI_SNAPSHOTS.name, SCOPE_COUNTS}
    assert {name for name, state in states.items() if not state.usable} == unusable
    assert {name for name, state in states.items() if state.notes} == unusable

    told = await asyncio.to_thread(
        evometrics_here, "topics", "--brokers", kafka.brokers, "--partitions", "3", "--data", "nowhere"
    )
    assert told.returncode == ExitCode.FAILED
    *notes, last = told.stderr.splitlines()
    assert len(notes) == 5 and compacted in notes
    assert all(name in last for name in unusable) and SYSTEM_EVENTS.name not in last


async def test_an_empty_topic_with_an_administrators_settings_is_not_recreated(kafka: KafkaSettings) -> None:
    await make(kafka, SYSTEM_EVENTS.name, 4, segment_ms="3600000")
    with pytest.raises(TopicMismatch, match=rf"{SYSTEM_EVENTS.name} has 4 partitions, but"):
        await create_topics(kafka)
    assert (await settings_of(kafka, SYSTEM_EVENTS.name))[SYSTEM_EVENTS.name]["segment.ms"] == "3600000"


async def test_topics_and_the_streams_states_are_made_anew_once_all_is_stored_and_not_before(
    kafka: KafkaSettings,
) -> None:
    group = f"g{uuid.uuid4().hex[:8]}"
    changelog, others = f"{group}-table-changelog", f"{group}x-table-changelog"
    await create_topics(kafka)
    await create_changelogs(kafka, [changelog, others])
    for _ in range(3):
        await write(kafka, KPI_SNAPSHOTS.name)
    more = dataclasses.replace(kafka, partitions=5)
    # what a sink committed late, for a topic of that name that was deleted, is nothing stored
    places = {
        TopicPartition(KPI_SNAPSHOTS.name, n): OffsetAndMetadata(9, '{"topic": "gone"}') for n in range(3)
    }
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.brokers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    consumer.assign(list(places))
    await consumer.commit(places)
    await consumer.stop()
    with pytest.raises(DrainTimeout, match=f"[123] messages of {KPI_SNAPSHOTS.name}"):
        await drain(kafka, [ConsumerGroup(group, ((KPI_SNAPSHOTS.name,),))], 0)
    with pytest.raises(NotStored, match=rf"{group}.*{KPI_SNAPSHOTS.name}\[\d\]: [123]"):
        await make_anew(more, group, group)
    found = await answered(kafka, lambda admin: partitions_of(admin, [*NAMES, changelog]))
    assert found == dict.fromkeys([*NAMES, changelog], 3)

    own = Kafka(kafka)
    own.sink = SinkSettings(group)
    await own.start_group_at_end()
    states = await make_anew(more, group, group)
    assert {state.name: state.partitions for state in states} == dict.fromkeys(NAMES, 5)
    found = await answered(kafka, lambda admin: partitions_of(admin, [*NAMES, changelog, others]))
    assert found == {**dict.fromkeys(NAMES, 5), others: 3}


async def test_changelogs_of_earlier_versions_keep_by_the_brokers_time_from_now_on(
    kafka: KafkaSettings,
) -> None:
    old, new = "group-old-changelog", "group-new-changelog"
    await make(kafka, old, 3, cleanup_policy="compact", segment_ms="60000")
    await asyncio.gather(*(create_changelogs(kafka, [old, new]) for _ in range(2)))
    for _ in range(100):  # a broker hears of a change a moment after it was answered
        settings = await settings_of(kafka, old, new)
        if all(BROKER_TIME.items() <= each.items() for each in settings.values()):
            break
        await asyncio.sleep(0.1)
    for each in settings.values():
        assert BROKER_TIME.items() <= each.items() and each["cleanup.policy"] == "compact"
    assert settings[old]["segment.ms"] == "60000"
    assert await write(kafka, old) == 1
