"""Republishing on a real broker: each event once and in order, through kills; never among others unasked."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from evometrics.schemas.kafka.ranges import range_reader, read_range
from evometrics.schemas.kafka.retention import keep_for
from evometrics.schemas.kafka.topic_settings import (
    BROKER_TIME,
    RETENTION,
    TIMESTAMP_TYPE,
    change,
    own_settings,
)
from evometrics.schemas.kafka.topics import answered, create_missing
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import DAY_MS, KPI_SNAPSHOTS, RAW_TOPICS, Topic
from evometrics.sinks.raw.event import RawEvent
from evometrics.sinks.raw.tables import RawSelection, RawTables
from evometrics.sinks.republish import progress as republish_progress
from evometrics.sinks.republish import target as republish_target
from evometrics.sinks.republish.progress import HEADER, OtherEvents, Progress, RepublishError
from evometrics.sinks.republish.republish import HOUR, Republished, Republisher, RepublishSettings, to_send
from evometrics.sinks.republish.target import StreamStuck, TimesGiven, TopicTarget
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill, loaded
from tests.support.model import made_snapshots
from tests.support.sinks import WIRE, Sent, sent

PARTITIONS = 3
SMALL = RepublishSettings(slice_events=300, step_events=100)


@pytest.fixture
def settings(kafka: str) -> KafkaSettings:
    return KafkaSettings(brokers=kafka, partitions=PARTITIONS)


@pytest.fixture
async def topics(settings: KafkaSettings) -> tuple[Topic, ...]:
    """Empty topics of this test's own, one for each raw table."""
    name = uuid.uuid4().hex[:8]
    own = tuple(replace(topic, name=f"republish-{name}-{topic.table}") for topic in RAW_TOPICS)
    made = {topic.name: {RETENTION: str(topic.retention_ms)} for topic in own}
    await answered(settings, lambda admin: create_missing(admin, settings, made))
    return own


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is on its way between two runs of one process."""
    monkeypatch.setattr(republish_progress, "SETTLE_SECONDS", 0.05)


async def run(
    database: ClickHouseSettings,
    kafka: KafkaSettings,
    topics: Sequence[Topic],
    how: RepublishSettings = SMALL,
    selection: RawSelection | None = None,
    target_class: type[TopicTarget] = TopicTarget,
) -> Republished:
    """Republish as the command line does."""
    meant = replace(selection or RawSelection(), topics=tuple(topics))
    names = [topic.name for topic in topics]
    async with (
        RawTables(database, meant, WIRE, made_again=True) as tables,
        target_class(kafka, WIRE, await tables.identity(), names) as target,
    ):
        progress = await target.progress(how.among_others)
        planned = await to_send(tables, progress)
        heard: list[int] = []
        done = await Republisher(tables, target, how, names, print, heard.append).run(progress)
        assert {t: n for t, n in planned.items() if n} == dict(done.sent)
        assert sum(heard) == done.sent.total()
        return done


async def held(kafka: KafkaSettings, topics: Sequence[Topic]) -> list[ConsumerRecord]:
    """Return every message of the topics, each partition's in order."""
    found = []
    async with range_reader(kafka) as consumer:
        for topic in topics:
            for number in range(PARTITIONS):
                found += await read_range(consumer, TopicPartition(topic.name, number), 0, 2**62)
    return found


def check(found: list[ConsumerRecord], messages: Sequence[Sent], topics: Sequence[Topic]) -> None:
    """Hold the topics against the events: each once, with all that it had, in the order of time."""
    names = {raw.name: topic.name for raw, topic in zip(RAW_TOPICS, topics, strict=True)}
    wanted = Counter((names[m.topic], m.timestamp, m.key, m.value) for m in messages)
    assert Counter((r.topic, r.timestamp, r.key, r.value) for r in found) == wanted
    order = {m.value: number for number, m in enumerate(messages)}
    for one, other in pairwise(found):
        if (one.topic, one.partition) == (other.topic, other.partition):
            assert one.timestamp <= other.timestamp
            if one.key == other.key:
                assert order[one.value] < order[other.value]
    partitions = {(r.topic, r.key): r.partition for r in found}
    assert all(partitions[r.topic, r.key] == r.partition for r in found)


