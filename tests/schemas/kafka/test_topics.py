"""The cluster is asked again where one of its brokers is away, and named where none answers."""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import NodeNotReadyError

from evometrics.schemas.kafka import topics as topic_admin
from evometrics.schemas.kafka.topics import BrokerUnavailable, answered, create_missing, partitions_of
from evometrics.schemas.service.settings import KafkaSettings


async def test_a_broker_that_is_away_just_now_is_asked_again_and_one_that_stays_away_is_named(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, asked = KafkaSettings(brokers=kafka), 0

    async def ask(admin: AIOKafkaAdminClient) -> int:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise NodeNotReadyError("node 2")
        return len(await admin.list_topics())

    assert await answered(settings, ask) >= 0
    assert asked == 2
    monkeypatch.setattr(topic_admin, "CONNECT_SECONDS", 0.1)
    with pytest.raises(BrokerUnavailable, match=re.escape(kafka)):
        await answered(settings, lambda _: asyncio.sleep(5))
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1:"):
        await answered(replace(settings, brokers="127.0.0.1:1"), ask)


async def test_topics_that_are_missing_are_created_by_whoever_comes_first(kafka: str) -> None:
    settings, name = KafkaSettings(brokers=kafka, partitions=3), f"topic-{uuid.uuid4().hex[:8]}"

    async def create() -> dict[str, int]:
        return await answered(settings, lambda admin: create_missing(admin, settings, {name: {}}))

    assert {} in await asyncio.gather(create(), create(), create())
    other = replace(settings, partitions=5)
    assert await answered(other, lambda a: create_missing(a, other, {name: {}})) == {name: 3}
    assert await answered(settings, lambda a: partitions_of(a, [name, f"no-{name}"])) == {name: 3}
