"""What the stream reads: topics that must be there, all with the same number of partitions."""

from __future__ import annotations

from evometrics.schemas.settings import KafkaSettings, SettingsError
from evometrics.schemas.topic_admin import answered, partitions_of
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_STARTED, KPI_SNAPSHOTS, SCOPE_COUNTS

EVOLUTION_TOPICS = (EVOLUTION_STARTED.name, EVOLUTION_COMPLETED.name)
SNAPSHOT_TOPICS = (KPI_SNAPSHOTS.name,)
SCOPE_TOPICS = (SCOPE_COUNTS,)


async def source_partitions(kafka: KafkaSettings) -> int:
    """Return how many partitions the topics have that the stream reads.

    Raises `BrokerUnavailable` within seconds, `SettingsError` where a topic is missing or differs.
    """
    names = (*EVOLUTION_TOPICS, *SNAPSHOT_TOPICS, *SCOPE_TOPICS)
    numbers = await answered(kafka, lambda admin: partitions_of(admin, names))
    missing = [name for name in names if name not in numbers]
    if missing:
        raise SettingsError(f"no topics {', '.join(missing)}: run `evometrics topics` first")
    if len(set(numbers.values())) != 1:
        listed = ", ".join(f"{name}: {number}" for name, number in numbers.items())
        raise SettingsError(f"the stream's topics must have the same number of partitions, not {listed}")
    return next(iter(numbers.values()))