@contextlib.asynccontextmanager
async def producer(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaProducer]:
    one = AIOKafkaProducer(bootstrap_servers=kafka.brokers)
    await one.start()
    yield one
    await one.stop()


async def test_every_event_is_sent_once_with_its_key_time_and_bytes(
    database: ClickHouseSettings, settings: KafkaSettings, topics: tuple[Topic, ...]
) -> None:
    messages = loaded()
    await fill(database, messages)
    done = await run(database, settings, topics, RepublishSettings())
    assert done.sent.total() == len(messages) and done.from_time == 0
    found = await held(settings, topics)
    check(found, messages, topics)
    assert all([name for name, _ in r.headers] == [HEADER] for r in found)
    again = await run(database, settings, topics, RepublishSettings())
    assert again.sent.total() == 0 and again.from_time > 0
    assert len(await held(settings, topics)) == len(messages)


async def test_an_empty_source_sends_nothing(
    database: ClickHouseSettings, settings: KafkaSettings, topics: tuple[Topic, ...]
) -> None:
    assert (await run(database, settings, topics)).sent.total() == 0


class Killed(Exception):
    pass


@pytest.mark.parametrize("seed", range(2))
async def test_a_run_that_is_killed_goes_on_with_just_what_is_missing(
    seed: int, database: ClickHouseSettings, settings: KafkaSettings, topics: tuple[Topic, ...]
) -> None:
    """A kill takes some partitions' messages with it, in part; the sink stores the others meanwhile."""
    rng = random.Random(seed)
    messages = loaded()
    await fill(database, messages)

    class Dying(TopicTarget):
        steps = rng.randrange(2, 6)

        async def send(self, events: Sequence[RawEvent], mark: int) -> dict[TopicPartition, int]:
            self.steps -= 1
            if self.steps:
                return await super().send(events, mark)
            # what a partition takes is a beginning of what it was sent
            end = {t: rng.randrange(len(events) + 1) for t in self.topics}
            await super().send([e for n, e in enumerate(events) if n < end[e.topic]], mark)
            raise Killed

    killed, sent_by_killed = 0, 0
    while True:
        try:
            done = await run(database, settings, topics, target_class=Dying)
            break
        except Killed:
            killed += 1
        found = await held(settings, topics)
        assert len({r.value for r in found}) == len(found)
        sent_by_killed = len(found)
        if seed == 0:
            names = {topic.name: raw.name for raw, topic in zip(RAW_TOPICS, topics, strict=True)}
            await fill(
                database,
                [Sent(names[r.topic], r.partition, r.offset, r.timestamp, r.key, r.value) for r in found],
            )
        Dying.steps = rng.randrange(2, 6)
    assert killed >= 2
    assert 0 < done.sent.total() == len(messages) - sent_by_killed
    found = await held(settings, topics)
    assert Counter(r.value for r in found) == Counter(m.value for m in messages)
    if seed:  # else the offsets that give the order within a millisecond were replaced
        check(found, messages, topics)


async def test_topics_with_other_events_are_refused_by_name_unless_asked(
    database: ClickHouseSettings, settings: KafkaSettings, topics: tuple[Topic, ...]
) -> None:
    messages = loaded()
    await fill(database, messages)
    recorded = [m for m in messages if m.topic == RAW_TOPICS[3].name][:40]

    async def record(some: Sequence[Sent]) -> None:
        async with producer(settings) as kafka:
            for m in some:
                await kafka.send_and_wait(topics[3].name, m.value, key=m.key, headers=[(HEADER, b"\xff:x")])

    # a header of another program says nothing
    await record(recorded[:20])
    with pytest.raises(OtherEvents, match=rf"{topics[3].name}.*a producer recorded.*--among-others"):
        await run(database, settings, topics)
    assert len(await held(settings, topics)) == 20

    class Dying(TopicTarget):
        async def send(self, events: Sequence[RawEvent], mark: int) -> dict[TopicPartition, int]:
            await super().send(events, mark)
            raise Killed

    among = replace(SMALL, among_others=True, step_events=300)
    with pytest.raises(Killed):
        await run(database, settings, topics, among, target_class=Dying)
    await record(recorded[20:])
    done = await run(database, settings, topics, among)
    assert 0 < done.sent.total() < len(messages)
    own = [r for r in await held(settings, topics) if r.headers[0][1] != b"\xff:x"]
    check(own, messages, topics)


