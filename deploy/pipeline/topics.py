"""Creates the topics: partitions, copies and settings as given by `schemas/topics.py` and the settings.

Existing topics are brought to this state: those created automatically by a broker, or by an earlier version
of this package, keep messages by their senders' clocks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.kafka.ranges import range_reader
from evometrics.schemas.kafka.retention import keep_for
from evometrics.schemas.kafka.topic_settings import RETENTION, put_right
from evometrics.schemas.kafka.topics import answered, create_missing, delete, partitions_of, with_common
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import SCOPE_COUNTS, SCOPE_COUNTS_RETENTION_MS, TOPICS


class TopicMismatch(EvometricsError, ValueError):
    """A topic exists with other partitions than the settings ask for, and holds messages."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic's state on the broker.

    Attributes:
        created: whether it was created just now.
        instead_of: if it existed, empty, with another number of partitions: that number.
        changes: settings that were changed just now.
    """

    name: str
    partitions: int
    created: bool
    instead_of: int | None = None
    changes: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """Return what was done, for the operator."""
        if self.instead_of is not None:
            return f"recreated: it was empty, with {self.instead_of} partitions"
        if self.created:
            return "created"
        changed = ", ".join(f"{name}={value}" for name, value in sorted(self.changes.items()))
        return f"exists, set to {changed}" if changed else "exists"


def retention() -> dict[str, int]:
    """Return how long each topic keeps messages, milliseconds."""
    return {t.name: t.retention_ms for t in TOPICS} | {SCOPE_COUNTS: SCOPE_COUNTS_RETENTION_MS}


async def create_topics(kafka: KafkaSettings) -> list[TopicState]:
    """Create missing topics, and correct existing ones.

    A topic that was never written to is recreated if it has another number of partitions, as one created
    automatically by a broker has. Settings are changed as described at `put_right`.

    Raises `BrokerUnavailable` within seconds if no broker answers, `TopicMismatch` if a topic that was
    written to has another number of partitions (one agent's events would no longer be in order), `KafkaError`
    if the broker refuses.
    """
    topics = {name: {RETENTION: str(ms)} for name, ms in retention().items()}
    found = await answered(kafka, lambda admin: partitions_of(admin, topics))
    others = {name: number for name, number in found.items() if number != kafka.partitions}
    again = await never_written(kafka, others) if others else set()
    await answered(kafka, lambda admin: delete(admin, again))
    there = await answered(kafka, lambda admin: create_missing(admin, kafka, topics))
    settings = {name: each for name, each in with_common(kafka, topics).items() if name in there}
    changes = await answered(kafka, lambda admin: put_right(admin, settings))
    refuse_others({name: number for name, number in there.items() if number != kafka.partitions}, kafka)
    return [
        TopicState(
            name,
            kafka.partitions,
            name not in there,
            others[name] if name in again else None,
            changes.get(name, {}),
        )
        for name in topics
    ]


def refuse_others(others: Mapping[str, int], kafka: KafkaSettings) -> None:
    """Raise `TopicMismatch` for topics, given with the numbers of partitions that they should not have."""
    if not others:
        return
    listed = ", ".join(f"topic {name} has {number} partitions" for name, number in others.items())
    numbers = set(others.values())
    made_so = f"set EVOMETRICS_KAFKA_PARTITIONS={min(numbers)} where they were created, "
    one = made_so if len(numbers) == 1 else ""
    raise TopicMismatch(
        f"{listed} and holds messages, but the settings ask for {kafka.partitions}: {one}use another "
        "cluster, or, if partitions were added or you want another number, recreate all topics (`evometrics "
        "topics --anew --partitions N`) and fill them from ClickHouse (`evometrics republish`): see "
        "docs/how-to/add-partitions.md"
    )


async def never_written(kafka: KafkaSettings, partitions: Mapping[str, int]) -> Collection[str]:
    """Return those of the topics, given with their numbers of partitions, that never held a message."""
    places = [TopicPartition(name, each) for name, number in partitions.items() for each in range(number)]
    async with range_reader(kafka, f"{kafka.client_id}-topics") as consumer:
        ends = await consumer.end_offsets(places)
    return set(partitions) - {place.topic for place, end in ends.items() if end}


async def reset_retention(kafka: KafkaSettings) -> None:
    """Reset every topic's retention to its initial value, leaving its other settings.

    Raises `BrokerUnavailable` within seconds, `KafkaError` if the broker refuses or a topic is missing.
    """
    await answered(kafka, lambda admin: keep_for(admin, retention()))
