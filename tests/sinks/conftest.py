"""A database and a consumer group for each test, on the real parts that all tests share."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import pytest

from evometrics.deploy.pipeline.topics import create_topics
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.sinks import Kafka, copy_database, run_statements, structure


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
def whole(migrated: ClickHouseSettings) -> dict[str, str]:
    """What its tables and views are made of."""
    return asyncio.run(structure(migrated))


@pytest.fixture
def database(migrated: ClickHouseSettings, empty_database: ClickHouseSettings) -> ClickHouseSettings:
    """A database as migrations make it."""
    asyncio.run(copy_database(migrated, empty_database))
    return empty_database


@pytest.fixture
def broker(kafka: str) -> Kafka:
    """The broker with all topics, and a group that reads only what the test sends."""
    settings = KafkaSettings(brokers=kafka)
    asyncio.run(create_topics(settings))
    own = Kafka(settings)
    asyncio.run(own.start_group_at_end())
    return own
