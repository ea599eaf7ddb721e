"""Whether topics' events are still placed as with fewer partitions, for a group without states.

States are kept in as many partitions as the topics had when they were begun, which reveals partitions that
were added since. A new group has none. But events that nodes sent earlier lie where Kafka's partitioner put
them with fewer partitions, all of them by the same number. Events that another partitioner has placed
anywhere do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition

from evometrics.schemas.kafka.partitions import partition_of
from evometrics.schemas.kafka.ranges import range_reader
from evometrics.schemas.service.settings import KafkaSettings

#: Records that are examined, the first of each partition.
SAMPLE = 100
#: Keys that must be placed as with fewer partitions: by chance that many are not seen in a thousand years.
ENOUGH = 4
ANSWER_SECONDS = 30.0
POLL_MS = 1000


def grown_from(places: Iterable[tuple[bytes, int]], partitions: int) -> int | None:
    """Return the number of partitions that a topic had when some keys were placed; pure.

    None if all are placed as with its present number, or consistent with no number.
    """
    elsewhere = {(key, place) for key, place in places if partition_of(key, partitions) != place}
    if len(elsewhere) < ENOUGH:
        return None
    for before in range(partitions - 1, 1, -1):
        if all(partition_of(key, before) == place for key, place in elsewhere):
            return before
    return 1 if all(place == 0 for _, place in elsewhere) else None


async def grown_topics(kafka: KafkaSettings, numbers: Mapping[str, int]) -> dict[str, int]:
    """Return those of the topics, given with their numbers of partitions, that had fewer, and how many.

    Raises `KafkaError` or `TimeoutError` if no broker answers.
    """
    found: dict[str, int] = {}
    async with range_reader(kafka) as consumer, asyncio.timeout(ANSWER_SECONDS):
        for topic, number in numbers.items():
            places: list[tuple[bytes, int]] = []
            partitions = [TopicPartition(topic, n) for n in range(number)]
            ends = await consumer.end_offsets(partitions)
            begins = await consumer.beginning_offsets(partitions)
            for partition in (tp for tp in partitions if begins[tp] < ends[tp]):
                consumer.assign([partition])
                await consumer.seek_to_beginning(partition)
                for records in (await consumer.getmany(timeout_ms=POLL_MS, max_records=SAMPLE)).values():
                    places += [(r.key, partition.partition) for r in records if r.key is not None]
            before = grown_from(places, number)
            if before is not None:
                found[topic] = before
    return found
