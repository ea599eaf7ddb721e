"""How long topics keep their messages: asks a cluster, and changes it.

A broker judges a message's age by its timestamp. Old messages that are sent again with their own times are
deleted within minutes where their topic's retention is shorter than their age, read or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

RETENTION = "retention.ms"
#: In an answer's entry: the topic's own setting, not a default (`ConfigSource.DYNAMIC_TOPIC_CONFIG`).
OF_TOPIC = 1
FOR_EVER = -1
HEARD_TRIES, HEARD_SECONDS = 50, 0.1


async def own_settings(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the settings that each topic has of its own, and its retention wherever that comes from.

    Raises `KafkaError` where the broker refuses, a topic that is missing included.
    """
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(asked):
        for code, message, _, topic, entries in response.resources:
            if code:
                raise for_code(code)(f"topic {topic}: {message}")
            found[topic] = {
                entry[0]: entry[1]
                for entry in entries
                if entry[0] == RETENTION or (entry[3] == OF_TOPIC if response.API_VERSION else not entry[3])
            }
    return found


async def keep_for(admin: AIOKafkaAdminClient, retention_ms: Mapping[str, int]) -> None:
    """Set how long topics keep messages; their other settings stay. Raises `KafkaError`.

    Brokers hear of it a moment after it is decided: returns once the one that answers has, or after seconds.
    """
    settings = await own_settings(admin, list(retention_ms))
    # the request replaces all settings of a topic
    changed = [
        ConfigResource(ConfigResourceType.TOPIC, topic, settings[topic] | {RETENTION: str(milliseconds)})
        for topic, milliseconds in retention_ms.items()
    ]
    for response in await admin.alter_configs(changed) if changed else ():
        for code, message, _, topic in response.resources:
            if code:
                raise for_code(code)(f"topic {topic}: {message}")
    for _ in range(HEARD_TRIES):
        now = await own_settings(admin, list(retention_ms))
        if all(now[topic][RETENTION] == str(milliseconds) for topic, milliseconds in retention_ms.items()):
            return
        await asyncio.sleep(HEARD_SECONDS)


def too_short(settings: Mapping[str, Mapping[str, str]], age_ms: int, margin_ms: int) -> dict[str, int]:
    """Return the topics that would delete messages of an age, and what keeps those as long as new ones.

    `settings` are those of `own_settings`; a message counts as deleted `margin_ms` before it is.
    """
    now = {topic: int(own[RETENTION]) for topic, own in settings.items()}
    return {
        topic: age_ms + kept + margin_ms
        for topic, kept in now.items()
        if kept != FOR_EVER and kept < age_ms + margin_ms
    }
