"""The tables' changelog topics: made before a worker joins its group."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from evometrics.schemas.settings import KafkaSettings, SettingsError
from evometrics.schemas.validation import MAX_EVENT_BYTES
from evometrics.streams.sources import answered

#: Time for a partition's new owner to come to what the one before had not committed (see `tables`).
COMPACTION_LAG_MS = 10 * 60 * 1000


async def create_changelogs(kafka: KafkaSettings, names: Iterable[str]) -> None:
    """Create those topics that are missing, each with `kafka.partitions` partitions.

    Raises `SettingsError` where one is there with another number of partitions (its states would be
    looked for in the wrong ones), `BrokerUnavailable` where no broker answers, `KafkaError` where it refuses.
    """
    names = list(names)

    async def ask(admin: AIOKafkaAdminClient) -> None:
        present = set(await admin.list_topics())
        missing = [new_topic(name, kafka) for name in names if name not in present]
        if missing:
            response = await admin.create_topics(missing)
            for name, code, message in (entry[:3] for entry in response.topic_errors):
                error = for_code(code)
                # another worker of the group may start at the same moment
                if code and not issubclass(error, TopicAlreadyExistsError):
                    raise error(f"topic {name}: {message or error.__name__}")
        there = [name for name in names if name in present]
        for entry in await admin.describe_topics(there) if there else []:
            number = len(entry["partitions"])
            if number != kafka.partitions:
                raise SettingsError(
                    f"topic {entry['topic']} has {number} partitions, the topics it belongs to have "
                    f"{kafka.partitions}: give this group another name (EVOMETRICS_STREAM_GROUP)"
                )

    await answered(kafka, ask)


def new_topic(name: str, kafka: KafkaSettings) -> NewTopic:
    """Return the request for one changelog."""
    return NewTopic(
        name,
        kafka.partitions,
        kafka.replication,
        topic_configs={
            "cleanup.policy": "compact",
            "min.compaction.lag.ms": str(COMPACTION_LAG_MS),
            "max.message.bytes": str(2 * MAX_EVENT_BYTES),
            "min.insync.replicas": str(max(1, kafka.replication - 1)),
        },
    )
