"""Which topics a cluster has under their names: the id of each (KIP-516), and its number of partitions.

A topic that was deleted and recreated has the old name, starts at offset 0 again and is a different topic;
its id shows that. An id is never reused. aiokafka (0.14) requests metadata in version 5, which has no ids:
here is the request in version 12 (Kafka 3.1). An older broker is sent version 5, and all ids are `UNKNOWN`.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Collection
from io import BytesIO
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

import evometrics.schemas.kafka.client_fixes  # noqa: F401 - works around how a client finds its cluster
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.service.settings import KafkaSettings

ANSWER_SECONDS = 10.0
#: The id of a topic whose broker gives none.
UNKNOWN = ""
UUID_BYTES = 16
NO_ID = bytes(UUID_BYTES)


class UUID(AbstractType):  # type: ignore[misc]
    """A UUID, 16 bytes."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(UUID_BYTES)


class MetadataResponse_v12(Response):  # type: ignore[misc] # noqa: N801 - as the library names them
    """The cluster's metadata; a topic's fields are those of version 5 with its id after its name."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", UUID),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MetadataRequest_v12(RequestStruct):  # type: ignore[misc] # noqa: N801
    """The request: topics by id or name."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = MetadataResponse_v12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", UUID), ("topic", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicsRequest(Request[MetadataRequest_v5 | MetadataRequest_v12]):  # type: ignore[misc]
    """Asks about topics by name; creates none."""

    API_KEY = 3

    def __init__(self, names: Collection[str]) -> None:
        self.names = names

    def build(self, request_struct_class: type[RequestStruct]) -> RequestStruct:
        """Return the request in one of its versions."""
        if request_struct_class is MetadataRequest_v5:
            return MetadataRequest_v5(list(self.names), False)
        return MetadataRequest_v12([(NO_ID, name, {}) for name in self.names], False, False, {})


class TopicIdentity(NamedTuple):
    """A topic: its id in 32 hex digits or `UNKNOWN`, how many partitions it has, and copies of each."""

    topic_id: str
    partitions: int
    copies: int

    def is_other_than(self, before: str) -> bool:
        """Return whether this is certainly a different topic from the one that had an id."""
        return UNKNOWN not in (self.topic_id, before) and self.topic_id != before


async def topic_identities(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, TopicIdentity]:
    """Return those of the topics that exist. Raises `KafkaError`."""
    response = await admin._send_request(TopicsRequest(names))
    return dict(found for found in map(identity, response.topics) if found is not None)


def identity(entry: tuple[Any, ...]) -> tuple[str, TopicIdentity] | None:
    """Return a topic of an answer of either version, None where it does not exist. Raises `KafkaError`."""
    with_id = isinstance(entry[2], bytes)
    error, name = for_code(entry[0]), entry[1]
    partitions = entry[4] if with_id else entry[3]
    if issubclass(error, UnknownTopicOrPartitionError):
        return None
    # a partition's own error (no leader for the moment) does not mean that the topic is missing
    if entry[0] and not partitions:
        raise error(f"topic {name}")
    topic_id = uuid.UUID(bytes=entry[2]).hex if with_id and entry[2] != NO_ID else UNKNOWN
    copies = min((len(each[4 if with_id else 3]) for each in partitions), default=0)
    return name, TopicIdentity(topic_id, len(partitions), copies)


class TopicWatch:
    """Asks about topics repeatedly, over a separate connection, which is reopened after an error.

    Several tasks may ask at once.
    """

    def __init__(self, kafka: KafkaSettings, names: Collection[str]) -> None:
        self.kafka = kafka
        self.names = names
        self.admin: AIOKafkaAdminClient | None = None
        self.starting = asyncio.Lock()

    async def look(self, names: Collection[str] | None = None) -> dict[str, TopicIdentity]:
        """Return those of the topics that exist now, or of the named ones.

        Raises `KafkaError`, `OSError` or `TimeoutError` where no broker answers.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await topic_identities(await self.connected(), names or self.names)
        except (KafkaError, OSError, TimeoutError):
            await self.close()
            raise

    async def connected(self) -> AIOKafkaAdminClient:
        async with self.starting:
            if self.admin is None:
                admin = AIOKafkaAdminClient(**client_options(self.kafka))
                try:
                    await admin.start()
                except BaseException:
                    await admin.close()
                    raise
                self.admin = admin
            return self.admin

    async def close(self) -> None:
        admin, self.admin = self.admin, None
        if admin is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await admin.close()
