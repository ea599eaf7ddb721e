"""A table gets the columns of a newer schema before the first insert, whoever asks and whatever is killed."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from evometrics.schemas.events import Event
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.catalog import WriterSchema, newest, writer_schema
from evometrics.schemas.wire.datum import write_record
from evometrics.sinks.migrations.migrate import migrate
from evometrics.sinks.migrations.new_columns import TableShape, View, changes
from evometrics.sinks.migrations.registered import fit_registered, planned_for
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import InsertGroup, InsertRow
from evometrics.sinks.worker.writer import TableWriter
from tests.sinks.conftest import drop, unused
from tests.support.changed_schemas import optional, with_fields
from tests.support.clickhouse_front import running_front
from tests.support.sinks import Sent, eventually, one_of_each, rows, run_statements, store, structure

RECORD = "evolution_progressed"
MOMENT = {"type": "long", "logicalType": "timestamp-micros"}
#: Every kind of field that a column is made for: its type, default, a value, and the column's type.
KINDS: list[tuple[Any, Any, Any, str]] = [
    (["null", "double"], None, 0.25, "Nullable(Float64)"),
    (["null", "string"], None, "it's ü\\", "Nullable(String)"),
    (["string", "null"], "it's", "x", "Nullable(String)"),
    ("long", 7, -(2**40), "Int64"),
    ("int", 0, 5, "Int32"),
    ("float", 0.5, 0.25, "Float32"),
    ("boolean", True, False, "Bool"),
    ("string", "a\\'b", "", "String"),
    ({"type": "array", "items": "string"}, [], ["a", ""], "Array(String)"),
    ({"type": "array", "items": ["null", "double"]}, [], [0.5, None], "Array(Nullable(Float64))"),
    ({"type": "map", "values": "double"}, {"a": 1.5}, {"b": 2.5}, "Map(String, Float64)"),
    ({"type": "enum", "name": "Mode", "symbols": ["SLOW", "FAST"]}, "SLOW", "FAST", "String"),
    (["null", MOMENT], None, 0, "Nullable(DateTime64(6, 'UTC'))"),
]
FIELDS = [
    {"name": f"more_{n}", "type": kind, "default": default, "doc": f"It's number {n}; the newest."}
    for n, (kind, default, _, _) in enumerate(KINDS)
]
FULL = {f"more_{n}": value for n, (_, _, value, _) in enumerate(KINDS)}
NEWER = writer_schema(RECORD, 0, with_fields(RECORD, *FIELDS))


def group(schema: WriterSchema, event: Event, offset: int = 1, **more: Any) -> InsertGroup:
    """Return an event as one row, written with a schema."""
    topic = BY_RECORD[event.record]
    datum = write_record(schema, {**event.to_record(), **more})
    at = event.occurred_at // 1000
    found = InsertGroup(topic.name, topic.table, schema)
    found.rows.append(InsertRow(datum, 0, Sent(topic.name, 0, offset, at, b"k", datum)))
    return found


@pytest.fixture(scope="module")
def database(clickhouse: str) -> Iterator[ClickHouseSettings]:
    """A migrated database, of which each test changes another table."""
    settings = unused(clickhouse)
    asyncio.run(migrate(settings))
    yield settings
    asyncio.run(drop(settings))


def writer_of(database: ClickHouseSettings) -> TableWriter:
    return TableWriter(database, Instruments(CollectorRegistry(), OF_SINK))


def example(agent: str, record: str = RECORD) -> Event:
    return next(e for e in one_of_each(agent) if e.record == record)


async def test_fields_of_a_newer_version_are_columns_of_table_and_view(database: ClickHouseSettings) -> None:
    writer = writer_of(database)
    groups = [
        group(newest(RECORD), example("before"), 1),
        group(NEWER, example("newer"), 2, **FULL),
        group(newest(RECORD), example("after"), 3),
    ]
    for each in groups:
        assert await store(writer, each) == []
    await writer.close()
    names = ", ".join(f"toUnixTimestamp64Micro({n})" if n == "more_12" else n for n in FULL)
    found = await rows(database, f"SELECT agent_id, {names} FROM evolution_progressed")
    defaults = tuple(default for _, default, _, _ in KINDS)
    assert sorted(found, key=str) == sorted(
        [("before", *defaults), ("newer", *FULL.values()), ("after", *defaults)], key=str
    )
    about = (
        f"SELECT table, name, type, comment FROM system.columns WHERE database = '{database.database}' "
        "AND name LIKE 'more_%' ORDER BY table, position"
    )
    assert await rows(database, about) == [
        (table, field["name"], kind, field["doc"])
        for table in ("evolution_progressed", "evolution_progressed_rows")
        for field, (_, _, _, kind) in zip(FIELDS, KINDS, strict=True)
    ]


async def test_a_view_keeps_all_that_it_showed(database: ClickHouseSettings) -> None:
    """The snapshots' view has computed columns as well."""
    before = await structure(database)
    schema = writer_schema("kpi_snapshot", 0, with_fields("kpi_snapshot", optional("toxicity", "double")))
    writer = writer_of(database)
    assert await store(writer, group(schema, example("a", "kpi_snapshot"), toxicity=0.5)) == []
    await writer.close()
    after = await structure(database)
    comment = " COMMENT 'Of a newer version.'"
    assert {name for name in after if after[name] != before[name]} == {"kpi_snapshots", "kpi_snapshots_rows"}
    shown = after["kpi_snapshots"].replace(f", `toxicity` Nullable(Float64){comment}", "")
    assert shown.replace(", toxicity FROM", " FROM") == before["kpi_snapshots"]
    assert await rows(database, "SELECT id = event_id, accuracy, toxicity FROM kpi_snapshots") == [
        (1, 0.5, 0.5)
    ]


