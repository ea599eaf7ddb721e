"""How far the pipeline's consumer groups are behind what is in Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from aiokafka import TopicPartition

from evometrics.deploy.pipeline.drain import ConsumerGroup
from evometrics.schemas.kafka.offsets import AIOKafkaAdminClient, committed_offsets
from evometrics.schemas.kafka.ranges import range_reader
from evometrics.schemas.kafka.topic_identity import topic_identities
from evometrics.schemas.kafka.topics import answered
from evometrics.schemas.service.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class TopicLag:
    """A group's lag in a topic.

    Attributes:
        partitions: of the topic.
        behind: messages that the group has not committed, of all partitions.
        most: those of the partition that has most of them.
        begun: whether the group has committed anything of the topic.
    """

    group: str
    topic: str
    partitions: int
    behind: int
    most: int
    begun: bool


async def topic_lags(kafka: KafkaSettings, groups: Sequence[ConsumerGroup]) -> list[TopicLag]:
    """Return each group's lag in each of its topics that exist.

    Raises `BrokerUnavailable` where no broker answers, `KafkaError` where one refuses.
    """
    topics = {each.name: list(dict.fromkeys(chain(*each.stages))) for each in groups}

    async def ask(admin: AIOKafkaAdminClient) -> dict[str, dict[TopicPartition, int | None]]:
        found = await topic_identities(admin, sorted({topic for own in topics.values() for topic in own}))
        ids = {name: each.topic_id for name, each in found.items()}
        committed = {}
        for group, own in topics.items():
            known = [topic for topic in own if topic in found]
            places = [TopicPartition(topic, n) for topic in known for n in range(found[topic].partitions)]
            offsets = await committed_offsets(admin, group, places, ids)
            committed[group] = {place: offsets.get(place) for place in places}
        return committed

    committed = await answered(kafka, ask)
    places = sorted({place for own in committed.values() for place in own})
    async with range_reader(kafka) as consumer:  # after the commits: no group is ahead of an end
        first, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    lags = []
    for group, own in committed.items():
        for topic in topics[group]:
            at = {place: offset for place, offset in own.items() if place.topic == topic}
            behind = [max(0, ends[place] - max(offset or 0, first[place])) for place, offset in at.items()]
            if behind:
                begun = any(offset is not None for offset in at.values())
                lags.append(TopicLag(group, topic, len(behind), sum(behind), max(behind), begun))
    return lags
