"""A user whose profile has readonly=1: may ask everything that analysts ask, and set nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from evometrics.sinks.checksums import checksums
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.migrations.migrate import migrate, planned, status
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.retention import TABLES, show
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.clickhouse_front import running_front


@pytest.fixture
def reader(migrated: ClickHouseSettings) -> Iterator[ClickHouseSettings]:
    """The migrated database, as such a user has it."""
    with running_front(migrated.url, readonly=True) as front:
        yield dataclasses.replace(migrated, url=front.url)


async def test_reading_sets_nothing(reader: ClickHouseSettings) -> None:
    async with MetricsQuery(reader) as metrics:
        assert await metrics.get_agent_evolution_history("nobody") == []
        assert await metrics.get_top_performing_evolutions() == []
        assert list(await metrics.sql("SELECT count() FROM evolution_metrics")) == [(0,)]
    assert all(found.rows == 0 for found in (await checksums(reader)).values())
    assert await planned(reader) == [] and {each.state for each in await status(reader)} == {"applied"}
    assert await migrate(reader) == []
    assert [each.table for each in await show(reader)] == list(TABLES)


async def test_writing_is_refused_in_one_line(reader: ClickHouseSettings) -> None:
    client = await open_client(reader)
    try:
        with pytest.raises(Exception, match="readonly"):
            await client.command(f"CREATE TABLE {reader.database}.t (a Int8) ENGINE = Memory")
    finally:
        await client.close()
