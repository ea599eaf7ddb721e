"""At most one import at a time, on whatever machine: a consumer group whose members get no partitions.

A member that joins learns from the group's leader who else is in it. An import continues only while it is
alone; a later one finds it there and ends. A killed member stays in the group until the broker has missed it
for `SESSION_SECONDS`, and joining waits for that. By then nothing that it sent is still in flight.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import uuid
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

import evometrics.schemas.kafka.client_fixes  # noqa: F401 - fixes how a client finds its cluster
from evometrics.deploy.pipeline.rights import IMPORT_GROUP
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.kafka.client_options import HEARTBEAT_SECONDS, client_options
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import SYSTEM_EVENTS

SESSION_SECONDS = 6.0
#: How long a broker may take to admit us: a killed member's session, and the pause before a new group.
JOIN_SECONDS = 60.0


class NotAlone(EvometricsError, RuntimeError):
    """Another import is running, or ran while this one was cut off; the message names it and a way out."""


class NotLetIn(EvometricsError, TimeoutError):
    """The broker did not admit this import to its group in time."""


def roll_call(token: str, who: str, present: dict[str, str]) -> type[AbstractPartitionAssignor]:
    """Return an assignor that distributes the members' list, not partitions; `present` receives it."""

    class RollCall(AbstractPartitionAssignor):  # type: ignore[misc] # aiokafka ships no types
        name = "evometrics-roll-call"

        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            """Announce this member."""
            return ConsumerProtocolMemberMetadata(0, list(topics), json.dumps([token, who]).encode())

        @classmethod
        def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
            """As the leader, send each member the list of members."""
            called = dict(json.loads(member.user_data) for member in members.values())
            told = ConsumerProtocolMemberAssignment(0, [], json.dumps(called).encode())
            return dict.fromkeys(members, told)

        @classmethod
        def on_assignment(cls, assignment: Any) -> None:
            """Receive the list of members."""
            present.clear()
            present.update(json.loads(assignment.user_data))

    return RollCall


class Alone:
    """Holds the right to import. Use it as an async context manager.

    Entering raises `NotAlone` if another import is running, `NotLetIn` if the broker does not admit us.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self.token = uuid.uuid4().hex
        self.present: dict[str, str] = {}
        self.member = ""
        self.consumer = AIOKafkaConsumer(
            SYSTEM_EVENTS.name,
            **client_options(kafka),
            group_id=IMPORT_GROUP,
            partition_assignment_strategy=(
                roll_call(self.token, f"process {os.getpid()} on {socket.gethostname()}", self.present),
            ),
            enable_auto_commit=False,
            session_timeout_ms=int(SESSION_SECONDS * 1000),
            heartbeat_interval_ms=int(HEARTBEAT_SECONDS * 1000),
            rebalance_timeout_ms=int(2 * SESSION_SECONDS * 1000),
            max_poll_interval_ms=2**31 - 1,
        )

    async def __aenter__(self) -> Alone:
        try:
            await asyncio.wait_for(self.consumer.start(), JOIN_SECONDS)
            others = [name for token, name in self.present.items() if token != self.token]
            if others:
                raise NotAlone(
                    f"another import is running ({', '.join(others)}), and events published by both would "
                    "count twice: wait until it has ended, then run this one again"
                )
        except BaseException as error:
            await self.consumer.stop()
            if isinstance(error, TimeoutError):
                raise NotLetIn(
                    f"Kafka did not let this import into group {IMPORT_GROUP} in {JOIN_SECONDS:.0f} s: see "
                    "its log"
                ) from None
            raise
        self.member = self.member_id
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.consumer.stop()

    @property
    def member_id(self) -> str:
        """Our present id at the broker, which gives a new one to a member that was missing for too long."""
        return str(self.consumer._coordinator.member_id)

    def check(self) -> None:
        """Raise `NotAlone` if the broker has missed us, so that another import may have begun."""
        if self.member_id != self.member:
            raise NotAlone(
                f"the broker was unreachable for this import for over {SESSION_SECONDS:.0f} s, and another "
                "may have begun meanwhile: run it again, it resumes where this one ended"
            )
