"""Creating the topics: partitions, copies and retention as `schemas/topics.py` and the settings say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code

import evometrics.schemas.bootstrap  # noqa: F401 - mends how a client finds its cluster
from evometrics.schemas.settings import KafkaSettings
from evometrics.schemas.topics import SCOPE_COUNTS, SCOPE_COUNTS_RETENTION_MS, TOPICS
from evometrics.schemas.validation import MAX_EVENT_BYTES
from evometrics.streams.sources import BrokerUnavailable

CONNECT_SECONDS = 10.0


class TopicMismatch(ValueError):
    """A topic is there with other partitions than the settings ask for."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is on the broker."""

    name: str
    partitions: int
    created: bool


async def create_topics(kafka: KafkaSettings) -> list[TopicState]:
    """Create the topics that are missing; what is there stays as it is.

    Raises `BrokerUnavailable` within seconds where no broker answers, `TopicMismatch` where an existing
    topic has another number of partitions (one agent's events would no longer be in order),
    `KafkaError` where the broker refuses.
    """
    retention = {t.name: t.retention_ms for t in TOPICS} | {SCOPE_COUNTS: SCOPE_COUNTS_RETENTION_MS}
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.brokers, client_id=kafka.client_id)
    try:
        await asyncio.wait_for(admin.start(), CONNECT_SECONDS)
    except (TimeoutError, KafkaConnectionError, OSError) as error:
        await admin.close()
        raise BrokerUnavailable(
            f"no Kafka broker answers at {kafka.brokers}: "
            "start it (evometrics up does) or give --brokers host:port"
        ) from error
    try:
        existing = await partitions_of(admin, list(retention))
        missing = [name for name in retention if name not in existing]
        if missing:
            response = await admin.create_topics([new_topic(n, kafka, retention[n]) for n in missing])
            for name, code, message in (entry[:3] for entry in response.topic_errors):
                error_type = for_code(code)
                if code and not issubclass(error_type, TopicAlreadyExistsError):
                    raise KafkaError(f"topic {name}: {error_type.__name__} {message or ''}".strip())
    finally:
        await admin.close()
    for name, partitions in existing.items():
        if partitions != kafka.partitions:
            raise TopicMismatch(
                f"topic {name} has {partitions} partitions, the settings ask for {kafka.partitions}: "
                f"set EVOMETRICS_KAFKA_PARTITIONS={partitions} or use another cluster"
            )
    return [TopicState(n, existing.get(n, kafka.partitions), n in missing) for n in retention]


async def partitions_of(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Return the number of partitions of those of the topics that are there."""
    present = [name for name in names if name in set(await admin.list_topics())]
    if not present:
        return {}
    return {entry["topic"]: len(entry["partitions"]) for entry in await admin.describe_topics(present)}


def new_topic(name: str, kafka: KafkaSettings, retention_ms: int) -> NewTopic:
    """Return the request for one topic."""
    return NewTopic(
        name,
        kafka.partitions,
        kafka.replication,
        topic_configs={
            "retention.ms": str(retention_ms),
            # framing and the record's own overhead on top of the largest event
            "max.message.bytes": str(2 * MAX_EVENT_BYTES),
            "min.insync.replicas": str(max(1, kafka.replication - 1)),
        },
    )
