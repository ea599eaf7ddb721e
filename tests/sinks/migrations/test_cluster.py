"""A cluster's migrations: every statement of every file, by its text, ClickHouse's parser, and its engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from evometrics.schemas.service.settings import SettingsError
from evometrics.schemas.topics import TOPICS
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.clickhouse.cluster import UnknownStatement, first_line, for_cluster
from evometrics.sinks.migrations.files import migrations
from evometrics.sinks.migrations.migrate import own_tables
from evometrics.sinks.settings import ClickHouseSettings

ROOT = Path(__file__).parents[3]

ONE = ClickHouseSettings(database="d")
CLUSTER = ClickHouseSettings(database="d", cluster="metrics")
EVERY = [(m.label, sql) for m in migrations() for sql in m.statements(ONE)]

#: Of `d.kpi_snapshots_rows`, with what could mislead a reader of text: quotes, commas, words in comments.
TABLE = """-- Storage; it's ENGINE = MergeTree
CREATE TABLE IF NOT EXISTS d.a_rows
(
    event_id UUID COMMENT 'the agent\\'s, non_replicated_deduplication_window = 3',
    agent_id String
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY ({key}, event_id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Rows, isn''t it'"""


def test_a_storage_table_is_a_replicated_one_on_each_shard_and_a_distributed_one_over_them() -> None:
    local, over = for_cluster(TABLE.replace("{key}", "agent_id"), "metrics")
    assert local == (
        """-- Storage; it's ENGINE = MergeTree
CREATE TABLE IF NOT EXISTS d.a_rows_local ON CLUSTER 'metrics'
(
    event_id UUID COMMENT 'the agent\\'s, non_replicated_deduplication_window = 3',
    agent_id String
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', version)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (agent_id, event_id)
SETTINGS replicated_deduplication_window = 1000
COMMENT 'Rows, isn''t it'"""
    )
    assert over == (
        """CREATE TABLE IF NOT EXISTS d.a_rows ON CLUSTER 'metrics' AS d.a_rows_local
ENGINE = Distributed('metrics', 'd', 'a_rows_local', cityHash64(agent_id))
COMMENT 'Rows, isn''t it'"""
    )


def test_copies_of_an_event_share_a_shard_by_the_agent_or_by_their_id() -> None:
    _, over = for_cluster(TABLE.replace("{key}", "scope, agent_id"), "metrics")
    assert "cityHash64(event_id)" in over


def test_columns_change_in_both_tables_and_storage_in_the_local_ones() -> None:
    local, over = for_cluster(
        """ALTER TABLE d.a_rows
    MODIFY COLUMN deltas Map(String, Float64) COMMENT 'one, two',
    MODIFY COLUMN agent_id CODEC(Delta(8), LZ4),
    ADD CONSTRAINT IF NOT EXISTS text CHECK f(a, b) AND has(['x, y'], c),
    ADD COLUMN IF NOT EXISTS more Array(String),
    MODIFY SETTING non_replicated_deduplication_window = 5""",
        "{cluster}",
    )
    assert (
        local
        == """ALTER TABLE d.a_rows_local ON CLUSTER '{cluster}'
    MODIFY COLUMN deltas Map(String, Float64) COMMENT 'one, two',
    MODIFY COLUMN agent_id CODEC(Delta(8), LZ4),
    ADD CONSTRAINT IF NOT EXISTS text CHECK f(a, b) AND has(['x, y'], c),
    ADD COLUMN IF NOT EXISTS more Array(String),
    MODIFY SETTING replicated_deduplication_window = 5"""
    )
    assert (
        over
        == """ALTER TABLE d.a_rows ON CLUSTER '{cluster}'
    MODIFY COLUMN deltas Map(String, Float64) COMMENT 'one, two',
    ADD COLUMN IF NOT EXISTS more Array(String)"""
    )


def test_a_view_reads_on_through_the_name_it_knows() -> None:
    view = "CREATE VIEW IF NOT EXISTS d.a\n(\n    id UUID\n)\nAS SELECT id FROM d.a_rows FINAL"
    assert for_cluster(view, "c") == [view.replace("d.a\n", "d.a ON CLUSTER 'c'\n")]
    rights = "ALTER TABLE d.a MODIFY SQL SECURITY DEFINER"
    assert for_cluster(rights, "c") == [rights.replace("d.a", "d.a ON CLUSTER 'c'")]


def test_several_settings_of_one_command_concern_storage() -> None:
    both = "ALTER TABLE d.a_rows MODIFY SETTING non_replicated_deduplication_window = 1, b = 2"
    assert for_cluster(both, "c") == [
        "ALTER TABLE d.a_rows_local ON CLUSTER 'c' MODIFY SETTING replicated_deduplication_window = 1, b = 2"
    ]


def test_tokens_are_remembered_for_a_week_on_every_table() -> None:
    """What a server from 25.10 on does by itself is an hour, which a sink may be paused for."""
    for settings, end in ((ONE, ""), (CLUSTER, "_local ON CLUSTER 'metrics'")):
        text = "\n".join(s for m in migrations() for s in m.statements(settings))
        for topic in TOPICS:
            begin = f"ALTER TABLE d.{topic.table}_rows{end} MODIFY SETTING replicated_deduplication_window"
            assert f"{begin} = 10000, replicated_deduplication_window_seconds = 604800" in text
        (lock,) = (sql for sql in own_tables(settings) if "schema_migrations_lock" in sql)
        assert "replicated_deduplication_window_seconds = 604800" in lock


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE d.a_rows",
        "ALTER TABLE d.a_rows DELETE WHERE 1",
        "ALTER TABLE d.a_rows MODIFY COLUMN b CODEC(LZ4), DROP COLUMN a",
        "ALTER TABLE d.a MODIFY COLUMN b String",
        "CREATE TABLE IF NOT EXISTS d.a_rows (a String)\nENGINE = Log",
        "CREATE TABLE d.a_rows (a String)\nENGINE = MergeTree\nORDER BY a",
        "INSERT INTO d.a_rows SELECT 1",
    ],
)
def test_a_statement_of_an_unknown_kind_is_named(statement: str) -> None:
    with pytest.raises(UnknownStatement, match=re.escape(statement.splitlines()[0])):
        for_cluster(statement, "c")


