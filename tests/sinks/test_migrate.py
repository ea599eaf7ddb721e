"""Migrations: twice is once, a kill in the middle is made good, every column says what it is."""

from __future__ import annotations

import dataclasses
import re

import pytest

from evometrics.schemas.catalog import newest
from evometrics.schemas.topics import TOPICS
from evometrics.sinks.client import open_client
from evometrics.sinks.migrate import HISTORY, MigrationError, migrate, migrations, pending
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.support import rows

SPECIFICATION = {
    "evolution_metrics": "id timestamp agent_id evolution_type evolution_id performance_score "
    "improvement_delta quality_score memory_used_mb cpu_percent_avg duration_minutes success error_count "
    "warning_count metadata",
    "kpi_snapshots": "id timestamp agent_id accuracy response_time_ms throughput_tps success_rate "
    "memory_usage_mb cpu_utilization energy_efficiency adaptation_rate knowledge_retention "
    "generalization_ability output_quality consistency reliability overall_performance evaluation_count "
    "confidence_interval",
    "evolution_strategies": "id evolution_id strategy_name risk_level target_gain actual_gain success "
    "applied_at",
    "system_events": "id timestamp event_type data",
}


async def columns(settings: ClickHouseSettings) -> dict[tuple[str, str], str]:
    """Return each column's comment by table and column."""
    found = await rows(
        settings, f"SELECT table, name, comment FROM system.columns WHERE database = '{settings.database}'"
    )
    return {(table, name): comment for table, name, comment in found}


async def test_migrating_twice_changes_nothing(empty_database: ClickHouseSettings) -> None:
    assert await migrate(empty_database) == migrations()
    before = await columns(empty_database)
    assert await migrate(empty_database) == []
    assert await columns(empty_database) == before
    numbers = await rows(empty_database, "SELECT number FROM schema_migrations ORDER BY number")
    assert [n for (n,) in numbers] == [m.number for m in migrations()]


async def test_a_run_that_was_killed_at_any_statement_is_made_good(
    empty_database: ClickHouseSettings,
) -> None:
    name = empty_database.database
    client = await open_client(empty_database, database="default")
    await client.command(f"CREATE DATABASE {name}")
    await client.command(HISTORY.replace("{database}", name))
    first, second = migrations()[:2]
    for statement in [*first.statements(name), *second.statements(name)[:2]]:
        await client.command(statement)  # and then it was killed, before either was recorded
    await client.close()
    assert await migrate(empty_database) == migrations()
    tables = {table for table, _ in await columns(empty_database)}
    assert {t.table for t in TOPICS} | {f"{t.table}_rows" for t in TOPICS} <= tables


async def test_every_field_of_every_record_is_a_column_with_its_meaning(database: ClickHouseSettings) -> None:
    comments = await columns(database)
    for topic in TOPICS:
        for field in newest(topic.record).source["fields"]:
            for table in (topic.table, f"{topic.table}_rows"):
                assert comments[table, field["name"]] == field["doc"], (table, field["name"])
    assert [column for column, comment in comments.items() if not comment] == []


async def test_the_specifications_tables_keep_their_columns(database: ClickHouseSettings) -> None:
    comments = await columns(database)
    for table, names in SPECIFICATION.items():
        assert [n for n in names.split() if (table, n) not in comments] == [], table
        assert await rows(database, f"SELECT {', '.join(names.split())} FROM {table}") == []


async def test_an_analysts_filter_reaches_the_sorting_key(database: ClickHouseSettings) -> None:
    client = await open_client(database)
    await client.command(
        "INSERT INTO evolution_metrics_rows (event_id, agent_id, occurred_at) SELECT generateUUIDv4(), "
        "'agent-' || toString(number % 100), toDateTime64('2026-11-01 00:00:00', 6) + number "
        "FROM numbers(100000)"
    )
    await client.close()
    plan = await rows(
        database,
        "EXPLAIN indexes = 1 SELECT * FROM evolution_metrics "
        "WHERE agent_id = 'agent-1' AND occurred_at > '2026-01-01 00:00:00'",
    )
    text = "\n".join(str(line) for (line,) in plan)
    assert "agent_id in ['agent-1', 'agent-1']" in text and "FINAL: 1" in text
    assert re.search(r"Granules: [12]/1[0-9]\b", text), text


def test_a_changed_file_and_a_newer_database_are_refused() -> None:
    known = migrations()
    applied = {m.number: m.checksum for m in known}
    assert pending(known, applied) == [] and pending(known, {}) == known
    changed = [dataclasses.replace(known[0], sql=known[0].sql + "-- changed"), *known[1:]]
    with pytest.raises(MigrationError, match=f"{known[0].number:04d}_{known[0].name}.*put the file back"):
        pending(changed, applied)
    with pytest.raises(MigrationError, match=r"9999.*upgrade"):
        pending(known, {**applied, 9999: "x"})
