"""`MetricsQuery.sql`, and answers as Arrow, pandas and polars tables."""

from __future__ import annotations

import datetime as dt
import sys
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from evometrics.schemas.frames import MissingLibrary
from evometrics.sinks.clickhouse.client import ClickHouseUnavailable
from evometrics.sinks.query import MetricsQuery, QueryFailed
from evometrics.sinks.query.binding import ParameterError
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.sinks import evolution, sent

ID = uuid.UUID("018f3e1c-0000-7000-8000-0000000000ff")
AT = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
TOKYO = dt.timezone(dt.timedelta(hours=9))
ODD = rf"""
SELECT toUUID('{ID}') AS id, [id] AS ids, toDateTime64('2026-01-02 03:04:05.678901', 6, 'UTC') AS at,
    toNullable(at) AS maybe,
    toDateTime64('2026-01-02 03:04:05', 0, 'Asia/Tokyo') AS tokyo, map('a', 1.5) AS kpis,
    CAST(map() AS Map(LowCardinality(String), UUID)) AS none,
    CAST('b', 'Enum8(\'a\' = 1, \'b\' = 2)') AS chosen,
    CAST('x' AS LowCardinality(Nullable(String))) AS low,
    CAST(if(number = 0, NULL, 9007199254740993) AS Nullable(Int64)) AS n, toDecimal64(1.25, 2) AS price,
    CAST([(1, 'q')], 'Array(Tuple(p Int8, q String))') AS nested, true AS flag, 'ä' AS text,
    toIPv4('1.2.3.4') AS ip
FROM numbers(2)"""


@pytest.fixture
async def query(clickhouse: str) -> Any:
    async with MetricsQuery(ClickHouseSettings(url=clickhouse, database="default")) as found:
        yield found


async def test_rows_have_values_of_python(query: MetricsQuery) -> None:
    first, second = await query.sql(ODD)
    assert first[:4] == (ID, [ID], AT, AT)
    assert first[4] == dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=TOKYO) and first[4].tzinfo is not None
    assert first[5:9] == ({"a": 1.5}, {}, "b", "x") and (first[9], second[9]) == (None, 9007199254740993)
    assert first[10:] == (Decimal("1.25"), [{"p": 1, "q": "q"}], True, "ä", "1.2.3.4")


@pytest.mark.parametrize("rows", [2, 0])
async def test_a_table_has_the_types_with_rows_and_without(query: MetricsQuery, rows: int) -> None:
    found = await query.sql(f"{ODD} LIMIT {{rows:UInt8}}", {"rows": rows})
    arrow, pandas, polars = found.as_arrow(), found.as_pandas(), found.as_polars()
    assert [len(each) for each in (found, arrow, pandas, polars)] == [rows] * 4
    assert list(found.columns) == arrow.column_names == list(pandas.columns) == polars.columns
    schema = arrow.schema
    assert schema.field("id") == pa.field("id", pa.uuid(), nullable=False)
    assert schema.field("ids").type.value_type == pa.string()
    assert schema.field("maybe") == pa.field("maybe", pa.timestamp("us", "UTC"))
    assert schema.field("tokyo").type == pa.timestamp("s", "Asia/Tokyo")
    assert schema.field("kpis").type.item_type == pa.float64()
    assert {schema.field(name).type for name in ("chosen", "low", "text", "ip")} == {pa.string()}
    assert str(pandas.dtypes["at"]) == "datetime64[us, UTC]" and str(pandas.dtypes["n"]) == "Int64"
    assert pandas.dtypes["low"] == pandas.dtypes["text"]
    assert polars.schema["at"] == pl.Datetime("us", "UTC") and polars.schema["id"] == pl.String
    if rows:
        assert pandas["n"][1] == 9007199254740993 and pandas["n"][0] is pd.NA
        assert pandas["id"][0] == ID and pandas["kpis"][0] == {"a": 1.5} and pandas["none"][0] == {}
        assert polars["id"][0] == str(ID) and polars["ids"][0].to_list() == [str(ID)]
        assert polars["at"][0] == AT