async def test_snapshots_that_the_stream_makes_of_evolutions_are_left_to_it(
    database: ClickHouseSettings, settings: KafkaSettings, topics: tuple[Topic, ...]
) -> None:
    recorded = loaded()
    made = [
        sent(event, 0, number, recorded[-1].timestamp)
        for number, event in enumerate(made_snapshots(WIRE.decode(m.value) for m in recorded if m.value))
    ]
    assert len(made) > 20
    await fill(database, [*recorded, *made])
    (snapshots,) = [topic for topic in topics if topic.table == KPI_SNAPSHOTS.table]

    class Killed(TopicTarget):
        """The stream makes them of what is there, and the process dies."""

        async def send(self, events: Sequence[RawEvent], mark: int) -> dict[TopicPartition, int]:
            await super().send(events, mark)
            async with producer(self.kafka) as stream:
                for m in made:
                    await stream.send_and_wait(snapshots.name, m.value, key=m.key)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await run(database, settings, topics, target_class=Killed)
    await run(database, settings, topics)
    ours = [record for record in await held(settings, topics) if record.headers]
    check(ours, recorded, topics)
    # where their evolutions are not sent, they are
    alone = await run(database, settings, [snapshots], replace(SMALL, among_others=True))
    assert alone.sent.total() == len(made) + sum(m.topic == KPI_SNAPSHOTS.name for m in recorded)


async def test_events_of_another_selection_are_others(
    database: ClickHouseSettings, settings: KafkaSettings, topics: tuple[Topic, ...]
) -> None:
    await fill(database, loaded())
    await run(database, settings, topics, selection=RawSelection(agents=("agent-0001",)))
    there = len(await held(settings, topics))
    assert there > 0
    with pytest.raises(OtherEvents, match="another source or selection"):
        await run(database, settings, topics)
    assert len(await held(settings, topics)) == there


async def test_topics_that_grow_are_refused(
    database: ClickHouseSettings, settings: KafkaSettings, topics: tuple[Topic, ...]
) -> None:
    await fill(database, loaded())

    class Growing(TopicTarget):
        async def progress(self, among_others: bool) -> Progress:
            async def grow() -> None:
                async with producer(settings) as kafka:
                    while True:
                        await kafka.send_and_wait(topics[0].name, b"x", partition=1)

            growing = asyncio.create_task(grow())
            try:
                return await super().progress(among_others)
            finally:
                growing.cancel()

    with pytest.raises(OtherEvents, match=rf"{topics[0].name}.*partition 1 is growing"):
        await run(database, settings, topics, target_class=Growing)


async def test_missing_topics_are_named_with_the_way_out(
    database: ClickHouseSettings, settings: KafkaSettings
) -> None:
    missing = Topic("republish-none", "evolution_started", "raw", "evolution_started")
    with pytest.raises(RepublishError, match=r"republish-none.*evometrics topics"):
        await run(database, settings, [missing])


async def test_old_events_are_kept_as_long_as_new_ones_and_other_settings_stay(
    database: ClickHouseSettings, settings: KafkaSettings, topics: tuple[Topic, ...]
) -> None:
    messages = loaded()
    await fill(database, messages)
    names = [topic.name for topic in topics]
    short, endless = names[0], names[1]
    await answered(settings, lambda a: keep_for(a, {short: 3_600_000, endless: -1}))
    before = await answered(settings, lambda a: own_settings(a, names))
    done = await run(database, settings, topics)
    after = await answered(settings, lambda a: own_settings(a, names))
    assert done.retention_ms.keys() == {short}
    kept = int(after[short].pop(RETENTION))
    assert kept == done.retention_ms[short] and 64 * 3_600_000 < kept - DAY_MS < 75 * 3_600_000
    assert before[short].pop(RETENTION) == "3600000"
    assert after == before and after[short]["max.message.bytes"] == "2000000"
    check(await held(settings, topics), messages, topics)


