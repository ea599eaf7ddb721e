"""A worker's producer under clocks that are wrong and brokers that refuse; a real broker."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from evometrics.schemas.kafka.topic_settings import AFTER_MAX, TIMESTAMP_TYPE
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.streams.producer import Message, OutputProducer, ProducerSpent
from evometrics.streams.sources.clock import BrokerClock

HOUR = 3600


@pytest.fixture
async def topics(kafka: str) -> AsyncIterator[dict[str, str]]:
    """Topics of one partition: by the broker's time, by their senders', and one that is not there yet."""
    run = uuid.uuid4().hex[:8]
    own = {"broker": "LogAppendTime", "sender": "CreateTime"}
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    names = {kind: f"{run}-{kind}" for kind in own}
    await admin.create_topics(
        [
            NewTopic(name, 1, 1, topic_configs={TIMESTAMP_TYPE: own[kind], AFTER_MAX: str(HOUR * 1000)})
            for kind, name in names.items()
        ]
    )
    yield names
    await admin.close()


async def stamps(kafka: str, topic: str) -> list[float]:
    """When a topic's messages were sent, by their times, in seconds from now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    end = (await consumer.end_offsets([place]))[place]
    found: list[float] = []
    while await consumer.position(place) < end:
        records = (await consumer.getmany(place, timeout_ms=500)).get(place, [])
        found += [record.timestamp / 1000 - real() for record in records]
    await consumer.stop()
    return found


real = time.time


@pytest.mark.parametrize("wrong", [2 * HOUR, -3 * HOUR, -16 * 24 * HOUR])
async def test_messages_have_the_brokers_time_whatever_the_workers_clock_says(
    kafka: str, topics: dict[str, str], wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: round((real() + wrong) * 1e9))
    producer = OutputProducer(KafkaSettings(brokers=kafka), BrokerClock())
    await producer.start()
    try:
        # as a worker does, whose first messages are markers in changelogs
        await producer.send_all([Message(topics["broker"], b"k", b"v")])
        assert await producer.send_all([Message(topics["sender"], b"k", b"v")] * 3) == [0, 1, 2]
    finally:
        await producer.stop()
    for topic in topics.values():
        assert all(abs(stamp) < 60 for stamp in await stamps(kafka, topic))


async def test_a_producer_that_was_refused_is_spent_and_says_that_it_is_the_clock(
    kafka: str, topics: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = OutputProducer(KafkaSettings(brokers=kafka))
    await producer.start()
    try:
        await producer.send_all([Message(topics["sender"], b"k", b"v")])
        with monkeypatch.context() as patched:
            patched.setattr(time, "time_ns", lambda: round((real() + 2 * HOUR) * 1e9))
            with pytest.raises(ProducerSpent, match=r"InvalidTimestampError.*set the clock"):
                await producer.send_all([Message(topics["sender"], b"k", b"v")])
        # the clock is right again: this producer's numbers are not
        with pytest.raises(ProducerSpent, match="OutOfOrderSequenceNumber"):
            await producer.send_all([Message(topics["sender"], b"k", b"v")])
    finally:
        await producer.stop()
    successor = OutputProducer(KafkaSettings(brokers=kafka))
    await successor.start()
    try:
        assert await successor.send_all([Message(topics["sender"], b"k", b"v")]) == [1]
    finally:
        await successor.stop()
