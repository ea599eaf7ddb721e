"""One worker per instance name: the last to join under it keeps it, the other says so and computes nothing.

Kafka gives a name (`group.instance.id`) to whoever joined under it last. The worker that had it learns no
more than that it is not a member, for aiokafka's heartbeats (0.14) do not carry the name: the same as after
a pause beyond its session. It would join again and push the other out, and so on, without end. So before a
worker that has lost its membership joins again, it looks whether another one has its name by now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.kafka.topics import answered
from evometrics.schemas.service.backoff import SOON_SECONDS
from evometrics.schemas.service.settings import KafkaSettings

log = logging.getLogger(__name__)


class InstanceTaken(EvometricsError, RuntimeError):
    """Another worker has joined the group under this one's instance name."""


class Membership:
    """A static member of a group, under its name in Kafka.

    Args:
        instance: the worker's own name.
        name: the name in Kafka (`group.instance.id`).
        taken: receives `InstanceTaken`; called in the consumer's thread.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        instance: str,
        name: str,
        taken: Callable[[InstanceTaken], None],
    ) -> None:
        self.kafka = kafka
        self.group = group
        self.instance = instance
        self.name = name
        self.taken = taken
        self.member_id = ""
        self.coordinator: Any = None

    def guard(self, coordinator: Any) -> None:
        """Let a consumer's coordinator (aiokafka's) join only while no other worker has taken the name."""
        if self.coordinator is coordinator:
            return
        self.coordinator, join = coordinator, coordinator._do_rejoin_group

        async def join_if_free(subscription: Any) -> bool:
            if self.member_id and not coordinator.member_id:
                try:
                    await self.verify()
                except InstanceTaken as taken:
                    self.taken(taken)
                    await coordinator._closing
                    return False
                except (KafkaError, OSError, TimeoutError) as error:
                    log.warning("can't tell yet whether another worker has instance %s: %r", self.name, error)
                    await asyncio.sleep(SOON_SECONDS)
                    return False
            joined = bool(await join(subscription))
            if joined:
                self.member_id = coordinator.member_id
            return joined

        coordinator._do_rejoin_group = join_if_free

    async def verify(self) -> None:
        """Return if no other worker is a member under the name.

        Raises `InstanceTaken`, `KafkaError` or `TimeoutError` if the cluster does not say.
        """
        if await answered(self.kafka, self.members) - {self.member_id}:
            raise InstanceTaken(
                f"another worker has joined group {self.group} as instance {self.instance}: give each worker "
                "a name of its own (--instance, EVOMETRICS_STREAM_INSTANCE) and start it again. This one "
                "computes nothing until the other one has left the group"
            )

    async def members(self, admin: Any) -> set[str]:
        """Return the ids of the members under the name: Kafka begins the id of a static member with it."""
        (answer,) = await admin.describe_consumer_groups([self.group])
        ((_, _, _, _, _, members, *_),) = answer.groups
        return {member[0] for member in members if member[0].startswith(f"{self.name}-")}
