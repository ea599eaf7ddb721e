"""Recreates all topics, with any number of partitions: empty, to be filled from ClickHouse (`republish`).

Partitions can be added to a topic, but an agent's further events would go to another one than its earlier
ones. So the topics are deleted and recreated, together with the stream's states of their contents.
"""

from __future__ import annotations

from aiokafka import TopicPartition

from evometrics.deploy.pipeline.topics import TopicState, create_topics, retention
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.kafka.offsets import committed_offsets
from evometrics.schemas.kafka.ranges import range_reader
from evometrics.schemas.kafka.topic_identity import topic_identities
from evometrics.schemas.kafka.topics import answered, delete, partitions_of
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import TOPICS

#: How many partitions with unstored messages are named.
NAMED = 5


class NotStored(EvometricsError, RuntimeError):
    """Topics hold messages that the sinks have not stored; the message names them."""


async def make_anew(kafka: KafkaSettings, sink_group: str, stream_group: str) -> list[TopicState]:
    """Delete the topics, and the changelogs of a stream's group; create the topics with `kafka.partitions`.

    After a kill in between, the same call continues. What a node sends between the check of what is stored
    and the end is lost: keep nodes idle. Raises `NotStored` with nothing deleted, `BrokerUnavailable` within
    seconds, `KafkaError` if the broker refuses.
    """
    await refuse_unless_stored(kafka, sink_group)
    every = await answered(kafka, lambda admin: admin.list_topics())
    changelogs = [n for n in every if n.startswith(f"{stream_group}-") and n.endswith("-changelog")]
    there = await answered(kafka, lambda admin: partitions_of(admin, [*retention(), *changelogs]))
    # the states go last: a stream that starts meanwhile must not start with those of other topics
    await answered(kafka, lambda admin: delete(admin, [name for name in there if name not in changelogs]))
    await answered(kafka, lambda admin: delete(admin, [name for name in there if name in changelogs]))
    return await create_topics(kafka)


async def refuse_unless_stored(kafka: KafkaSettings, group: str) -> None:
    """Raise `NotStored` unless a sink's group has committed everything in the topics."""
    numbers = await answered(kafka, lambda admin: partitions_of(admin, [topic.name for topic in TOPICS]))
    places = [TopicPartition(name, n) for name, number in numbers.items() for n in range(number)]
    async with range_reader(kafka) as consumer:
        ends = await consumer.end_offsets(places)
        begins = await consumer.beginning_offsets(places)
    found = await answered(kafka, lambda admin: topic_identities(admin, numbers))
    ids = {name: each.topic_id for name, each in found.items()}
    committed = await answered(kafka, lambda admin: committed_offsets(admin, group, places, ids))
    left = {tp: end - max(begins[tp], committed.get(tp, 0)) for tp, end in ends.items()}
    waiting = [f"{tp.topic}[{tp.partition}]: {number}" for tp, number in sorted(left.items()) if number > 0]
    if waiting:
        more = f" and {len(waiting) - NAMED} more partitions" if len(waiting) > NAMED else ""
        raise NotStored(
            f"the sinks of group {group} have not stored all messages ({', '.join(waiting[:NAMED])}{more}): "
            "nothing was deleted. Stop the nodes, and run this again once the sinks have caught up"
        )
