"""How long topics keep their messages.

A broker judges a message's age by its timestamp. Old messages that are sent again with their own times are
deleted within minutes where their topic's retention is shorter than their age, whether they were read or not.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient

from evometrics.schemas.kafka.topic_settings import RETENTION, change

FOR_EVER = -1


async def keep_for(admin: AIOKafkaAdminClient, retention_ms: Mapping[str, int]) -> None:
    """Set how long topics keep messages, leaving their other settings. Raises `KafkaError`."""
    await change(admin, {topic: {RETENTION: str(number)} for topic, number in retention_ms.items()})


def too_short(settings: Mapping[str, Mapping[str, str]], age_ms: int, margin_ms: int) -> dict[str, int]:
    """Return the topics that would delete messages of an age, and the retention that they need.

    That retention keeps such messages as long as new ones. `settings` are those of `own_settings`; a message
    counts as deleted `margin_ms` before it is.
    """
    now = {topic: int(own[RETENTION]) for topic, own in settings.items()}
    return {
        topic: age_ms + kept + margin_ms
        for topic, kept in now.items()
        if kept != FOR_EVER and kept < age_ms + margin_ms
    }