@pytest.mark.parametrize(
    ("kind", "given", "wanted"),
    [
        ("DateTime64(6)", AT.astimezone(TOKYO), AT),
        ("DateTime64(6, 'America/New_York')", AT, AT),
        ("DateTime64(6)", AT.replace(tzinfo=None), AT),
        ("DateTime64(6)", "2026-01-02T12:04:05.678901+09:00", AT),
        ("Array(DateTime64(6))", [AT.astimezone(TOKYO)], [AT]),
        ("Date", dt.date(2026, 1, 2), dt.date(2026, 1, 2)),
        ("Nullable(String)", None, None),
        ("String", "it's\t{x:Int8}\\\n", "it's\t{x:Int8}\\\n"),
        ("Array(Nullable(String))", ["a'b\\", None], ["a'b\\", None]),
        ("Map(String, Float64)", {"a'": 1.5, "b": float("inf")}, {"a'": 1.5, "b": float("inf")}),
        ("Tuple(UUID, Bool)", (ID, True), (ID, True)),
        ("Array(UUID)", [ID, str(ID)], [ID, ID]),
    ],
)
async def test_parameters_arrive_as_they_are(query: MetricsQuery, kind: str, given: Any, wanted: Any) -> None:
    ((value,),) = await query.sql(f"SELECT {{given:{kind}}}", {"given": given})
    assert value == wanted


async def test_what_is_wrong_is_named(query: MetricsQuery) -> None:
    with pytest.raises(ParameterError, match=r"agent \(String\) has no value"):
        await query.sql("SELECT {agent:String}")
    with pytest.raises(ParameterError, match="no parameter agnt"):
        await query.sql("SELECT '{agnt:String}'", {"agnt": "a"})
    with pytest.raises(ParameterError, match="None needs Nullable"):
        await query.sql("SELECT {agent:String}", {"agent": None})
    with pytest.raises(QueryFailed, match="Unknown table") as failed:
        await query.sql("SELECT * FROM nowhere")
    assert failed.value.code == 60
    with pytest.raises(ClickHouseUnavailable, match="start it"):
        await MetricsQuery(ClickHouseSettings(url="http://127.0.0.1:9")).sql("SELECT 1")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("uniqState(1)", r"column odd \(AggregateFunction\(uniq, UInt8\)\).*finalizeAggregation\(odd\)"),
        ("[uniqState(1)]", r"column odd \(Array\(AggregateFunction.*-Merge"),
    ],
)
async def test_a_column_that_cant_be_read_is_named_with_its_type(
    query: MetricsQuery, column: str, words: str
) -> None:
    with pytest.raises(QueryFailed, match=words):
        await query.sql(f"SELECT 1 AS n, {column} AS odd FROM numbers({{rows:UInt8}})", {"rows": 3})
    ((value,),) = await query.sql("SELECT finalizeAggregation(uniqState(1))")
    assert value == 1


async def test_evolutions_become_tables_from_either_source(
    database: ClickHouseSettings, tmp_path: Path
) -> None:
    made = [evolution("a", performance_score=None), evolution("a", metadata={"k": "v"})]
    await fill(database, [sent(each, offset=place) for place, each in enumerate(made)])
    async with MetricsQuery(database) as query:
        found = await query.get_agent_evolution_history("a")
        none = await query.get_agent_evolution_history("nobody")
    assert found == sorted(made, key=lambda each: each.occurred_at)
    assert found.as_arrow().schema == none.as_arrow().schema and len(none.as_pandas()) == 0
    frame = found.as_polars()
    assert frame["occurred_at"].dt.timestamp("us").to_list() == [each.occurred_at for each in found]
    assert frame["event_id"].to_list() == [each.event_id for each in found]


async def test_a_library_that_is_missing_is_named_with_its_extra(
    query: MetricsQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await query.sql("SELECT 1 AS n")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingLibrary, match=r"needs polars.*pip install 'evometrics\[analysis\]'"):
        found.as_polars()
