"""Creates the topics: partitions, copies and settings as given by `schemas/topics.py` and the settings.

Existing topics are brought to this state: those created automatically by a broker, or by an earlier version
of this package, keep messages by their senders' clocks. Those of an administrator keep what they were given;
in what they differ is told, and whether the pipeline works with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.kafka.ranges import range_reader
from evometrics.schemas.kafka.retention import keep_for
from evometrics.schemas.kafka.topic_differences import COPIES, Difference, differences
from evometrics.schemas.kafka.topic_identity import topic_identities
from evometrics.schemas.kafka.topic_settings import (
    MIN_IN_SYNC,
    RETENTION,
    all_settings,
    put_right,
)
from evometrics.schemas.kafka.topics import (
    answered,
    create_missing,
    delete,
    in_sync,
    partitions_of,
    with_common,
)
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import SCOPE_COUNTS, SCOPE_COUNTS_RETENTION_MS, TOPICS


class TopicMismatch(EvometricsError, ValueError):
    """A topic that is to stay has other partitions than the settings ask for."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic's state on the broker.

    Attributes:
        created: whether it was created just now.
        instead_of: if it existed, empty, with another number of partitions: that number.
        changes: settings that were changed just now.
        differences: what it still has otherwise than a new topic.
    """

    name: str
    partitions: int
    created: bool
    instead_of: int | None = None
    changes: Mapping[str, str] = field(default_factory=dict)
    differences: Sequence[Difference] = ()

    @property
    def words(self) -> str:
        """Return the change made, in words for the operator."""
        if self.instead_of is not None:
            return f"recreated: it was empty, with {self.instead_of} partitions"
        if self.created:
            return "created"
        changed = ", ".join(f"{name}={value}" for name, value in sorted(self.changes.items()))
        return f"exists, set to {changed}" if changed else "exists"

    @property
    def notes(self) -> list[str]:
        """Return a line for each difference: the topic, what it has, and what follows."""
        return [
            f"topic {self.name} has {each.name}={each.found}, a new one {each.wanted}: {each.leads_to}"
            for each in self.differences
        ]

    @property
    def usable(self) -> bool:
        """Return whether the pipeline works with it as it is."""
        return all(each.usable for each in self.differences)


def retention() -> dict[str, int]:
    """Return how long each topic keeps messages, milliseconds."""
    return {t.name: t.retention_ms for t in TOPICS} | {SCOPE_COUNTS: SCOPE_COUNTS_RETENTION_MS}


async def create_topics(kafka: KafkaSettings) -> list[TopicState]:
    """Create missing topics, and correct existing ones.

    A topic that was never written to is recreated if it has another number of partitions, as one created
    automatically by a broker has, unless somebody gave it settings. Settings are changed as described at
    `put_right`, where the right to do so is there; what differs still is in the states returned.

    Raises `BrokerUnavailable` within seconds if no broker answers, `TopicMismatch` if another topic has
    another number of partitions (one agent's events would no longer be in order), `KafkaError` if the broker
    refuses.
    """
    topics = {name: {RETENTION: str(ms)} for name, ms in retention().items()}
    wanted = with_common(kafka, topics)
    found = await answered(kafka, lambda admin: partitions_of(admin, topics))
    others = {name: number for name, number in found.items() if number != kafka.partitions}
    again = await recreated(kafka, others, wanted) if others else set()
    there = await answered(kafka, lambda admin: create_missing(admin, kafka, topics))
    changes = await corrected(kafka, {name: wanted[name] for name in there})
    refuse_others({name: number for name, number in there.items() if number != kafka.partitions}, kafka)
    different = await differing(kafka, {name: wanted[name] for name in there}, changes)
    return [
        TopicState(
            name,
            kafka.partitions,
            name not in there,
            others[name] if name in again else None,
            changes.get(name, {}),
            different.get(name, ()),
        )
        for name in topics
    ]


async def recreated(
    kafka: KafkaSettings, others: Mapping[str, int], wanted: Mapping[str, Mapping[str, str]]
) -> Collection[str]:
    """Delete those of the topics that are empty, and nobody's but a broker's or ours; return their names.

    `others` are given with their numbers of partitions. Without the right to delete them they stay.
    """
    found = await answered(kafka, lambda admin: all_settings(admin, list(others)))
    own = {
        name: {key: each.value for key, each in settings.items() if each.own}
        for name, settings in found.items()
    }
    empty = {name for name in await never_written(kafka, others) if own[name].items() <= wanted[name].items()}
    try:
        await answered(kafka, lambda admin: delete(admin, empty))
    except TopicAuthorizationFailedError:
        return set()
    return empty


async def corrected(
    kafka: KafkaSettings, wanted: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Correct topics' settings; return what was changed, by topic: nothing without the right to do so."""
    try:
        return await answered(kafka, lambda admin: put_right(admin, wanted))
    except TopicAuthorizationFailedError:
        return {}


async def differing(
    kafka: KafkaSettings,
    wanted: Mapping[str, Mapping[str, str]],
    changes: Mapping[str, dict[str, str]],
) -> dict[str, list[Difference]]:
    """Return in what existing topics differ from new ones, after changes that not every broker may know yet.

    Raises `KafkaError`.
    """
    found = await answered(kafka, lambda admin: all_settings(admin, list(wanted)))
    identities = await answered(kafka, lambda admin: topic_identities(admin, wanted))
    return {
        name: differences(
            {key: each.value for key, each in found[name].items()} | changes.get(name, {}),
            {**wanted[name], MIN_IN_SYNC: in_sync(each.copies), COPIES: str(kafka.replication)},
            each.copies,
        )
        for name, each in identities.items()
    }


def refuse_others(others: Mapping[str, int], kafka: KafkaSettings) -> None:
    """Raise `TopicMismatch` for topics, given with the numbers of partitions that they should not have."""
    if not others:
        return
    listed = ", ".join(f"topic {name} has {number} partitions" for name, number in others.items())
    numbers = set(others.values())
    made_so = f"set EVOMETRICS_KAFKA_PARTITIONS={min(numbers)} where they were created, "
    one = made_so if len(numbers) == 1 else ""
    raise TopicMismatch(
        f"{listed}, but the settings ask for {kafka.partitions}: {one}use another "
        "cluster, or, if partitions were added or you want another number, recreate all topics (`evometrics "
        "topics --anew --partitions N`) and fill them from ClickHouse (`evometrics republish`): see "
        "docs/how-to/add-partitions.md"
    )


async def never_written(kafka: KafkaSettings, partitions: Mapping[str, int]) -> Collection[str]:
    """Return those of the topics, given with their numbers of partitions, that never held a message."""
    places = [TopicPartition(name, each) for name, number in partitions.items() for each in range(number)]
    async with range_reader(kafka) as consumer:
        ends = await consumer.end_offsets(places)
    return set(partitions) - {place.topic for place, end in ends.items() if end}


async def reset_retention(kafka: KafkaSettings) -> None:
    """Reset every topic's retention to its initial value, leaving its other settings.

    Raises `BrokerUnavailable` within seconds, `KafkaError` if the broker refuses or a topic is missing.
    """
    await answered(kafka, lambda admin: keep_for(admin, retention()))
