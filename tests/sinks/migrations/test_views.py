"""What a view reads: little where little is asked for, and always the right copy of an event."""

from __future__ import annotations

import re

import pytest

from evometrics.schemas.topics import TOPICS
from evometrics.sinks.migrations.files import migrations
from evometrics.sinks.migrations.migrate import migrate
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.sinks import eventually, rows, run_statements

ROWS = 40_000
#: The index's granules that are read, of those there are.
BY_INDEX = re.compile(r"Name: events\s.*?Granules: (\d+)/(\d+)", re.DOTALL)
#: The event that each insert holds anew, and where it is in the sorting key.
EVENT = "00000000-0000-4000-8000-000000000000"
BY_ID, BY_KEY = f"event_id = '{EVENT}'", "agent_id = 'agent-0' AND occurred_at = '2026-11-01 00:00:00'"


async def fill(database: ClickHouseSettings, inserts: int = 3) -> None:
    """Insert metrics of 100 agents over some hours, each time as a part of its own."""
    table = f"{database.database}.evolution_metrics_rows"
    statements = [f"SYSTEM STOP MERGES {table}"]
    for insert in range(inserts):
        statements.append(
            f"INSERT INTO {table} (event_id, agent_id, occurred_at, status) SELECT "
            f"if(number = 0, toUUID('{EVENT}'), generateUUIDv4()), 'agent-' || toString(number % 100), "
            f"toDateTime64('2026-11-01 00:00:00', 6) + number + if(number = 0, 0, {insert} / 10), "
            f"'insert {insert}' FROM numbers({ROWS})"
        )
    await run_statements(database, statements)


async def plan(database: ClickHouseSettings, where: str) -> str:
    """Return how ClickHouse would read the view."""
    sql = f"EXPLAIN indexes = 1, actions = 1 SELECT * FROM evolution_metrics WHERE {where}"
    return "\n".join(str(line) for (line,) in await rows(database, sql))


def narrow(text: str) -> bool:
    """Return whether a plan leaves out most granules by the index on event ids."""
    found = BY_INDEX.search(text)
    return found is not None and 2 * int(found[1]) < int(found[2])


async def test_an_event_is_found_by_its_id_without_reading_all_ids(database: ClickHouseSettings) -> None:
    await fill(database)
    text = await plan(database, BY_ID)
    assert narrow(text), text
    found = await rows(database, f"SELECT agent_id, status FROM evolution_metrics WHERE {BY_ID}")
    assert found == [("agent-0", "insert 2")]


async def test_conditions_on_the_key_come_before_final_and_no_others(database: ClickHouseSettings) -> None:
    await fill(database)
    for condition in ("agent_id = 'agent-7'", "occurred_at > '2026-11-01 05:00:00'", BY_ID):
        text = await plan(database, f"{condition} AND status = 'insert 0'")
        read = re.search(r"Prewhere filter column: (.*)", text)
        assert read and condition.split()[0] in read[1] and "status" not in read[1], text
    assert "Prewhere" not in await plan(database, "status = 'insert 0'")


async def test_a_copy_that_was_replaced_is_not_found_by_what_it_said(database: ClickHouseSettings) -> None:
    await fill(database)
    for status, number in (("insert 0", 0), ("insert 1", 0), ("insert 2", 1)):
        for condition in (BY_ID, BY_KEY):
            sql = f"SELECT count() FROM evolution_metrics WHERE {condition} AND status = '{status}'"
            assert await rows(database, sql) == [(number,)], sql
    counts = await rows(database, "SELECT count(), uniqExact(event_id) FROM evolution_metrics")
    assert counts == [(3 * ROWS - 2, 3 * ROWS - 2)]


async def test_rows_from_before_the_index_get_it(empty_database: ClickHouseSettings) -> None:
    await migrate(empty_database, to=11)
    await fill(empty_database)
    start = f"SYSTEM START MERGES {empty_database.database}.evolution_metrics_rows"
    await run_statements(empty_database, [start])
    await migrate(empty_database)

    async def indexed() -> bool:
        return narrow(await plan(empty_database, BY_ID))

    await eventually(indexed, "the index of rows that were there before")


async def test_every_table_is_read_so_under_its_own_name(database: ClickHouseSettings) -> None:
    found = await rows(
        database,
        "SELECT name, as_select, create_table_query FROM system.tables WHERE engine = 'View' "
        f"AND database = '{database.database}'",
    )
    views = {name: (query, created) for name, query, created in found}
    for name in (*(topic.table for topic in TOPICS), "evolution_strategies"):
        query, created = views[name]
        assert "SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1" in query, name
        assert "SQL SECURITY DEFINER" in created, name


@pytest.mark.parametrize("cluster", ["", "metrics"])
def test_every_table_merges_its_quiet_months(cluster: str) -> None:
    settings, end = ClickHouseSettings(database="d", cluster=cluster), ""
    if cluster:
        end = f"_local ON CLUSTER '{cluster}'"
    text = "\n".join(statement for m in migrations() for statement in m.statements(settings))
    for topic in TOPICS:
        alter = f"ALTER TABLE d.{topic.table}_rows{end}"
        assert f"{alter} MODIFY SETTING min_age_to_force_merge_seconds = " in text
        assert f"{alter} ADD INDEX IF NOT EXISTS events event_id " in text
        assert f"{alter} MATERIALIZE INDEX events" in text
