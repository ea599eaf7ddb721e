"""What the stream reads: topics that must be there, all with the same number of partitions."""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
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
    names = (*EVOLUTION_TOPICS, *SNAPSHOT_TOPICS, *SCOPE_TOPICS)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.brokers, client_id=kafka.client_id)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await admin.start()
            present = set(await admin.list_topics())
            missing = [name for name in names if name not in present]
            if missing:
                raise SettingsError(f"no topics {', '.join(missing)}: run `evometrics topics` first")
            numbers = {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics(list(names))}
    except (TimeoutError, KafkaConnectionError) as error:
        raise BrokerUnavailable(
            f"no Kafka broker answers at {kafka.brokers}: start it or correct the address ({error!r})"
        ) from error
    finally:
        await admin.close()
    if len(set(numbers.values())) != 1:
        listed = ", ".join(f"{name}: {number}" for name, number in numbers.items())
        raise SettingsError(f"the stream's topics must have the same number of partitions, not {listed}")
    return next(iter(numbers.values()))
