"""The column of an Avro field: its type, its default in SQL, and what no column can hold."""

from __future__ import annotations

from typing import Any

import pytest

from evometrics.schemas.wire.compatibility import IncompatibleSchema
from evometrics.sinks.clickhouse.column_types import column_of, column_type, literal, quoted

MICROS = {"type": "long", "logicalType": "timestamp-micros"}


@pytest.mark.parametrize(
    ("avro", "column"),
    [
        ("long", "Int64"),
        ({"type": "long"}, "Int64"),
        ("bytes", "String"),
        (["null", "double"], "Nullable(Float64)"),
        (["double", "null"], "Nullable(Float64)"),
        (MICROS, "DateTime64(6, 'UTC')"),
        (["null", MICROS], "Nullable(DateTime64(6, 'UTC'))"),
        ({"type": "string", "logicalType": "uuid"}, "UUID"),
        ({"type": "string", "logicalType": "of-ours"}, "String"),
        ({"type": "array", "items": "string"}, "Array(String)"),
        ({"type": "array", "items": ["null", "long"]}, "Array(Nullable(Int64))"),
        ({"type": "map", "values": {"type": "array", "items": "double"}}, "Map(String, Array(Float64))"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "String"),
    ],
)
def test_a_type_has_a_column_of_the_kind_that_ours_have(avro: Any, column: str) -> None:
    assert column_type(avro) == column


@pytest.mark.parametrize(
    "avro",
    [
        ["null"],
        ["long", "double"],
        ["null", "long", "double"],
        ["null", {"type": "array", "items": "long"}],
        ["null", {"type": "map", "values": "long"}],
        {"type": "bytes", "logicalType": "decimal", "precision": 4},
        {"type": "fixed", "name": "F", "size": 8},
        {"type": "record", "name": "R", "fields": []},
        "R",
    ],
)
def test_a_type_that_no_column_holds_is_refused(avro: Any) -> None:
    with pytest.raises(IncompatibleSchema, match=r"^kpi_snapshot\.x: "):
        column_of("kpi_snapshot", {"name": "x", "type": avro})


@pytest.mark.parametrize("name", ["_own", "1st", "a-b", "", "ä"])
def test_a_name_that_no_column_can_have_is_refused(name: str) -> None:
    with pytest.raises(IncompatibleSchema, match=rf"^kpi_snapshot\.{name}: "):
        column_of("kpi_snapshot", {"name": name, "type": "long"})


@pytest.mark.parametrize(
    ("kind", "default", "sql"),
    [
        ("Int64", None, ""),
        ("Int64", 0, ""),
        ("Int64", 5, "5"),
        ("Float64", -0.5, "-0.5"),
        ("Nullable(Int64)", None, ""),
        ("Nullable(Int64)", 0, "0"),
        ("Nullable(String)", "", "''"),
        ("Bool", False, ""),
        ("Bool", True, "true"),
        ("Nullable(Bool)", False, "false"),
        ("String", "it's \\", "'it\\'s \\\\'"),
        ("Array(Int64)", [], ""),
        ("Array(Int64)", [1, 2], "[1, 2]"),
        ("Map(String, Int64)", {"a": 1, "b": 2}, "map('a', 1, 'b', 2)"),
        ("Date32", 3, "toDate32(3)"),
        ("DateTime64(6, 'UTC')", 7, "fromUnixTimestamp64Micro(7, 'UTC')"),
        ("Nullable(DateTime64(3, 'UTC'))", 0, "fromUnixTimestamp64Milli(0, 'UTC')"),
    ],
)
def test_a_default_is_written_in_sql_unless_it_is_the_types_own(kind: str, default: Any, sql: str) -> None:
    assert literal(kind, default) == sql


def test_a_default_that_sql_can_not_say_is_refused() -> None:
    with pytest.raises(ValueError, match="<object object"):
        literal("String", object())


def test_a_column_is_defined_with_its_default_and_its_comment() -> None:
    column = column_of("kpi_snapshot", {"name": "x", "type": "long", "default": 5, "doc": "it's x"})
    assert column.definition == "`x` Int64 DEFAULT 5 COMMENT " + quoted("it's x")
    bare = column_of("kpi_snapshot", {"name": "x", "type": ["null", "long"], "default": None})
    assert bare.definition == "`x` Nullable(Int64) COMMENT 'From a newer version of the schema.'"