async def test_several_sinks_may_meet_new_schemas_at_once(database: ClickHouseSettings) -> None:
    fields = [optional("loss", "double"), optional("seed", "long")]
    schemas = [writer_schema("evolution_started", 0, with_fields("evolution_started", f)) for f in fields]
    writers = [writer_of(database) for _ in range(4)]
    groups = [
        group(schemas[n % 2], example(f"a{n}", "evolution_started"), n, loss=0.5, seed=9) for n in range(4)
    ]
    await asyncio.gather(*(store(w, g) for w, g in zip(writers, groups, strict=True)))
    for writer in writers:
        await writer.close()
    sql = "SELECT agent_id, loss, seed FROM evolution_started ORDER BY agent_id"
    assert await rows(database, sql) == [
        (f"a{n}", None, 9) if n % 2 else (f"a{n}", 0.5, None) for n in range(4)
    ]


async def test_what_was_killed_between_table_and_view_is_finished_by_the_next(
    database: ClickHouseSettings,
) -> None:
    name = database.database
    await run_statements(
        database, [f"ALTER TABLE {name}.system_events_rows ADD COLUMN source Nullable(String)"]
    )
    schema = writer_schema("system_event", 0, with_fields("system_event", optional("source", "string")))
    for offset in (1, 2):  # the second time by a sink that finds all done
        writer = writer_of(database)
        assert await store(writer, group(schema, example("a", "system_event"), offset, source="s")) == []
        await writer.close()
    assert await rows(database, "SELECT source FROM system_events") == [("s",), ("s",)]


async def test_a_database_that_was_not_migrated_takes_a_version_that_ships(
    empty_database: ClickHouseSettings, whole: dict[str, str]
) -> None:
    """And the migration then finds what it would have made."""
    await migrate(empty_database, to=8)
    writer = writer_of(empty_database)
    event = dataclasses.replace(example("a", "evolution_completed"), cost_usd=1.5, parent_agent_id="b")  # type: ignore[call-arg]
    assert await store(writer, group(newest("evolution_completed"), event)) == []
    await writer.close()
    sql = "SELECT agent_id, cost_usd, parent_agent_id FROM evolution_completed"
    assert await rows(empty_database, sql) == [("a", 1.5, "b")]
    await migrate(empty_database)
    assert await structure(empty_database) == whole
    assert await rows(empty_database, sql) == [("a", 1.5, "b")]


