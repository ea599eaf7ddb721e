"""Creating the topics: partitions, copies and retention as `schemas/topics.py` and the settings say."""

from __future__ import annotations

from dataclasses import dataclass

from evometrics.schemas.settings import KafkaSettings
from evometrics.schemas.topic_admin import answered, create_missing
from evometrics.schemas.topic_retention import RETENTION, keep_for
from evometrics.schemas.topics import SCOPE_COUNTS, SCOPE_COUNTS_RETENTION_MS, TOPICS


class TopicMismatch(ValueError):
    """A topic is there with other partitions than the settings ask for."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is on the broker."""

    name: str
    partitions: int
    created: bool


def retention() -> dict[str, int]:
    """Return how long each topic keeps messages, milliseconds."""
    return {t.name: t.retention_ms for t in TOPICS} | {SCOPE_COUNTS: SCOPE_COUNTS_RETENTION_MS}


async def create_topics(kafka: KafkaSettings) -> list[TopicState]:
    """Create the topics that are missing; what is there stays as it is.

    Raises `BrokerUnavailable` within seconds where no broker answers, `TopicMismatch` where an existing
    topic has another number of partitions (one agent's events would no longer be in order),
    `KafkaError` where the broker refuses.
    """
    topics = {name: {RETENTION: str(ms)} for name, ms in retention().items()}
    existing = await answered(kafka, lambda admin: create_missing(admin, kafka, topics))
    for name, partitions in existing.items():
        if partitions != kafka.partitions:
            raise TopicMismatch(
                f"topic {name} has {partitions} partitions, the settings ask for {kafka.partitions}: "
                f"set EVOMETRICS_KAFKA_PARTITIONS={partitions} or use another cluster"
            )
    return [TopicState(name, kafka.partitions, name not in existing) for name in topics]


async def reset_retention(kafka: KafkaSettings) -> None:
    """Let every topic keep messages as long as when it was made, its other settings as they are.

    Raises `BrokerUnavailable` within seconds, `KafkaError` where the broker refuses or a topic is missing.
    """
    await answered(kafka, lambda admin: keep_for(admin, retention()))
