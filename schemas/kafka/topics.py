"""Asks a cluster about its topics, and creates those that are missing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code

import evometrics.schemas.kafka.client_fixes  # noqa: F401 - works around how a client finds its cluster
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.reaching import why_unavailable
from evometrics.schemas.kafka.topic_identity import topic_identities
from evometrics.schemas.kafka.topic_settings import BROKER_TIME, LARGEST_MESSAGE, MIN_IN_SYNC
from evometrics.schemas.rules.validation import MAX_EVENT_BYTES
from evometrics.schemas.service.backoff import backoff
from evometrics.schemas.service.settings import KafkaSettings

CONNECT_SECONDS = 15.0
POLL_SECONDS = 0.5

T = TypeVar("T")


class BrokerUnavailable(EvometricsError, ConnectionError):
    """No broker can be reached; the message names the addresses and the way out."""


async def answered(kafka: KafkaSettings, ask: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
    """Ask the cluster, retrying for `CONNECT_SECONDS` where one of its brokers is unreachable.

    Raises `BrokerUnavailable`: at once where no broker answers, or at the end of that time; `KafkaError`
    where the broker refuses.
    """
    problem: KafkaError | None = None
    attempt = 0
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            while True:
                admin = AIOKafkaAdminClient(**client_options(kafka))
                try:
                    await admin.start()
                    try:
                        return await ask(admin)
                    except KafkaError as error:
                        if not error.retriable:
                            raise
                        problem = error
                finally:
                    await admin.close()
                attempt += 1
                await asyncio.sleep(backoff(attempt))
    except (TimeoutError, KafkaConnectionError) as error:
        raise await unavailable(kafka, problem or error) from error


async def unavailable(kafka: KafkaSettings, error: BaseException) -> BrokerUnavailable:
    """Return the error to raise where a client could not reach the cluster because of `error`."""
    return BrokerUnavailable(f"{await why_unavailable(kafka)} ({error!r})")


async def partitions_of(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, int]:
    """Return the number of partitions of each of the topics that exist. Raises `KafkaError`."""
    # by name: without the right to see a topic it would be missing among all, and here it is denied
    found = await topic_identities(admin, names)
    return {name: each.partitions for name, each in found.items()}


def with_common(kafka: KafkaSettings, topics: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return topics' settings together with those that all our topics have.

    Each accepts messages of twice the size of the largest event, for framing, derived events and states,
    stamps them with the broker's time, and needs all copies but one to confirm a write.
    """
    common = {
        LARGEST_MESSAGE: str(2 * MAX_EVENT_BYTES),
        MIN_IN_SYNC: in_sync(kafka.replication),
        **BROKER_TIME,
    }
    return {name: {**common, **own} for name, own in topics.items()}


def in_sync(copies: int) -> str:
    """Return how many copies of a partition must confirm a write: all but one."""
    return str(max(1, copies - 1))


async def create_missing(
    admin: AIOKafkaAdminClient, kafka: KafkaSettings, topics: Mapping[str, Mapping[str, str]]
) -> dict[str, int]:
    """Create those of the topics that are missing, with the given settings and those of `with_common`.

    Returns the number of partitions of those that existed. Raises `KafkaError` where the broker refuses.
    """
    existing = await partitions_of(admin, topics)
    missing = [
        NewTopic(name, kafka.partitions, kafka.replication, topic_configs=settings)
        for name, settings in with_common(kafka, topics).items()
        if name not in existing
    ]
    if missing:
        response = await admin.create_topics(missing)
        for name, code, message in (entry[:3] for entry in response.topic_errors):
            error = for_code(code)
            # another process may create it at the same moment
            if code and not issubclass(error, TopicAlreadyExistsError):
                raise error(f"topic {name}: {message or error.__name__}")
    return existing


async def delete(admin: AIOKafkaAdminClient, names: Collection[str]) -> None:
    """Delete topics; returns once the broker that answers no longer has them. Raises `KafkaError`."""
    if not names:
        return
    response = await admin.delete_topics(list(names))
    for name, code in response.topic_error_codes:
        if code:
            raise for_code(code)(f"topic {name}")
    while await partitions_of(admin, names):  # noqa: ASYNC110 - Kafka sends no notification
        await asyncio.sleep(POLL_SECONDS)
