"""Operations of a session on aiokafka's producer: open, check, send a batch, and close reliably."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import InvalidTopicError, KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError
from aiokafka.protocol.metadata import MetadataRequest

from evometrics.producers.publisher.framing import Framing
from evometrics.producers.publisher.partition_queues import PartitionQueue
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.kafka.client_fixes import never_create
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import ended_within
from evometrics.schemas.topics import RAW_TOPICS

CONNECT_TIMEOUT = 15.0
TOPIC_TIMEOUT = 5.0
CLOSE_TIMEOUT = 2.0
#: The producer's own limit on a request, above any batch with an event of the largest size.
REQUEST_BYTES = 4_000_000
#: A topic's error codes where it does not exist.
ABSENT = (UnknownTopicOrPartitionError.errno, InvalidTopicError.errno)


class TopicsMissing(EvometricsError, ConnectionError):
    """The broker lacks topics; the message names them and the way out."""


def new_producer(kafka: KafkaSettings, batch_bytes: int) -> AIOKafkaProducer:
    """Return an idempotent producer (acks=all), not yet connected; partitions are chosen by the caller.

    It never creates a topic by asking about it.
    """
    producer = AIOKafkaProducer(
        **client_options(kafka),
        enable_idempotence=True,
        acks="all",
        max_batch_size=batch_bytes,
        max_request_size=REQUEST_BYTES,
        request_timeout_ms=int(CONNECT_TIMEOUT * 1000),
        retry_backoff_ms=250,
    )
    never_create(producer.client)
    return producer


async def missing_topics(client: AIOKafkaClient) -> frozenset[str]:
    """Return the topics that a collector writes and the cluster lacks; asking creates none.

    Raises `KafkaError` where no broker answers.
    """
    names = [topic.name for topic in RAW_TOPICS]
    node = client.get_random_node()
    if node is None:
        raise KafkaConnectionError("no broker is known")
    answer = await asyncio.wait_for(client.send(node, MetadataRequest(names, False)), TOPIC_TIMEOUT)
    there = {entry["topic"] for entry in answer.to_object()["topics"] if entry["error_code"] not in ABSENT}
    return frozenset(names) - there


async def check_topics(producer: AIOKafkaProducer) -> None:
    """Raise `TopicsMissing` unless the broker has every topic that a collector writes."""
    if missing := await missing_topics(producer.client):
        raise TopicsMissing(f"no topic {', '.join(sorted(missing))}; create them with `evometrics topics`")


async def send_batch(
    producer: AIOKafkaProducer, lane: PartitionQueue, framing: Framing, at: int, most: int
) -> asyncio.Future[Any]:
    """Hand a batch of a queue's rows, at most `most`, to the producer; return the acknowledgement's future.

    `at`: the messages' timestamp, milliseconds; topics with broker timestamps (LogAppendTime) replace it.
    """
    batch = producer.create_batch()
    append, waiting = batch.append, lane.waiting
    while waiting and len(lane.sending) < most:
        row = waiting[0]
        # A batch always accepts its first message, whatever its size.
        if append(timestamp=at, key=row.key.encode(), value=framing.value(row)) is None:
            break
        lane.sending.append(waiting.popleft())
    batch.close()
    where = lane.partition
    future: asyncio.Future[Any] = await producer.send_batch(batch, where.topic, partition=where.partition)
    # Where a session ends early, nobody awaits the remaining answers.
    future.add_done_callback(lambda f: f.cancelled() or f.exception())
    return future


async def close(producer: AIOKafkaProducer) -> None:
    """Close a producer, even if its broker is unreachable (its own `stop` would wait for ever)."""
    with contextlib.suppress(Exception):
        if await ended_within(CLOSE_TIMEOUT, "the producer", producer.stop()):
            return
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
    producer._message_accumulator.fail_all(KafkaError("closed"))
    with contextlib.suppress(Exception):
        await ended_within(CLOSE_TIMEOUT, "the producer's client", producer.client.close())
    if sender is not None:
        await asyncio.wait({sender}, timeout=CLOSE_TIMEOUT)
