"""What the stream reads: topics that must be there, all with the same number of partitions."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

from evometrics.schemas.settings import KafkaSettings, SettingsError
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_STARTED, KPI_SNAPSHOTS, SCOPE_COUNTS

EVOLUTION_TOPICS = (EVOLUTION_STARTED.name, EVOLUTION_COMPLETED.name)
SNAPSHOT_TOPICS = (KPI_SNAPSHOTS.name,)
SCOPE_TOPICS = (SCOPE_COUNTS,)
CONNECT_SECONDS = 15.0


class BrokerUnavailable(ConnectionError):
    """No broker answers; the message names the address and the way out."""


async def source_partitions(kafka: KafkaSettings) -> int:
    """Return how many partitions the topics have that the stream reads.

    Raises `BrokerUnavailable` within seconds, `SettingsError` where a topic is missing or differs.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.brokers, client_id=kafka.client_id)
    try:
        await asyncio.wait_for(consumer.start(), CONNECT_SECONDS)
        present = await consumer.topics()
        names = (*EVOLUTION_TOPICS, *SNAPSHOT_TOPICS, *SCOPE_TOPICS)
        missing = [name for name in names if name not in present]
        if missing:
            raise SettingsError(f"topics {', '.join(missing)} are not there: run `evometrics topics` first")
        numbers = {name: len(consumer.partitions_for_topic(name) or ()) for name in names}
    except (TimeoutError, KafkaConnectionError) as error:
        raise BrokerUnavailable(
            f"no Kafka broker answers at {kafka.brokers}: start it or correct the address ({error!r})"
        ) from error
    finally:
        await consumer.stop()
    if len(set(numbers.values())) != 1:
        listed = ", ".join(f"{name}: {number}" for name, number in numbers.items())
        raise SettingsError(f"the stream's topics must have the same number of partitions, not {listed}")
    return next(iter(numbers.values()))
