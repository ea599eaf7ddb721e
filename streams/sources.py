"""What the stream reads: topics that must be there, all with the same number of partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

import evometrics.schemas.bootstrap  # noqa: F401 - mends how a client finds its cluster
from evometrics.schemas.settings import KafkaSettings, SettingsError
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_STARTED, KPI_SNAPSHOTS, SCOPE_COUNTS

EVOLUTION_TOPICS = (EVOLUTION_STARTED.name, EVOLUTION_COMPLETED.name)
SNAPSHOT_TOPICS = (KPI_SNAPSHOTS.name,)
SCOPE_TOPICS = (SCOPE_COUNTS,)
CONNECT_SECONDS = 15.0
RETRY_SECONDS = 0.5

T = TypeVar("T")


class BrokerUnavailable(ConnectionError):
    """No broker answers; the message names the address and the way out."""


async def answered(kafka: KafkaSettings, ask: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
    """Ask the cluster, again for `CONNECT_SECONDS` where one of its brokers is away just now.

    Raises `BrokerUnavailable` where none answers, at once, or not by then; `KafkaError` where it refuses.
    """
    problem: KafkaError | None = None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            while True:
                admin = AIOKafkaAdminClient(bootstrap_servers=kafka.brokers, client_id=kafka.client_id)
                try:
                    await admin.start()
                    try:
                        return await ask(admin)
                    except KafkaError as error:
                        if not error.retriable:
                            raise
                        problem = error
                finally:
                    await admin.close()
                await asyncio.sleep(RETRY_SECONDS)
    except (TimeoutError, KafkaConnectionError) as error:
        raise BrokerUnavailable(
            f"no Kafka broker answers at {kafka.brokers}: start it or correct the address "
            f"({problem or error!r})"
        ) from error


async def source_partitions(kafka: KafkaSettings) -> int:
    """Return how many partitions the topics have that the stream reads.

    Raises `BrokerUnavailable` within seconds, `SettingsError` where a topic is missing or differs.
    """
    names = (*EVOLUTION_TOPICS, *SNAPSHOT_TOPICS, *SCOPE_TOPICS)

    async def ask(admin: AIOKafkaAdminClient) -> dict[str, int]:
        present = set(await admin.list_topics())
        missing = [name for name in names if name not in present]
        if missing:
            raise SettingsError(f"no topics {', '.join(missing)}: run `evometrics topics` first")
        return {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics(list(names))}

    numbers = await answered(kafka, ask)
    if len(set(numbers.values())) != 1:
        listed = ", ".join(f"{name}: {number}" for name, number in numbers.items())
        raise SettingsError(f"the stream's topics must have the same number of partitions, not {listed}")
    return next(iter(numbers.values()))
