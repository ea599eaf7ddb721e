"""A topic's settings: read, and changed one by one, although Kafka's request replaces all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from evometrics.schemas.topics import DAY_MS

RETENTION = "retention.ms"
TIMESTAMP_TYPE = "message.timestamp.type"
AFTER_MAX = "message.timestamp.after.max.ms"
LARGEST_MESSAGE = "max.message.bytes"
POLICY = "cleanup.policy"
MIN_IN_SYNC = "min.insync.replicas"
#: A message has the broker's time, whatever its sender's clock says: Kafka's retention uses it, and readers
#: compare event time, which is in the event, with it.
BROKER_TIME = {TIMESTAMP_TYPE: "LogAppendTime", AFTER_MAX: str(DAY_MS)}
#: A message has its sender's time, as far ahead as validation allows, instead of Kafka's one hour.
SENDER_TIME = BROKER_TIME | {TIMESTAMP_TYPE: "CreateTime"}
#: Settings that are changed on an existing topic only if it has none of its own, for example because a broker
#: created it automatically.
IF_NOT_OWN = (RETENTION, LARGEST_MESSAGE, POLICY)
#: In an answer's entry: the topic's own setting, not a default (`ConfigSource.DYNAMIC_TOPIC_CONFIG`).
OF_TOPIC = 1
HEARD_TRIES, HEARD_SECONDS = 50, 0.1


class Setting(NamedTuple):
    """A setting's value, and whether it is the topic's own rather than a default."""

    value: str
    own: bool


async def all_settings(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, dict[str, Setting]]:
    """Return all settings of each topic.

    Raises `KafkaError` where the broker refuses, also because a topic is missing.
    """
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    found: dict[str, dict[str, Setting]] = {}
    for response in await admin.describe_configs(asked) if asked else ():
        for code, message, _, topic, entries in response.resources:
            if code:
                raise for_code(code)(f"topic {topic}: {message}")
            found[topic] = {
                entry[0]: Setting(entry[1], entry[3] == OF_TOPIC if response.API_VERSION else not entry[3])
                for entry in entries
            }
    return found


async def own_settings(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the settings that each topic has of its own, and its retention even if that is a default.

    Raises like `all_settings`.
    """
    found = await all_settings(admin, topics)
    return {
        topic: {name: each.value for name, each in settings.items() if each.own or name == RETENTION}
        for topic, settings in found.items()
    }


async def change(admin: AIOKafkaAdminClient, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Change settings of topics, leaving their other own ones. Raises `KafkaError`.

    Brokers learn of a change a moment after it is made: returns once the broker that answers has, or after a
    few seconds.
    """
    wanted = {topic: values for topic, values in wanted.items() if values}
    if not wanted:
        return
    before = await own_settings(admin, list(wanted))
    # the request replaces all settings of a topic
    changed = [
        ConfigResource(ConfigResourceType.TOPIC, topic, before[topic] | dict(values))
        for topic, values in wanted.items()
    ]
    for response in await admin.alter_configs(changed):
        for code, message, _, topic in response.resources:
            if code:
                raise for_code(code)(f"topic {topic}: {message}")
    for _ in range(HEARD_TRIES):
        now = await own_settings(admin, list(wanted))
        if all(values.items() <= now[topic].items() for topic, values in wanted.items()):
            return
        await asyncio.sleep(HEARD_SECONDS)


async def put_right(
    admin: AIOKafkaAdminClient, wanted: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Change existing topics to the settings that new ones get; return what was changed, by topic.

    The broker's time is set whatever a topic had; the others only where it has none of its own, because those
    may be an administrator's. What a topic has already, be it by the broker's default, is not set: to set it
    takes a right. Raises `KafkaError`.
    """
    found = await all_settings(admin, list(wanted))
    changes: dict[str, dict[str, str]] = {}
    for topic, settings in found.items():
        other = {
            name: value
            for name, value in wanted[topic].items()
            if settings[name].value != value
            and (name in BROKER_TIME or (name in IF_NOT_OWN and not settings[name].own))
        }
        if other:
            changes[topic] = other
    await change(admin, changes)
    return changes
