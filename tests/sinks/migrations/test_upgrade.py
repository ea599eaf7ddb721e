"""A database of each released level, with rows in every table, comes to the newest level with them intact."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from evometrics.schemas.events import Event
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.topics import BY_RECORD
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.migrations.files import migrations
from evometrics.sinks.migrations.migrate import migrate
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import Batch, Partition
from evometrics.sinks.worker.writer import TableWriter
from tests.support.sinks import WIRE, one_of_each, sent, structure

LEVELS = [migration.number for migration in migrations()[:-1]]
CREATED = re.compile(r"^CREATE TABLE IF NOT EXISTS \{database\}\.(\w+_rows)\b", re.MULTILINE)


async def stored(settings: ClickHouseSettings, tables: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of tables or views, each by column."""
    client = await open_client(settings)
    try:
        results = {table: await client.query(f"SELECT * FROM {table} ORDER BY event_id") for table in tables}
        return {table: list(result.named_results()) for table, result in results.items()}
    finally:
        await client.close()


async def insert(settings: ClickHouseSettings, events: list[Event], offset: int) -> None:
    """Insert events as the sink does."""
    writer = TableWriter(settings, Instruments(CollectorRegistry(), OF_SINK))
    batch = Batch()
    for event in events:
        message = sent(event, offset=offset)
        batch.add({Partition(message.topic, message.partition): [message]}, WIRE)
    for group in batch.groups.values():
        await writer.insert(group, group.rows, new_event_id())
    await writer.close()


def tables_of(events: list[Event], end: str = "") -> list[str]:
    return [BY_RECORD[event.record].table + end for event in events]


@pytest.mark.parametrize("level", LEVELS)
async def test_rows_of_every_level_are_intact_at_the_newest(
    level: int, empty_database: ClickHouseSettings, whole: dict[str, str]
) -> None:
    assert [m.number for m in await migrate(empty_database, to=level)] == LEVELS[: LEVELS.index(level) + 1]
    there = await structure(empty_database)
    old = [event for event in one_of_each("old") if f"{BY_RECORD[event.record].table}_rows" in there]
    created = [table for m in migrations() if m.number <= level for table in CREATED.findall(m.sql)]
    assert sorted(tables_of(old, "_rows")) == sorted(created), "one_of_each has an event for each table"
    await insert(empty_database, old, offset=1)
    storage = tables_of(old, "_rows")
    before = await stored(empty_database, storage)
    assert [len(found) for found in before.values()] == [1] * len(old)

    await migrate(empty_database)

    assert await structure(empty_database) == whole
    after = await stored(empty_database, storage)
    kept = {
        table: [{name: row[name] for name in before[table][0]} for row in after[table]] for table in after
    }
    assert kept == before
    new = one_of_each("new")
    await insert(empty_database, new, offset=2)
    views = await stored(empty_database, tables_of(new))
    agents = {table: sorted(row["agent_id"] for row in found) for table, found in views.items()}
    assert agents == {table: ["new", "old"] if table in tables_of(old) else ["new"] for table in agents}
    for event in old:
        table = BY_RECORD[event.record].table
        (shown,) = [row for row in views[table] if row["agent_id"] == "old"]
        (row,) = before[f"{table}_rows"]
        # memory that was not measured was 0, and is shown as NULL
        both = row.keys() & shown.keys()
        told = {name: 0 if shown[name] is None else shown[name] for name in both}
        assert told == {name: 0 if row[name] is None else row[name] for name in both}
