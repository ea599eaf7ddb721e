"""A database and a consumer group for each test, on the real parts that all tests share."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import pytest

from evometrics.deploy.topics import create_topics
from evometrics.schemas.settings import KafkaSettings
from evometrics.sinks.migrate import migrate
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.support import Kafka, run_statements, structure


@pytest.fixture
def empty_database(clickhouse: str) -> Iterator[ClickHouseSettings]:
    """A database name that is not in use; dropped afterwards."""
    settings = unused(clickhouse)
    yield settings
    asyncio.run(drop(settings))


def unused(clickhouse: str) -> ClickHouseSettings:
    """Return settings for a database that is not there."""
    return ClickHouseSettings(url=clickhouse, database=f"sinks_{uuid.uuid4().hex[:12]}")


async def drop(settings: ClickHouseSettings) -> None:
    """Drop the database."""
    await run_statements(settings, [f"DROP DATABASE IF EXISTS {settings.database}"])


@pytest.fixture(scope="session")
def whole(clickhouse: str) -> dict[str, str]:
    """What tables and views are made of where all migrations were applied in one go."""
    settings = unused(clickhouse)

    async def made() -> dict[str, str]:
        await migrate(settings)
        found = await structure(settings)
        await drop(settings)
        return found

    return asyncio.run(made())


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