async def types_of(kafka: KafkaSettings, topics: Sequence[Topic]) -> set[str]:
    """Return whose time the topics keep by."""
    names = [topic.name for topic in topics]
    settings = await answered(kafka, lambda admin: own_settings(admin, names))
    return {own[TIMESTAMP_TYPE] for own in settings.values()}


async def test_topics_take_events_own_times_while_they_are_filled_and_nodes_are_given_the_brokers_again(
    database: ClickHouseSettings, settings: KafkaSettings, topics: tuple[Topic, ...]
) -> None:
    await fill(database, loaded())
    meanwhile = set()

    class Watched(TopicTarget):
        last = False

        async def send(self, events: Sequence[RawEvent], mark: int) -> dict[TopicPartition, int]:
            meanwhile.update(await types_of(settings, topics))
            if self.last:
                raise Killed
            Watched.last = True
            return await super().send(events, mark)

        async def give_times(self) -> None:
            """A process that is killed leaves them as they are."""

    assert await types_of(settings, topics) == {"LogAppendTime"}
    with pytest.raises(Killed):
        await run(database, settings, topics, target_class=Watched)
    assert meanwhile == await types_of(settings, topics) == {"CreateTime"}
    assert (await run(database, settings, topics)).from_time > 0
    assert await types_of(settings, topics) == {"LogAppendTime"}
    await answered(settings, lambda admin: change(admin, {topics[0].name: {TIMESTAMP_TYPE: "CreateTime"}}))
    assert not (await run(database, settings, topics)).sent, "all is there"
    assert await types_of(settings, topics) == {"LogAppendTime"}, "also where nothing was left to send"


async def test_topics_that_are_set_back_in_the_midst_are_noticed_with_the_first_events_that_lost_their_time(
    database: ClickHouseSettings, settings: KafkaSettings, topics: tuple[Topic, ...]
) -> None:
    await fill(database, loaded())

    class SetBack(TopicTarget):
        async def send(self, events: Sequence[RawEvent], mark: int) -> dict[TopicPartition, int]:
            await answered(settings, lambda admin: change(admin, {t.name: BROKER_TIME for t in topics}))
            return await super().send(events, mark)

    with pytest.raises(TimesGiven, match=r"set to the broker's time meanwhile.*evometrics topics.*start"):
        await run(database, settings, topics, target_class=SetBack)


async def test_the_stream_must_have_read_what_lies_hours_behind(
    database: ClickHouseSettings,
    settings: KafkaSettings,
    topics: tuple[Topic, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = loaded()
    await fill(database, messages)
    group = f"stream-{uuid.uuid4().hex[:8]}"
    waiting = RepublishSettings(stream_group=group, ahead_hours=6)
    monkeypatch.setattr(republish_target, "STUCK_SECONDS", 0.5)
    with pytest.raises(StreamStuck, match=rf"{group}.*--no-wait.*continues"):
        await run(database, settings, topics, waiting)
    found = await held(settings, topics)
    times = [WIRE.decode(r.value).occurred_at for r in found]
    assert 0 < len(found) < len(messages) / 2 and max(times) - min(times) < 10 * HOUR

    async def read() -> None:
        names = [topic.name for topic in topics]
        consumer = AIOKafkaConsumer(
            *names, bootstrap_servers=settings.brokers, group_id=group, auto_offset_reset="earliest",
            auto_commit_interval_ms=100,
        )  # fmt: skip
        await consumer.start()
        try:
            while True:
                await consumer.getmany(timeout_ms=100)
        finally:
            await consumer.stop()

    monkeypatch.setattr(republish_target, "STUCK_SECONDS", 30.0)
    reading = asyncio.create_task(read())
    try:
        await run(database, settings, topics, waiting)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    check(await held(settings, topics), messages, topics)
