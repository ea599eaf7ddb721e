"""Rows by columns are to ClickHouse what the same rows are in Avro, which it decodes itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from evometrics.schemas.events import Event, now_micros
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.catalog import WriterSchema, newest, released, writer_schema
from evometrics.schemas.wire.datum import write_record
from evometrics.sinks.clickhouse.blocks import Body, Row, body, row_format
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.clickhouse.inserts import INSERT_SETTINGS
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import InsertGroup, InsertRow
from evometrics.sinks.worker.writer import TableWriter
from tests.support.examples import EXAMPLES, NOW
from tests.support.sinks import Sent, rows

SCHEMAS = [schema for versions in released().values() for schema in versions]
EXAMPLE = {event.record: event for event in EXAMPLES}
#: Field values that differ most from the examples', by the type of the example's.
ODD: dict[type, list[Any]] = {
    float: [0.0, 5e-324, 1.7e308],
    int: [2**63 - 1, 2**40, 127],
    list: [[]],
    dict: [{}, {"": ""}, {"ключ|\n\0": "ß" * 300}],
}
#: Rows are kept for 90 days from now.
LATER = now_micros() - NOW
AT = (NOW + LATER) // 1000


def variants(event: Event) -> list[dict[str, Any]]:
    """Return an event's fields as they are, without all that may be missing, and with odd values."""
    found = [{n: v + LATER if type(v) is int and v > NOW // 2 else v for n, v in event.to_record().items()}]
    nullable = {f["name"] for f in newest(event.record).source["fields"] if isinstance(f["type"], list)}
    found.append({name: None if name in nullable else value for name, value in found[0].items()})
    for n in range(3):
        odd = dict(found[n % 2])
        for name, value in odd.items():
            bound = name == "progress_share" or (type(value) is int and value > NOW // 2)
            choices = [] if bound or name.startswith("window") else ODD.get(type(value), [])
            if type(value) is dict and any(type(item) is float for item in value.values()):
                choices = [{}, {"": -0.0, "ключ": 5e-324}, {f"k{i}": i / 7 for i in range(200)}]
            if name == "source_partition":
                choices = [-(2**31), 2**31 - 1, 0]
            if choices:
                odd[name] = choices[n % len(choices)]
        found.append(odd)
    return [{**each, "event_id": new_event_id()} for each in found]


def written(schema: WriterSchema) -> list[bytes]:
    """Return the datums of a record's variants in a version's schema."""
    names = [field["name"] for field in schema.source["fields"]]
    return [
        write_record(schema, {name: each[name] for name in names})
        for each in variants(EXAMPLE[schema.record])
    ]


def at(offset: int, partition: int = 0) -> Sent:
    """Return a message at a place."""
    return Sent("t", partition, offset, AT, b"k", b"")


async def in_avro(schema: WriterSchema, topic: str, data: list[Row]) -> Body:
    """Return the body of an insert in which nothing is put in columns."""
    return await body(dataclasses.replace(row_format(schema), fields=None), topic, data)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: f"{schema.record}-v{schema.version}")
async def test_clickhouse_stores_the_same_of_columns_as_of_avro(
    schema: WriterSchema, database: ClickHouseSettings
) -> None:
    topic = BY_RECORD[schema.record]
    table = f"{database.database}.{topic.table}_rows"
    data: list[Row] = [(b"front" + datum, 5, at(10 + n, 3)) for n, datum in enumerate(written(schema))]
    by_columns = await body(row_format(schema), topic.name, data)
    assert by_columns.format == "Native"
    client = await open_client(database)
    try:
        for made in (by_columns, await in_avro(schema, topic.name, data)):
            await client.command(f"TRUNCATE TABLE {table}")
            await client.raw_insert(
                table, made.columns, insert_block=made.rows, fmt=made.format, settings=INSERT_SETTINGS
            )
            found = await client.query(f"SELECT * EXCEPT _inserted_at FROM {table} ORDER BY _offset")
            if made is by_columns:
                stored = found.result_rows
        assert len(stored) == len(data)
        assert repr(stored) == repr(found.result_rows)
    finally:
        await client.close()


async def test_a_block_is_none_of_the_previous_ones_and_an_empty_one_has_no_rows() -> None:
    fmt = row_format(newest("system_event"))
    (datum, *_) = written(newest("system_event"))
    one = await body(fmt, "", [(datum, 0, at(2))])
    assert await body(fmt, "", [(datum, 0, at(2))]) == one
    none = await body(fmt, "", [])
    assert len(none.rows) < len(one.rows) and none.rows[1] == 0


@pytest.mark.parametrize("damage", [b"\x00", b"\x80" * 11], ids=["too long", "no number"])
async def test_rows_of_which_one_is_unusual_go_in_avro(damage: bytes) -> None:
    fmt, datums = row_format(newest("system_event")), written(newest("system_event"))
    data: list[Row] = [(datum, 0, at(n)) for n, datum in enumerate([*datums, datums[0] + damage])]
    assert (await body(fmt, "t", data[:-1])).format == "Native"
    assert (await body(fmt, "t", data)).format == "Avro"


async def test_more_rows_than_are_taken_at_once_are_all_stored(database: ClickHouseSettings) -> None:
    schema, topic = newest("evolution_progressed"), BY_RECORD["evolution_progressed"]
    fields = EXAMPLE[schema.record].to_record() | {"occurred_at": now_micros()}
    group = InsertGroup(topic.name, topic.table, schema)
    for n in range(1201):
        datum = write_record(schema, {**fields, "event_id": new_event_id(), "iteration": n})
        group.rows.append(InsertRow(datum, 0, at(n)))
    writer = TableWriter(database, Instruments(CollectorRegistry(), OF_SINK))
    await writer.insert(group, group.rows, "one")
    await writer.close()
    found = await rows(
        database, f"SELECT count(), uniqExact(iteration), max(_offset) FROM {topic.table}_rows"
    )
    assert found == [(1201, 1201, 1200)]


def test_a_field_that_has_no_column_here_leaves_all_to_avro() -> None:
    source = newest("system_event").source
    kinds: list[Any] = [{"type": "array", "items": "long"}, {"type": "int", "logicalType": "date"}, "float"]
    for kind, default in zip(kinds, ([], 0, 0.0), strict=True):
        more = {"name": "more", "type": kind, "default": default}
        schema = writer_schema("system_event", 0, {**source, "fields": [*source["fields"], more]})
        assert row_format(schema).fields is None
