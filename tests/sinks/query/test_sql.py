"""`MetricsQuery.sql`, and answers as Arrow, pandas and polars tables."""

from __future__ import annotations

import datetime as dt
import re
import sys
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from evometrics.schemas.frames import MissingLibrary
from evometrics.sinks.clickhouse.client import ClickHouseUnavailable
from evometrics.sinks.query import MetricsQuery, QueryFailed
from evometrics.sinks.query.binding import ParameterError
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.later import Later
from tests.support.sinks import evolution, sent

pd: Any = Later("pandas")
pl: Any = Later("polars")

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
        ("DateTime", "1767323045", AT.replace(microsecond=0)),
        ("DateTime64(6)", 1767323045.678901, AT),
        ("Array(DateTime)", "['2026-01-02T12:04:05+09:00']", [AT.replace(microsecond=0)]),
        ("Tuple(DateTime64(6))", "('2026-01-02T03:04:05.678901Z')", (AT,)),
        ("Map(String, Nullable(Date))", "{'1970-13': null}", {"1970-13": None}),
        ("Array(Date)", "['2026-01-02', \"2026-01-03\"]", [dt.date(2026, 1, 2), dt.date(2026, 1, 3)]),
        ("DateTime", "20260102T030405Z", AT.replace(microsecond=0)),
        ("Date32", "2299-12-31", dt.date(2299, 12, 31)),
        ("Date", "20260102", dt.date(2026, 1, 2)),
        ("Date", AT, dt.date(2026, 1, 2)),
        ("Date", "2026/1/2", dt.date(2026, 1, 2)),
        ("Array(Tuple(Date))", "[('2026-01-02')]", [(dt.date(2026, 1, 2),)]),
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


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("DateTime64(6)", "2026-13-45", "2026-13-45.*no valid ISO"),
        ("DateTime", "2026-13-01", "2026-13-01"),
        ("Nullable(DateTime)", "2026-01-01 25:00:00", "25:00:00"),
        ("Date", "2026-02-31", "2026-02-31"),
        ("Date", 20260231, "20260231"),
        ("Array(Date)", ["2026-01-01", "2026-02-31"], "2026-02-31"),
        ("Array(DateTime64(6))", "['2026-13-01']", "2026-13-01"),
        ("Array(Tuple(Date))", "[('2026-02-31')]", "2026-02-31"),
        ("Map(String, DateTime)", "{'a': '2026-13-01'}", "2026-13-01"),
        ("DateTime", "2026/13/45 00:00:00", "2026/13/45"),
        ("Tuple(at Date32, n Int8)", ("2026-00-01", 1), "2026-00-01"),
        ("LowCardinality(Nullable(Date))", "2150-01-01", "Date holds 1970-01-01 to 2149-06-06"),
        ("Date32", dt.date(1899, 12, 31), "Date32 holds 1900-01-01"),
        ("DateTime", dt.datetime(1969, 12, 31, 23, 59, 59), "DateTime holds 1970-01-01 00:00:00"),
        ("DateTime", 2**32, "to 2106-02-07 06:28:15 UTC"),
        ("DateTime64(3)", "2300-01-01", "to 2299-12-31 23:59:59"),
        ("DateTime64(9, 'UTC')", dt.date(2263, 1, 1), "to 2262-04-11 23:47:16"),
    ],
)
async def test_a_time_that_is_none_is_named_and_not_another_one(
    query: MetricsQuery, kind: str, given: Any, words: str
) -> None:
    with pytest.raises(ParameterError, match=rf"parameter since \({re.escape(kind)}\).*{words}"):
        await query.sql(f"SELECT {{since:{kind}}}", {"since": given})


async def test_a_parameter_has_nanoseconds(query: MetricsQuery) -> None:
    text = "2026-01-02T03:04:05.123456789Z"
    for given in (text, pd.Timestamp(text)):
        found = await query.sql("SELECT toString({at:DateTime64(9)})", {"at": given})
        assert list(found) == [("2026-01-02 03:04:05.123456789",)]


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
