"""Events outside their agent's partition, as clients with another partitioner leave them there."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from evometrics.schemas.events import Event
from evometrics.schemas.metrics import STREAM_MISPLACED
from evometrics.schemas.topics import BY_RECORD, EVOLUTION_COMPLETED
from evometrics.streams.sources.misplaced import NAMED
from tests.streams.worker.test_changed_topics import said
from tests.streams.worker.test_worker import (
    PARTITIONS,
    WIRE,
    Stream,
    ended,
    events_of,
    partition_of,
    send,
    some_load,
)
from tests.streams.worker.test_worker import stream as stream  # a fixture
from tests.support.model import SECOND


def send_by_librdkafka(brokers: str, events: list[Event]) -> list[tuple[str, int]]:
    """Send events as a librdkafka client does by default; return each one's agent and partition."""
    placed: list[tuple[str, int]] = []
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    for event in events:
        producer.produce(
            BY_RECORD[event.record].name,
            WIRE.encode(event),
            event.key,
            on_delivery=lambda error, message, key=event.key: placed.append((key, message.partition())),
        )
    assert producer.flush(60) == 0
    return placed


async def send_to(brokers: str, partition: int, messages: list[tuple[bytes | None, Event]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers)
    await producer.start()
    try:
        for key, event in messages:
            topic = BY_RECORD[event.record].name
            await producer.send_and_wait(topic, WIRE.encode(event), key, partition=partition)
    finally:
        await producer.stop()


async def test_rows_are_right_wherever_other_clients_put_an_agents_events(stream: Stream) -> None:
    worker = await stream.add()
    # within a day: what is sent on must not come after the events that show an evolution to be abandoned
    load = replace(some_load(5), hours=18)
    events = events_of(load)
    half = len(events) // 2
    # the other half comes from our own client: agents have events in two partitions
    await send(stream.brokers, events[:half])
    placed = await asyncio.to_thread(send_by_librdkafka, stream.brokers, events[half:])
    elsewhere = {agent for agent, place in placed if partition_of(agent) != place}
    assert len(elsewhere) > NAMED
    await stream.drained()
    assert await stream.differences(load) == []
    log = worker.spec.log.read_text()
    assert log.count("was placed by another partitioner than Kafka's default") == NAMED
    assert log.count("further agents are counted") == 1
    words = await asyncio.to_thread(said, stream.urls["stream-1"])
    assert words.startswith("ok\n")
    assert "partitioner=murmur2_random" in words

    before = await misplaced(stream)
    home, now = partition_of("a0"), 1_700_000_000 * SECOND
    await send_to(
        stream.brokers,
        (home + 1) % PARTITIONS,
        [(key, ended(0, now + n)) for n, key in enumerate([b"a0", None, b"n"])],
    )
    await send_to(stream.brokers, home, [(None, ended(0, now + 3))])  # without a key, where it belongs
    await stream.drained()
    rates = (await stream.derived())["success_rates"].values()
    assert max(row["attempts"] for row in rates if row["scope_value"] == "a0") == 4
    assert await misplaced(stream) - before == 3


async def misplaced(stream: Stream) -> float:
    """Return how many completions the worker has counted as misplaced."""
    metrics = await asyncio.to_thread(said, stream.urls["stream-1"], "metrics")
    name = f'{STREAM_MISPLACED.name}{{topic="{EVOLUTION_COMPLETED.name}"}} '
    return next(float(line.removeprefix(name)) for line in metrics.splitlines() if line.startswith(name))
