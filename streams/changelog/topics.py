"""Changelog topics of the tables, created before a worker joins its group."""

from __future__ import annotations

from collections.abc import Iterable

from evometrics.schemas.kafka.topic_settings import POLICY, put_right
from evometrics.schemas.kafka.topics import answered, create_missing, with_common
from evometrics.schemas.service.settings import KafkaSettings, SettingsError

#: Time for a partition's new owner to process what the previous one had not committed (see `tables`).
COMPACTION_LAG_MS = 10 * 60 * 1000


async def create_changelogs(kafka: KafkaSettings, names: Iterable[str]) -> None:
    """Create missing topics, each with `kafka.partitions` partitions; correct the settings of existing ones.

    Raises `SettingsError` if one exists with another number of partitions (its states would be looked up in
    the wrong ones), `BrokerUnavailable` if no broker answers, `KafkaError` if it refuses.
    """
    # stamped with the broker's time (`create_missing`), from which the worker takes the time (`clock`)
    compacted = {POLICY: "compact", "min.compaction.lag.ms": str(COMPACTION_LAG_MS)}
    topics = dict.fromkeys(names, compacted)
    existing = await answered(kafka, lambda admin: create_missing(admin, kafka, topics))
    for name, number in existing.items():
        if number != kafka.partitions:
            raise SettingsError(
                f"topic {name} has {number} partitions, the topics it belongs to have "
                f"{kafka.partitions}: give this group another name (EVOMETRICS_STREAM_GROUP)"
            )
    wanted = {name: settings for name, settings in with_common(kafka, topics).items() if name in existing}
    await answered(kafka, lambda admin: put_right(admin, wanted))
