"""Works around how aiokafka reads a consumer group's committed offsets; import it wherever they are read.

A coordinator that is still loading a group's offsets (after a restart or a move) returns a top-level error
and no offsets. aiokafka (0.14) checks only the errors of single partitions, and takes such an answer for
"nothing is committed": a consumer starts at the beginning, an admin client returns nothing. Here that error
is raised like those of single partitions; it is retriable, and the consumer retries by itself. For a
partition's error an admin client raises the code of the whole answer, which is none; here it raises the
partition's.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient as AIOKafkaAdminClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import NotCoordinatorForGroupError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest

import evometrics.schemas.kafka.client_fixes  # noqa: F401 - works around how a client finds its cluster


def checked(send: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return a sending method that raises the top-level error of an answer to an offset request."""

    async def send_checked(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        response = await send(self, request, *args, **kwargs)
        if isinstance(request, OffsetFetchRequest) and getattr(response, "error_code", None):
            error = for_code(response.error_code)
            if issubclass(error, NotCoordinatorForGroupError) and isinstance(self, GroupCoordinator):
                self.coordinator_dead()
            raise error("the group's offsets were not read")
        if isinstance(request, OffsetFetchRequest) and isinstance(self, AIOKafkaAdminClient):
            for topic, partitions in response.topics:
                if code := next((code for *_, code in partitions if code), 0):
                    raise for_code(code)(topic)
        return response

    return send_checked


async def next_offsets(
    admin: AIOKafkaAdminClient,
    consumer: AIOKafkaConsumer,
    group: str,
    partitions: list[TopicPartition],
    ids: Mapping[str, str] | None = None,
) -> dict[TopicPartition, int]:
    """Return where a group resumes reading: the committed offset, else the first one that exists.

    With `ids`, the ids of the existing topics, an offset counts only where the metadata committed with it
    name no other topic: Kafka accepts commits by name, also late ones for a topic that was deleted and
    recreated.
    """
    committed = await committed_offsets(admin, group, partitions, ids or {})
    fresh = [tp for tp in partitions if tp not in committed]
    if fresh:
        committed |= await consumer.beginning_offsets(fresh)
    return committed


async def committed_offsets(
    admin: AIOKafkaAdminClient, group: str, partitions: Iterable[TopicPartition], ids: Mapping[str, str]
) -> dict[TopicPartition, int]:
    """Return the offsets that a group has committed and that count, as for `next_offsets`."""
    partitions = list(partitions)
    # of these alone: for others of the group's topics the client may lack the right to ask
    found = await admin.list_consumer_group_offsets(group, partitions=partitions) if partitions else {}
    known = {tp: found[tp] for tp in partitions if tp in found and found[tp].offset >= 0}
    named = {tp: topic_named(each.metadata) for tp, each in known.items()}
    return {
        tp: each.offset
        for tp, each in known.items()
        if not (named[tp] and ids.get(tp.topic)) or named[tp] == ids[tp.topic]
    }


def topic_named(metadata: str) -> str:
    """Return the id of the topic that an offset was committed for, empty where its metadata name none.

    The stream commits the bare id, the sink a JSON object that contains it.
    """
    try:
        fields = json.loads(metadata)
    except ValueError:
        return metadata
    return str(fields.get("topic", "")) if isinstance(fields, dict) else metadata


GroupCoordinator._send_req = checked(GroupCoordinator._send_req)
AIOKafkaAdminClient._send_request = checked(AIOKafkaAdminClient._send_request)
