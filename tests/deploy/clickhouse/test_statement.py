"""Where a statement ends and its data begin."""

from __future__ import annotations

import re

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from evometrics.deploy.clickhouse.exchange import EngineError
from evometrics.deploy.clickhouse.statement import TOKEN, Insert, Query, parse, raw
from evometrics.deploy.clickhouse.wire import read_request, split, url_parameters
from evometrics.sinks.clickhouse.client import is_bad_data


@pytest.mark.parametrize(
    ("text", "sql", "format_name", "data"),
    [
        (b"INSERT INTO t FORMAT Avro\nObj\x01\xff", "INSERT INTO t ", "Avro", b"Obj\x01\xff"),
        (b"insert into t (a, b) format csv\r\n1,2", "insert into t (a, b) ", "csv", b"1,2"),
        (b"INSERT INTO t FORMAT TSV \n\n1", "INSERT INTO t ", "TSV", b"\n1"),
        (
            b"INSERT INTO t SETTINGS a='FORMAT X' FORMAT CSV 1",
            "INSERT INTO t SETTINGS a='FORMAT X' ",
            "CSV",
            b"1",
        ),
        (
            b"/* FORMAT a */ INSERT INTO `FORMAT b` FORMAT CSV 1",
            "/* FORMAT a */ INSERT INTO `FORMAT b` ",
            "CSV",
            b"1",
        ),
        (b"-- it's\nINSERT INTO t FORMAT CSV 1", "-- it's\nINSERT INTO t ", "CSV", b"1"),
        (b"INSERT INTO t (values) VALUES (1, 'x')", "INSERT INTO t (values) ", "Values", b" (1, 'x')"),
        (b"INSERT INTO t FORMAT JSONEachRow", "INSERT INTO t ", "JSONEachRow", b""),
        (b"INSERT INTO t", "INSERT INTO t", None, b""),
    ],
)
def test_an_insert_is_taken_apart_from_its_data(
    text: bytes, sql: str, format_name: str | None, data: bytes
) -> None:
    assert parse(text) == Insert(sql, format_name, data)


def test_an_insert_can_take_its_data_from_a_file() -> None:
    sql = "INSERT INTO t (settings) SETTINGS a='settings' "
    reading = " ".join(Insert(sql, None, b"").reading("'/f'", "CSV").split())
    file = "FROM INFILE '/f' COMPRESSION 'none'"
    assert reading == f"INSERT INTO t (settings) {file} SETTINGS a='settings' FORMAT CSV"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'INSERT INTO t FORMAT CSV'",
        "WITH 1 AS x SELECT x FORMAT JSON",
        "INSERT INTO t SELECT number FROM numbers(3)",
        "INSERT INTO t SELECT 1 FORMAT Null",
        "INSERT INTO t FROM INFILE 'x.csv' FORMAT CSV",
        "CREATE TABLE t (format String) ENGINE = Memory",
    ],
)
def test_a_statement_without_data_stays_whole(sql: str) -> None:
    assert parse(sql.encode()) == Query(sql)


def test_a_query_tells_its_own_output_format() -> None:
    assert Query("SELECT 1\n FORMAT Native").format == "Native"
    assert Query("SELECT 1 FORMAT JSON SETTINGS max_threads = 1;").format == "JSON"
    assert Query("SELECT format FROM t").format is None


def test_pieces_behind_the_statement_are_handed_on_uncopied() -> None:
    pieces = [b"INSERT INTO t FORMAT Avro\nObj", bytes(100_000), bytes(200_000)]
    statement, data = split(b"", pieces)
    assert statement == Insert("INSERT INTO t ", "Avro", b"Obj")
    assert [id(piece) for piece in data] == [id(piece) for piece in pieces[1:]]


@pytest.mark.parametrize("cut", range(1, 46))
def test_a_statement_cut_anywhere_between_pieces_is_read_the_same(cut: int) -> None:
    body = "INSERT INTO t (ключ, b) FORMAT Avro\r\n".encode() + b"Obj\x01"
    statement, data = split(b"", [body[:cut], body[cut:]])
    assert isinstance(statement, Insert)
    assert (statement.sql, statement.format) == ("INSERT INTO t (ключ, b) ", "Avro")
    assert statement.data + b"".join(data) == b"Obj\x01"


def test_interface_parameters_are_told_from_settings() -> None:
    parameters = {
        "query": "SELECT {n:Int8}",
        "param_n": "5",
        "database": "d",
        "max_threads": "1",
        "session_id": "s",
        "wait_end_of_query": "1",
        "default_format": "JSON",
    }
    request = read_request("GET", parameters, {}, [], "id")
    assert (request.params, request.settings) == ({"n": "5"}, {"max_threads": "1"})
    assert (request.database, request.session, request.format, request.read_only) == ("d", "s", "JSON", True)


def test_what_a_server_refuses_is_refused_by_its_own_codes() -> None:
    for parameters, code, text in (
        ({"query": " "}, 62, "Empty query"),
        ({"query": "SELECT 1", "role": "admin"}, 511, "no role `admin`"),
        ({"query": "SELECT 1", "session_id": "s", "session_timeout": "3601"}, 374, "larger than"),
        ({"query": "SELECT 1", "session_id": "s", "session_timeout": "soon"}, 374, "'soon'"),
        ({"query": "SELECT 1", "client_protocol_version": "new"}, 72, "is no number"),
    ):
        with pytest.raises(EngineError, match=re.escape(text)) as caught:
            read_request("POST", parameters, {}, [], "id")
        assert caught.value.code == code


def test_a_statement_may_hold_any_bytes_and_other_parameters_only_utf_8() -> None:
    found = read_request("POST", url_parameters("query=SELECT%20'%FF'"), {}, [], "id")
    assert isinstance(found.statement, Query) and raw(found.statement.sql).strip() == b"SELECT '\xff'"
    found = read_request("POST", {}, {}, [b"SELECT '", b"\xff'"], "id")
    assert isinstance(found.statement, Query) and raw(found.statement.sql) == b"SELECT '\xff'"
    with pytest.raises(EngineError, match="'param_x' is not UTF-8"):
        url_parameters("param_x=%FF")


def test_headers_name_database_and_format_before_parameters_do() -> None:
    parameters = {"query": "SELECT 1", "database": "a", "default_format": "JSON"}
    found = read_request(
        "POST", parameters, {"X-ClickHouse-Database": "b", "X-ClickHouse-Format": "CSV"}, [], "id"
    )
    assert (found.database, found.format) == ("b", "CSV")


@pytest.mark.parametrize("quote", [b"'", b'"', b"`"])
def test_a_quote_that_is_not_closed_goes_to_the_end_in_one_piece(quote: bytes) -> None:
    """Read again from each of its own quotes it would take minutes."""
    rest = quote + (b"\\" + quote) * 100_000
    assert [token[0] for token in TOKEN.finditer(b"SELECT " + rest)] == [b"SELECT", b" ", rest]
    doubled = quote + quote * 2 * 3 + quote
    assert [token[0] for token in TOKEN.finditer(doubled + b" x")] == [doubled, b" ", b"x"]


def test_an_error_without_a_word_is_the_datas() -> None:
    """As Python 3.11.2 hands over one whose words are not UTF-8; unknown, it would be tried for ever."""
    error = EngineError.of("")
    assert is_bad_data(DatabaseError(str(error), code=error.code)) and "UTF-8" in str(error)
    assert EngineError.of("out of order").code == 1002
