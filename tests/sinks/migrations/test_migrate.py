"""Migrations: twice is once, a kill in the middle is made good, every column says what it is."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from evometrics.schemas.topics import TOPICS
from evometrics.schemas.wire.catalog import newest
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.clickhouse.grants import ASKED_VIEWS
from evometrics.sinks.migrations import history as migration_history
from evometrics.sinks.migrations.files import Migration, migrations
from evometrics.sinks.migrations.history import BEGUN, agreed, record
from evometrics.sinks.migrations.migrate import check_version, migrate, own_tables, planned, status
from evometrics.sinks.migrations.plan import MigrationError, MigrationState, Recorded, plan, statuses
from evometrics.sinks.settings import ClickHouseSettings
from tests.reference.sql_tables import tables
from tests.support.sinks import rows, run_statements, structure
from tests.support.tables import SPECIFICATION

NOW = datetime(2026, 11, 1, tzinfo=UTC)
#: The history as builds made it that knew no states.
FORMER_HISTORY = """CREATE TABLE {database}.schema_migrations
(
    number UInt32 COMMENT 'Number of the file in sinks/migrations.',
    name String COMMENT 'Its name.',
    checksum String COMMENT 'SHA-256 of its text when it was applied.',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When its last statement had run.'
)
ENGINE = ReplacingMergeTree
ORDER BY number
COMMENT 'Migrations applied to this database.'"""


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
    numbers = await rows(empty_database, "SELECT number, state FROM schema_migrations FINAL ORDER BY number")
    assert numbers == [(m.number, "applied") for m in migrations()]


async def test_the_reference_has_the_columns_that_clickhouse_has(empty_database: ClickHouseSettings) -> None:
    await migrate(empty_database)
    there = await rows(
        empty_database,
        "SELECT table, name, type, comment FROM system.columns "
        f"WHERE database = '{empty_database.database}' ORDER BY table, position",
    )
    read = [
        (name, column, each.type, each.comment)
        for name, table in sorted(tables().items())
        if name not in ASKED_VIEWS  # of which ClickHouse shows no columns
        for column, each in table.columns.items()
    ]
    assert read == list(map(tuple, there))


async def test_an_interrupted_migration_is_seen_and_made_good(
    empty_database: ClickHouseSettings, whole: dict[str, str]
) -> None:
    first, second = migrations()[:2]
    await migrate(empty_database, to=first.number)
    client = await open_client(empty_database)
    await record(client, empty_database, second, BEGUN)
    await client.close()
    await run_statements(empty_database, second.statements(empty_database)[:2])  # and then it was killed
    found = {s.number: s.state for s in await status(empty_database)}
    assert [found[1], found[2], found[3]] == [
        MigrationState.APPLIED,
        MigrationState.INTERRUPTED,
        MigrationState.PENDING,
    ]
    assert await migrate(empty_database) == migrations()[1:]
    assert {s.state for s in await status(empty_database)} == {MigrationState.APPLIED}
    assert await structure(empty_database) == whole


async def test_a_failed_migration_names_its_statement_and_stays_interrupted(
    empty_database: ClickHouseSettings,
) -> None:
    await migrate(empty_database, to=3)
    await run_statements(empty_database, [f"DROP TABLE {empty_database.database}.kpi_deltas_rows"])
    with pytest.raises(
        MigrationError, match=r"0004_constraints failed at `ALTER TABLE \w+\.kpi_deltas_rows`"
    ):
        await migrate(empty_database)
    assert [s.state for s in await status(empty_database)][3:5] == [
        MigrationState.INTERRUPTED,
        MigrationState.PENDING,
    ]


async def test_a_dry_run_shows_what_would_run_and_touches_nothing(
    empty_database: ClickHouseSettings, whole: dict[str, str]
) -> None:
    found = await planned(empty_database)
    assert await structure(empty_database) == {}
    name = empty_database.database
    assert await rows(dataclasses.replace(empty_database, database="default"), there(name)) == [(0,)]
    assert [s.state for s in await status(empty_database)] == [MigrationState.PENDING] * len(migrations())
    assert await rows(dataclasses.replace(empty_database, database="default"), there(name)) == [(0,)]
    assert list(dict.fromkeys(s.number for s in found)) == [None, *(m.number for m in migrations())]
    await run_statements(empty_database, [s.sql for s in found])
    assert await structure(empty_database) == whole


def there(name: str) -> str:
    """Return the query that counts databases of a name."""
    return f"SELECT count() FROM system.databases WHERE name = '{name}'"


async def test_a_dry_run_shows_only_what_is_left(database: ClickHouseSettings) -> None:
    assert await planned(database) == []
    await run_statements(
        database, [f"ALTER TABLE {database.database}.schema_migrations DELETE WHERE number = 7"]
    )
    assert {s.number for s in await planned(database)} == {None, 7}


@pytest.mark.parametrize("level", [3, len(migrations())])
async def test_a_history_of_a_build_that_knew_no_states_is_brought_to_the_present_form(
    level: int, empty_database: ClickHouseSettings, whole: dict[str, str]
) -> None:
    name = empty_database.database
    done, left = migrations()[:level], migrations()[level:]
    values = ", ".join(f"({m.number}, '{m.name}', '{m.checksum}')" for m in done)
    await run_statements(
        empty_database,
        [
            f"CREATE DATABASE {name}",
            *(statement for m in done for statement in m.statements(empty_database)),
            FORMER_HISTORY.replace("{database}", name),
            f"INSERT INTO {name}.schema_migrations (number, name, checksum) VALUES {values}",
        ],
    )
    assert [s.state for s in await status(empty_database)] == ["applied"] * level + ["pending"] * len(left)
    assert "ADD COLUMN" in " ".join(s.sql for s in await planned(empty_database) if s.number is None)
    assert await migrate(empty_database) == left
    assert await structure(empty_database) == whole
    assert await planned(empty_database) == []


async def test_a_database_of_one_server_is_not_taken_for_a_clusters(database: ClickHouseSettings) -> None:
    cluster = dataclasses.replace(database, cluster="metrics")
    for ask in (migrate, planned, status):
        with pytest.raises(MigrationError, match="created on a single server: omit --cluster metrics"):
            await ask(cluster)


def test_a_clusters_own_tables_are_one_for_all_shards() -> None:
    made = own_tables(ClickHouseSettings(database="x", cluster="metrics"))
    assert all(" ON CLUSTER 'metrics'" in statement for statement in made)
    shared = "('/clickhouse/tables/{database}/{table}', '{shard}-{replica}'"
    assert f"ENGINE = ReplicatedReplacingMergeTree{shared})" in made[1]
    assert f"ENGINE = ReplicatedReplacingMergeTree{shared}, beat)" in made[2]


async def test_every_field_of_every_record_is_a_column_with_its_meaning(database: ClickHouseSettings) -> None:
    comments = await columns(database)
    for topic in TOPICS:
        for field in newest(topic.record).source["fields"]:
            for table in (topic.table, f"{topic.table}_rows"):
                name, place = field["name"], f"{table}.{field['name']}"
                assert (table, name) in comments, f"{place}: a new migration adds the column and shows it"
                assert comments[table, name] == field["doc"], place
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


def applied(known: list[Migration]) -> dict[int, Recorded]:
    """Return the history of a database to which these were applied."""
    return {m.number: Recorded(m.number, m.name, m.checksum, NOW) for m in known}


def begun(migration: Migration) -> dict[int, Recorded]:
    """Return the row of a migration that was begun."""
    return {migration.number: Recorded(migration.number, migration.name, "", NOW, begun=True)}


def test_a_server_that_is_too_old_is_named_before_anything_runs() -> None:
    settings = ClickHouseSettings(url="http://h:1")
    for version in ("24.3.1.1", "24.10", "26.9.2.1"):
        check_version(version, settings)
    with pytest.raises(MigrationError, match=r"http://h:1 is 23\.8\.16\.1: upgrade it to 24\.3 or newer"):
        check_version("23.8.16.1", settings)


def test_a_changed_file_and_a_newer_database_are_refused() -> None:
    known = migrations()
    assert plan(known, applied(known)) == [] and plan(known, {}) == known
    changed = [dataclasses.replace(known[0], sql=known[0].sql + "-- changed"), *known[1:]]
    with pytest.raises(MigrationError, match=f"{known[0].number:04d}_{known[0].name}.*restore the file"):
        plan(changed, applied(known))
    newer = {9999: Recorded(9999, "later", "x", NOW)}
    with pytest.raises(MigrationError, match=r"9999.*upgrade"):
        plan(known, applied(known) | newer)
    found = statuses(changed, applied(known[:2]) | begun(known[2]) | newer)
    states = ["changed", "applied", "interrupted", *["pending"] * (len(known) - 3), "unknown"]
    assert [s.state for s in found] == states
    assert statuses(known, begun(known[0]), running=True)[0].state is MigrationState.RUNNING


async def test_replicas_that_do_not_agree_yet_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration_history, "backoff", lambda *_: 0.001)
    answers: list[int | None] = [286, 289, None, 60]

    async def ask() -> str:
        code = answers.pop(0)
        if code is not None:
            raise DatabaseError("no", code=code)
        return "yes"

    assert await agreed(ask) == "yes"
    with pytest.raises(DatabaseError):
        await agreed(ask)  # a missing table is not waited for
    monkeypatch.setattr(migration_history, "AGREE_SECONDS", 0.0)
    answers += [286] * 1000
    with pytest.raises(DatabaseError):
        await agreed(ask)


def test_a_target_must_exist_and_lie_ahead() -> None:
    known = migrations()
    assert plan(known, applied(known[:2]), 4) == known[2:4]
    assert plan(known, applied(known[:2]) | begun(known[2]), 3) == known[2:3]
    assert plan(known, applied(known[:4]), 4) == []
    with pytest.raises(MigrationError, match=r"--to 99: there is no migration 0099; they range from 1 to \d"):
        plan(known, {}, 99)
    with pytest.raises(
        MigrationError, match=r"--to 3: the database already has migration 0004.*can't be undone"
    ):
        plan(known, applied(known[:4]), 3)
    with pytest.raises(
        MigrationError, match=r"--to 3: the database already has migration 0004.*can't be undone"
    ):
        plan(known, applied(known[:3]) | begun(known[3]), 3)
