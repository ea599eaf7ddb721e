"""Runs the migrations of a cluster on an embedded engine whose configuration has one, of one shard.

`python -m tests.support.cluster_engine FOLDER plain`: all statements, with the engines of one server instead
of the replicated ones, and rows through the Distributed tables. `... replicated`: what creates tables and
views, as it is, on a stand-in for Keeper in memory that ClickHouse has for its own tests; it takes no rows,
no ALTER, and so no view of what an ALTER adds.

What needs a server's DDL queue, ON CLUSTER, is taken out.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import chdb

from evometrics.schemas.topics import EVOLUTION_STARTED, TOPICS
from evometrics.sinks.migrations.files import migrations
from evometrics.sinks.migrations.migrate import own_tables
from evometrics.sinks.raw.sql import select_events
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.writer import INSERT_SETTINGS

CONFIG = """<clickhouse>
  <remote_servers><metrics><shard><internal_replication>true</internal_replication>
    <replica><host>localhost</host><port>9000</port></replica>
  </shard></metrics><pair>
    <shard><replica><host>localhost</host><port>9000</port></replica></shard>
    <shard><replica><host>localhost</host><port>9000</port></replica></shard>
  </pair></remote_servers>
  <tcp_port>9000</tcp_port>
  <macros><shard>1</shard><replica>a</replica></macros>
  <zookeeper><implementation>testkeeper</implementation></zookeeper>
</clickhouse>"""
PLAIN_ENGINE = re.compile(r"ENGINE = Replicated(\w+)\('[^']*', '[^']*'(?:, )?([^)]*)\)")
Run = Callable[[str], list[str]]
STARTED = "agent_id, node_id, evolution_id, event_id, occurred_at, _timestamp"


def main(folder: Path, engines: str) -> None:
    """Run the statements and look at what there is then."""
    config = folder / "config.xml"
    config.write_text(CONFIG)
    connection = chdb.connect(f"{folder / 'data'}?config-file={config}")

    def run(sql: str) -> list[str]:
        text: str = connection.query(sql, "TabSeparated").data()
        return text.splitlines()

    settings = ClickHouseSettings(database="d", cluster="metrics")
    for sql in [*own_tables(settings), *(s for m in migrations() for s in m.statements(settings))]:
        sql = sql.replace(" ON CLUSTER 'metrics'", "")
        if engines == "plain":
            sql = PLAIN_ENGINE.sub(r"ENGINE = \1(\2)", sql).replace(
                " replicated_deduplication_window =", " non_replicated_deduplication_window ="
            )
        elif re.search(r"^(?:ALTER|CREATE OR REPLACE VIEW) ", sql, re.MULTILINE):
            continue
        for _ in range(2):  # again, as after a kill
            run(sql)
    check_tables(run, "Replicated" if engines == "replicated" else "")
    if engines == "plain":
        for topic in TOPICS:
            (made,) = run(
                f"SELECT create_table_query FROM system.tables WHERE name = '{topic.table}_rows_local'"
            )
            assert "replicated_deduplication_window = 10000" in made, topic
            assert "replicated_deduplication_window_seconds = 604800" in made, topic
            assert "CONSTRAINT readable" in made, topic
        check_rows(run)
        check_reading(run)
    print("right", flush=True)
    os._exit(0)  # the stand-in for Keeper is not made to be closed


def check_tables(run: Run, prefix: str) -> None:
    """Every storage table is a pair of equal columns, and each view reads."""
    for topic in TOPICS:
        engine = "SELECT engine FROM system.tables WHERE database = 'd' AND name = "
        assert run(f"{engine}'{topic.table}_rows_local'") == [f"{prefix}ReplacingMergeTree"], topic
        assert run(f"{engine}'{topic.table}_rows'") == ["Distributed"], topic
        columns = "SELECT name, type, default_expression, comment FROM system.columns WHERE database = 'd'"
        here, over = (run(f"{columns} AND table = '{topic.table}_rows{end}'") for end in ("_local", ""))
        assert here == over and here, topic
        assert run(f"SELECT count() FROM d.{topic.table}") == ["0"]


def check_reading(run: Run) -> None:
    """What reads raw tables to send their events again takes a table of several shards."""
    table = f"{EVOLUTION_STARTED.table}_rows"
    run("CREATE DATABASE sharded")
    run(f"CREATE TABLE sharded.{table} AS d.{table}_local ENGINE = Distributed('pair', 'd', '{table}_local')")
    run("USE sharded")
    asked = select_events(EVOLUTION_STARTED, "1")
    for name, value in {"begin": 0, "end": 10**14, "first": 0, "last": 10**16}.items():
        asked = asked.replace(f"{{{name}:Int64}}", str(value))
    rows = asked[: asked.index("FORMAT")]
    # the event is stored twice, and both shards are the same one
    assert set(run(f"SELECT agent_id, evolution_id FROM ({rows})")) == {"agent-1\te"}


def check_rows(run: Run) -> None:
    """An insert as the sink sends it: once by its token, once by its event, checked by the shard."""
    told = ", ".join(f"{name} = {value}" for name, value in INSERT_SETTINGS.items())
    event = "'00000000-0000-0000-0000-000000000001', '2026-11-01 00:00:00', '2026-11-01 00:00:00'"

    def insert(token: str, agent: str = "agent-1") -> None:
        run(
            f"INSERT INTO d.evolution_started_rows ({STARTED}) "
            f"SETTINGS {told}, insert_deduplication_token = '{token}' VALUES ('{agent}', 'n', 'e', {event})"
        )

    for token in ("one", "one", "two"):
        insert(token)
    assert run("SELECT count() FROM d.evolution_started_rows_local") == ["2"]
    assert run("SELECT agent_id, evolution_id FROM d.evolution_started") == ["agent-1\te"]
    try:
        insert("three", agent="")
    except RuntimeError as error:
        assert "VIOLATED_CONSTRAINT" in str(error), error
    else:
        raise AssertionError("a row without an agent was stored")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
