"""`evometrics sql` on a real engine: rows as they arrive, JSON that any reader takes."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from evometrics.deploy.cli.main import main
from evometrics.deploy.commands.sql import FORMATS
from evometrics.deploy.sql.writers import BINARIES, TEXTS
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.query.statement import BLOCK_ROWS, blocks
from evometrics.sinks.settings import ClickHouseSettings

Asks = Callable[..., str]


@pytest.fixture
def ask(clickhouse: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Asks:
    def run(query: str, *flags: str, code: int = 0) -> str:
        where = ["--clickhouse-url", clickhouse, "--database", "default", "--data", str(tmp_path)]
        assert main(["sql", query, *flags, *where]) == code
        out, err = capsys.readouterr()
        return err if code else out

    return run


def refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("nan", None),
        ("-inf", None),
        ("[1.5, nan]", [1.5, None]),
        ("map(toDate('2026-11-28'), 2)", {"2026-11-28": 2}),
        ("map(7, inf)", {"7": None}),
        ("map((1, 'x'), 'y')", {'[1, "x"]': "y"}),
        ("toFixedString('Zoë', 8)", "Zoë"),
        ("map(toFixedString('k', 3), toFixedString('v', 3))", {"k": "v"}),
        ("tuple(1, NULL, 'a')", [1, None, "a"]),
        ("toDateTime('2026-11-28 18:00:00', 'UTC')", "2026-11-28 18:00:00"),
        ("toUUID('018f3e1c-0000-7000-8000-000000000000')", "018f3e1c-0000-7000-8000-000000000000"),
        ("toDecimal64('1.25', 2)", "1.25"),
        ("toUInt256(7)", 7),
        ("true", True),
    ],
)
def test_json_is_json(ask: Asks, expression: str, wanted: Any) -> None:
    said = ask(f"SELECT {expression} AS v", "--format", "json")
    (line,) = said.splitlines()
    assert json.loads(line, parse_constant=refuse) == {"v": wanted}


def test_a_result_of_many_blocks_is_printed_whole(ask: Asks) -> None:
    lines = ask("SELECT number AS n FROM numbers(200000)").splitlines()
    assert lines[0].strip() == "n"
    assert [int(line) for line in lines[2:]] == list(range(200_000))


def test_rows_of_a_query_are_given_in_blocks_however_wide_and_sorted(clickhouse: str) -> None:
    query = "SELECT number, repeat('wide', 2500) AS text FROM numbers(20000) ORDER BY number DESC"

    async def sizes() -> list[int]:
        settings = ClickHouseSettings(url=clickhouse, database="default")
        client = await open_client(settings)
        found = [len(block) async for block in blocks(client, settings, query)]
        await client.close()
        return found

    found = asyncio.run(sizes())
    assert sum(found) == 20_000 and max(found) <= 2 * BLOCK_ROWS


def test_a_fixed_string_is_text_in_a_table(ask: Asks) -> None:
    assert ask("SELECT toFixedString('abc', 6) AS name, 1 AS n").splitlines()[-1] == "abc   1"


@pytest.mark.parametrize(
    "query", ["SELECT 1 FORMAT JSON", "select 1 format TSV -- as ever", "SHOW TABLES FORMAT CSV;"]
)
def test_a_format_of_its_own_is_refused_with_the_way_out(ask: Asks, query: str) -> None:
    assert "by `evometrics sql --format`, and in Python by as_arrow()" in ask(query, code=1)


@pytest.mark.parametrize(
    ("query", "way_out"),
    [
        ("SELECT 1 AS v into outfile 'rows.csv'", "omit INTO OUTFILE"),
        ("SELECT map([1, 2], 'x') AS v", "select its mapKeys and mapValues"),
    ],
)
def test_what_no_answer_can_hold_is_refused_with_the_way_out(ask: Asks, query: str, way_out: str) -> None:
    assert way_out in ask(query, code=1)


def test_a_cell_is_one_line_without_what_a_terminal_obeys(ask: Asks) -> None:
    query = r"SELECT 'INTO OUTFILE\n' AS first, char(27) AS second, 'größe' AS third"
    assert ask(query).splitlines()[2].split() == ["INTO", r"OUTFILE\n", r"\x1b", "größe"]


@pytest.mark.parametrize(
    "query", ["SELECT 'in FORMAT x' AS v", "SELECT 1 AS v -- FORMAT x", "SELECT 1 AS v /* FORMAT x */"]
)
def test_a_format_in_a_text_or_comment_is_none(ask: Asks, query: str) -> None:
    assert ask(query).startswith("v")


def test_a_statement_without_a_result_prints_nothing(ask: Asks) -> None:
    assert ask("CREATE TABLE IF NOT EXISTS told_nothing (a Int8) ENGINE = Memory") == ""
    assert ask("DROP TABLE told_nothing") == ""


def test_a_reader_that_has_enough_ends_the_query_quietly(clickhouse: str, tmp_path: Path) -> None:
    query = "SELECT number FROM numbers(1000000)"
    where = ["--clickhouse-url", clickhouse, "--database", "default", "--data", str(tmp_path)]
    command = [sys.executable, "-m", "evometrics.deploy.cli", "sql", query, "--format", "json", *where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline()) == {"number": 0}
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 141


def test_the_formats_are_those_that_are_written() -> None:
    assert (*TEXTS, *BINARIES) == FORMATS


ODD = (
    "SELECT toUUID('018f3e1c-0000-7000-8000-0000000000ff') AS id, "
    "toDateTime64('2026-01-02 03:04:05.678901', 6, 'UTC') AS at, map('a', 1.5) AS kpis, "
    "CAST(NULL AS Nullable(Int64)) AS n, 'a,\"b' AS text, number FROM numbers(120000)"
)


def test_csv_has_names_and_leaves_null_empty(ask: Asks) -> None:
    first, second = ask(f"{ODD} LIMIT 1", "--format", "csv").splitlines()
    assert first == "id,at,kpis,n,text,number"
    assert second == (
        '018f3e1c-0000-7000-8000-0000000000ff,2026-01-02 03:04:05.678901,"{""a"": 1.5}",,"a,""b",0'
    )


@pytest.mark.parametrize("chosen", ["parquet", "arrow"])
def test_a_file_of_columns_holds_every_row_with_its_types(ask: Asks, tmp_path: Path, chosen: str) -> None:
    file = tmp_path / "rows"
    assert ask(ODD, "--format", chosen, "--output", str(file)) == ""
    found = parquet.read_table(file) if chosen == "parquet" else pa.ipc.open_file(file).read_all()
    assert found.num_rows == 120_000 and found["number"].to_pylist()[-1] == 119_999
    assert found.schema.field("at").type == pa.timestamp("us", "UTC")
    assert found.schema.field("id").type == pa.uuid() and found["n"][0].as_py() is None
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_a_file_of_columns_without_rows_has_the_columns(ask: Asks, tmp_path: Path) -> None:
    ask(f"{ODD} LIMIT 0", "--format", "parquet", "--output", str(tmp_path / "none"))
    assert parquet.read_table(tmp_path / "none").column_names == ["id", "at", "kpis", "n", "text", "number"]


def test_a_query_that_fails_midway_leaves_the_file_as_it_was(ask: Asks, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("earlier")
    query = "SELECT throwIf(number = 500000) FROM numbers(1000000)"
    assert "throwIf" in ask(query, "--format", "csv", "--output", str(file), code=1)
    assert file.read_text() == "earlier" and len(list(tmp_path.iterdir())) == 1


def test_parameters_are_bound_by_their_types(ask: Asks) -> None:
    query = "SELECT {name:String} AS name, {at:DateTime64(6, 'UTC')} AS at, {ids:Array(String)} AS ids"
    given = ("name=it's {x:Int8}", "at=2026-01-02T03:04:05+05:00", "ids=['a','b']")
    said = ask(query, *(each for text in given for each in ("--param", text)), "--format", "json")
    assert json.loads(said) == {
        "name": "it's {x:Int8}",
        "at": "2026-01-01 22:04:05",
        "ids": ["a", "b"],
    }


def test_a_parameter_is_null_where_its_type_takes_that(ask: Asks) -> None:
    query = "SELECT {n:Nullable(Int32)} AS n, {low:LowCardinality(Nullable(String))} AS low"
    query += ", {text:String} AS text"
    given = (r"n=\N", r"low=\N", r"text=\N")
    said = ask(query, *(each for text in given for each in ("--param", text)), "--format", "json")
    assert json.loads(said) == {"n": None, "low": None, "text": r"\N"}


def test_a_wrong_parameter_is_named(ask: Asks) -> None:
    assert "agent (String) has no value" in ask("SELECT {agent:String}", code=1)
    assert "no parameter agnt (it has agent)" in ask("SELECT {agent:String}", "--param", "agnt=a", code=1)


def test_a_statement_from_a_file(ask: Asks, clickhouse: str, tmp_path: Path) -> None:
    (tmp_path / "query.sql").write_text("-- how many\nSELECT count() AS n\nFROM numbers(3);\n")
    where = ["--clickhouse-url", clickhouse, "--database", "default", "--data", str(tmp_path)]
    assert main(["sql", "-f", str(tmp_path / "query.sql"), *where]) == 0
    assert "not both" in ask("SELECT 1", "-f", str(tmp_path / "query.sql"), code=2)


def test_a_table_shows_numbers_with_all_their_digits(ask: Asks) -> None:
    singles = "toFloat32(0.1) AS d, toFloat32(3.4028235e38) AS e"
    said = ask(f"SELECT 123456.789 AS a, 1764432000.125 AS b, 1e15 - 1 AS c, {singles}, 3. AS f")
    shown = "123456.789 1764432000.125 999999999999999 0.1 3.4028235e+38 3"
    assert said.splitlines()[2].split() == shown.split()
    assert ask("SELECT [toUUID('018f3e1c-0000-7000-8000-000000000000')] AS v").splitlines()[2] == (
        '["018f3e1c-0000-7000-8000-000000000000"]'
    )


def test_a_table_cuts_no_cell_where_a_program_reads_it(ask: Asks) -> None:
    long = "x" * 200
    assert ask(f"SELECT '{long}' AS v, number FROM numbers(2)").count(long) == 2


def test_one_cell_alone_keeps_its_lines(ask: Asks) -> None:
    ask("CREATE TABLE IF NOT EXISTS told_lines (a Int8, b String) ENGINE = Memory")
    assert "\nCREATE TABLE default.told_lines\n(\n    `a` Int8," in ask("SHOW CREATE TABLE told_lines")
    ask("DROP TABLE told_lines")


def test_columns_stand_below_each_other_whatever_the_script(ask: Asks) -> None:
    lines = ask("SELECT arrayJoin(['進化', '🧬', 'é']) AS name, 'x' AS end").splitlines()
    assert lines[2:] == ["進化  x", "🧬    x", "é     x"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT 1 +;", "column 11: syntax error at the end of the statement\nSELECT 1 +\n          ^"),
        ("SELECT (1", "column 10: syntax error at the end of the statement: Unmatched parentheses: '('"),
        ("\n\nSELECT 1\nFROM", "line 4, column 5: syntax error at the end of the statement\nFROM\n    ^"),
        ("SELECT 'abc", """near "'abc": Single quoted string is not closed"""),
        ("SELECT '進化', 1 1", "near '1'\nSELECT '進化', 1 1\n                 ^"),
    ],
)
def test_the_place_of_a_syntax_error_is_in_what_was_written(ask: Asks, text: str, said: str) -> None:
    error = ask(text, code=1)
    assert said in error and "FORMAT" not in error


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("rows.parquet", b"PAR1"),
        ("rows.ARROW", b"ARROW1"),
        ("rows.feather", b"ARROW1"),
        ("rows.csv", b"v\n1"),
        ("rows.json", b'{"v": 1}'),
        ("rows.jsonl", b'{"v": 1}'),
        ("rows.txt", b"v\n-\n1"),
    ],
)
def test_a_file_is_of_the_format_that_its_suffix_says(
    ask: Asks, tmp_path: Path, name: str, begins: bytes
) -> None:
    assert ask("SELECT 1 AS v", "--output", str(tmp_path / name)) == ""
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_a_format_and_a_suffix_that_contradict_each_other_are_refused(ask: Asks, tmp_path: Path) -> None:
    flags = ("--output", str(tmp_path / "rows.parquet"), "--format")
    assert "is a file of parquet, but the format is csv: omit one" in ask("SELECT 1", *flags, "csv", code=2)
    assert ask("SELECT 1", *flags, "parquet") == ""
    assert "is a folder" in ask("SELECT 1", "--output", str(tmp_path), code=2)


def test_a_line_is_the_standard_output(ask: Asks) -> None:
    assert ask("SELECT 1 AS v", "--output", "-", "--format", "csv") == "v\n1\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"SELECT '\xff'", "is not UTF-8 text"), ("folder", "Is a dir")],
)
def test_a_file_that_is_no_statement_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | str | None, said: str
) -> None:
    file = tmp_path / "query.sql"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        file.mkdir()
    assert main(["sql", "-f", str(file)]) == 2
    error = capsys.readouterr().err
    assert f"--file {file}" in error and said in error


@pytest.mark.parametrize("end", ["\\G", " FORMAT Vertical;", ""])
def test_rows_below_each_other(ask: Asks, end: str) -> None:
    flags = () if end else ("--format", "vertical")
    said = ask(f"SELECT 1 AS v, '進\\n化' AS name FROM numbers(2){end}", *flags)
    assert said == "Row 1:\n------\nv:    1\nname: 進\n化\n\nRow 2:\n------\nv:    1\nname: 進\n化\n\n"


def test_a_statement_from_standard_input(
    clickhouse: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 7 AS v;"))
    assert main(["sql", "-f", "-", "--clickhouse-url", clickhouse, "--database", "default"]) == 0
    assert capsys.readouterr().out == "v\n-\n7\n"
