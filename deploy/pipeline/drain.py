"""Waits until the pipeline has caught up: every consumer group is at the end of what it reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.offsets import AIOKafkaAdminClient, committed_offsets
from evometrics.schemas.kafka.ranges import range_reader
from evometrics.schemas.kafka.topic_identity import topic_identities
from evometrics.schemas.kafka.topics import answered, partitions_of
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import DEAD_LETTERS, TOPICS
from evometrics.streams.sources.topics import EVOLUTION_TOPICS, SCOPE_TOPICS, SNAPSHOT_TOPICS

POLL_SECONDS = 0.3
#: The topics of a stream worker, in the order in which one stage feeds the next: evolutions lead to snapshots
#: and to counts per scope.
STREAM_STAGES: tuple[tuple[str, ...], ...] = (EVOLUTION_TOPICS, SNAPSHOT_TOPICS, SCOPE_TOPICS)
#: The topics of a sink; what it can't store comes back to it as dead letters.
SINK_STAGES: tuple[tuple[str, ...], ...] = (tuple(topic.name for topic in TOPICS), (DEAD_LETTERS.name,))


class DrainTimeout(EvometricsError, TimeoutError):
    """The pipeline did not catch up; the message names group, topic and the number left."""


@dataclass(frozen=True, slots=True)
class ConsumerGroup:
    """A consumer group and the topics it reads, stage by stage."""

    name: str
    stages: Sequence[Sequence[str]]


def pipeline_groups(stream: str, sink: str) -> tuple[ConsumerGroup, ConsumerGroup]:
    """Return the pipeline's groups in the order in which they feed each other."""
    return ConsumerGroup(stream, STREAM_STAGES), ConsumerGroup(sink, SINK_STAGES)


async def end_offsets(kafka: KafkaSettings, topics: Sequence[str]) -> dict[TopicPartition, int]:
    """Return the end offset of every partition of some topics; none of a topic that does not exist."""
    numbers = await answered(kafka, lambda admin: partitions_of(admin, topics))
    places = [TopicPartition(topic, each) for topic, number in numbers.items() for each in range(number)]
    # it reads no message: that would take another right
    async with range_reader(kafka) as consumer:
        found: dict[TopicPartition, int] = await consumer.end_offsets(places)
        return found


async def drain(kafka: KafkaSettings, groups: Sequence[ConsumerGroup], timeout_seconds: float) -> None:
    """Return once each group has committed everything it was given, one after the other.

    A group's topics must no longer grow when its turn comes: producers must have finished before the call.
    Raises `DrainTimeout`.
    """
    deadline = time.monotonic() + timeout_seconds
    admin = AIOKafkaAdminClient(**client_options(kafka))
    await admin.start()
    try:
        for group in groups:
            for stage in group.stages:
                await drain_stage(admin, kafka, group.name, stage, deadline)
    finally:
        await admin.close()


async def group_offsets(
    admin: AIOKafkaAdminClient,
    group: str,
    partitions: Collection[TopicPartition],
    ids: Mapping[str, str],
    deadline: float,
) -> dict[TopicPartition, int]:
    """Return a group's committed offsets for the topics of these ids, not for other topics of their names.

    An unreachable coordinator is asked again until the deadline.
    """
    while True:
        try:
            return await committed_offsets(admin, group, partitions, ids)
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
        await asyncio.sleep(POLL_SECONDS)


async def drain_stage(
    admin: AIOKafkaAdminClient, kafka: KafkaSettings, group: str, topics: Sequence[str], deadline: float
) -> None:
    """Wait until a group has committed the present ends of some topics."""
    ends = await end_offsets(kafka, topics)
    found = await answered(kafka, lambda admin: topic_identities(admin, topics))
    ids = {name: each.topic_id for name, each in found.items()}
    while True:
        committed = await group_offsets(admin, group, ends, ids, deadline)
        left = {tp: end - committed.get(tp, 0) for tp, end in ends.items() if end > committed.get(tp, 0)}
        if not left:
            return
        if time.monotonic() > deadline:
            worst = max(left, key=lambda tp: left[tp])
            raise DrainTimeout(
                f"group {group} has {left[worst]} messages of {worst.topic}[{worst.partition}] left (and "
                f"{len(left) - 1} more partitions); see its workers' logs"
            )
        await asyncio.sleep(POLL_SECONDS)