@pytest.mark.parametrize(("label", "statement"), EVERY, ids=[f"{x}: {first_line(s)}"[:70] for x, s in EVERY])
def test_nothing_of_one_server_is_left_in_any_statement(label: str, statement: str) -> None:
    for found in for_cluster(statement, "metrics"):
        assert found.count(" ON CLUSTER 'metrics'") == 1
        assert "non_replicated" not in found
        assert re.search(r"^ENGINE = (?!Replicated|Distributed)", found, re.MULTILINE) is None
        assert ("Replicated" in found) == bool(re.match(r"(--.*\n|\n)*CREATE TABLE .*_local ", found))


def test_every_table_has_its_pair_and_every_view_is_there() -> None:
    text = "\n".join(s for m in migrations() for s in m.statements(CLUSTER))
    for topic in TOPICS:
        assert f"EXISTS d.{topic.table}_rows_local ON CLUSTER" in text
        assert f"EXISTS d.{topic.table}_rows ON CLUSTER 'metrics' AS d.{topic.table}_rows_local" in text
        assert f"CREATE VIEW IF NOT EXISTS d.{topic.table} ON CLUSTER" in text


async def test_clickhouse_can_read_every_statement(clickhouse: str) -> None:
    client = await open_client(ClickHouseSettings(url=clickhouse), database="default")
    statements = [*own_tables(CLUSTER), *(s for m in migrations() for s in m.statements(CLUSTER))]
    assert len(statements) > len(EVERY)
    for statement in statements:
        ((read,),) = (
            await client.query("SELECT formatQuery({sql:String})", parameters={"sql": statement})
        ).result_rows
        assert "ON CLUSTER metrics" in read
    await client.close()


def test_a_clusters_name_is_checked() -> None:
    for good in ("", "metrics-1.eu", "{cluster}"):
        assert ClickHouseSettings(cluster=good).cluster == good
    for bad in ("a b", "a'", "{cluster", "x" * 65):
        with pytest.raises(SettingsError, match="cluster"):
            ClickHouseSettings(cluster=bad)


@pytest.mark.parametrize("engines", ["replicated", "plain"])
def test_the_statements_run_on_an_engine_that_knows_a_cluster(engines: str, tmp_path: Path) -> None:
    """In a process of its own: an engine reads its configuration once, and this one is made for the test."""
    command = [sys.executable, "-m", "tests.support.cluster_engine", str(tmp_path), engines]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert (found.returncode, found.stdout.splitlines()[-1:]) == (0, ["right"]), found.stdout + found.stderr
