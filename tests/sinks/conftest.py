"""A database and a consumer group for each test, on the real parts that all tests share."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import pytest

from evometrics.deploy.topics import create_topics
from evometrics.schemas.settings import KafkaSettings
from evometrics.sinks.client import open_client
from evometrics.sinks.migrate import migrate
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.support import Kafka


@pytest.fixture
def empty_database(clickhouse: str) -> Iterator[ClickHouseSettings]:
    """A database name that is not in use; dropped afterwards."""
    settings = ClickHouseSettings(url=clickhouse, database=f"sinks_{uuid.uuid4().hex[:12]}")
    yield settings

    async def drop() -> None:
        client = await open_client(settings, database="default")
        await client.command(f"DROP DATABASE IF EXISTS {settings.database}")
        await client.close()

    asyncio.run(drop())


@pytest.fixture
def database(empty_database: ClickHouseSettings) -> ClickHouseSettings:
    """A migrated database."""
    asyncio.run(migrate(empty_database))
    return empty_database


@pytest.fixture
def broker(kafka: str) -> Kafka:
    """The broker with all topics, and a group that reads only what the test sends."""
    settings = KafkaSettings(brokers=kafka)
    asyncio.run(create_topics(settings))
    own = Kafka(settings)
    asyncio.run(own.start_group_at_end())
    return own
