"""Readers of known ranges, on a real broker."""

from __future__ import annotations

import time
import uuid

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from evometrics.schemas.kafka.ranges import range_reader
from evometrics.schemas.kafka.topics import answered
from evometrics.schemas.service.settings import KafkaSettings

TIMES = 2


async def seconds_of_answers(consumer: AIOKafkaConsumer, place: TopicPartition) -> float:
    """Read a partition to its end, then ask where it begins, some times; return how long the answers took."""
    consumer.assign([place])
    await consumer.seek_to_beginning(place)
    while await consumer.position(place) < 3:
        await consumer.getmany(timeout_ms=1000)
    began = time.monotonic()
    for _ in range(TIMES):
        assert await consumer.beginning_offsets([place]) == {place: 0}
    return time.monotonic() - began


async def test_a_reader_that_has_read_all_is_told_where_partitions_begin_while_a_plain_client_waits(
    kafka: str,
) -> None:
    place = TopicPartition(f"ranges-{uuid.uuid4().hex[:8]}", 0)
    settings = KafkaSettings(brokers=kafka)
    await answered(settings, lambda admin: admin.create_topics([NewTopic(place.topic, 1, 1)]))
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for number in range(3):
            await producer.send_and_wait(place.topic, str(number).encode())
    async with range_reader(settings) as reader:
        ours = await seconds_of_answers(reader, place)
    plain = AIOKafkaConsumer(bootstrap_servers=kafka, fetch_max_wait_ms=2000)
    await plain.start()
    try:
        waited = await seconds_of_answers(plain, place)
    finally:
        await plain.stop()
    assert waited > 1 and ours < waited / 2