REFUSED: list[tuple[dict[str, Any], str]] = [
    (optional("_offset", "long"), "_offset: not a valid column name"),
    (optional("by_task", {"type": "map", "values": "double"}), "by_task: an array or map can't be null"),
    ({"name": "x", "type": ["null", "string", "long"], "default": None}, r"x: type \[.* has no column"),
    (
        {"name": "x", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4}, "default": ""},
        "x: type .*decimal.* has no column",
    ),
    (
        {"name": "x", "type": {"type": "record", "name": "X", "fields": []}, "default": {}},
        "x: type .* has no column type; use a primitive type",
    ),
    (optional("timestamp", "double"), "timestamp: evolution_metrics shows something else under this name"),
    (optional("own", "string"), r"own: is Nullable\(String\) here, but Nullable\(Int64\) in "),
]


async def test_a_sink_without_ddl_rights_waits_for_who_migrates(database: ClickHouseSettings) -> None:
    schema = writer_schema("success_rate", 0, with_fields("success_rate", optional("weight", "double")))
    with running_front(database.url, without_ddl=True) as front:
        writer = writer_of(dataclasses.replace(database, url=front.url))
        storing = asyncio.create_task(store(writer, group(schema, example("a", "success_rate"), weight=0.5)))

        async def waits() -> bool:
            return "may not add" in (writer.trouble or "")

        await eventually(waits, "the sink to say what it lacks")
        assert writer.trouble is not None and "\n" not in writer.trouble
        table = f"{database.database}.success_rates"
        assert writer.trouble.startswith(
            f"{table} needs columns for SuccessRate, a version of the registry's"
        )
        assert "user 'default' may not add; its messages wait. Run `evometrics migrate`" in writer.trouble
        assert not storing.done()
        planned = await planned_for(database, {"success_rates": schema})
        assert [each.sql.split("(")[0].split("\n")[0] for each in planned] == [
            f"ALTER TABLE {table}_rows",
            f"CREATE OR REPLACE VIEW {table}",
        ]
        assert await fit_registered(database, {"success_rates": schema}) == ["success_rates"]
        assert await asyncio.wait_for(storing, 60) == []
        await writer.close()
    assert await rows(database, "SELECT weight FROM success_rates") == [(0.5,)]
    assert await planned_for(database, {"success_rates": schema}) == []


async def test_a_field_that_no_column_can_hold_is_refused_by_name(database: ClickHouseSettings) -> None:
    name, record = database.database, "evolution_metrics"
    await run_statements(database, [f"ALTER TABLE {name}.{record}_rows ADD COLUMN own Nullable(Int64)"])
    before = await structure(database)
    writer = writer_of(database)
    good = group(newest(record), example("a", record))
    for field, reason in REFUSED:
        schema = writer_schema(record, 0, with_fields(record, field))
        refused = await store(writer, dataclasses.replace(good, schema=schema, rows=good.rows * 3))
        assert len(refused) == 3
        assert all(re.search(rf"EvolutionMetrics\.{reason}", each.reason) for each in refused), refused
        assert await store(writer, good) == []  # the others' messages are not held up
    await writer.close()
    assert await structure(database) == before


def test_on_a_cluster_every_table_and_the_view_change() -> None:
    there = {f["name"]: "String" for f in newest(RECORD).source["fields"]}
    query = "SELECT event_id, fitness FROM d.evolution_progressed_rows FINAL"
    columns = {name: (kind, "what it is") for name, kind in there.items()}
    view = View(columns, query, "Each event once.", owned=True)
    schema = writer_schema(RECORD, 0, with_fields(RECORD, optional("loss", "double")))
    settings, shape = ClickHouseSettings(database="d"), TableShape(there, view, "metrics")
    local, over, shown = changes(settings, RECORD, schema, shape)
    column = "`loss` Nullable(Float64) COMMENT 'Of a newer version.'"
    added = f"ADD COLUMN IF NOT EXISTS {column} AFTER `extras`"
    assert local == f"ALTER TABLE d.evolution_progressed_rows_local ON CLUSTER 'metrics'\n    {added}"
    assert over == f"ALTER TABLE d.evolution_progressed_rows ON CLUSTER 'metrics'\n    {added}"
    assert shown.startswith("CREATE OR REPLACE VIEW d.evolution_progressed ON CLUSTER 'metrics'\n(")
    query = "SELECT event_id, fitness, `loss` FROM d.evolution_progressed_rows FINAL\n"
    assert f"SQL SECURITY DEFINER\nAS {query}" in shown
