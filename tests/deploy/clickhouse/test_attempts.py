"""What a web page and a user who only reads try at the embedded ClickHouse, each refused by name.

`python -m tests.deploy.clickhouse.test_attempts` prints the table of the attempts with their answers.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import free_ports
from evometrics.sinks.checksums import checksums
from evometrics.sinks.clickhouse.grants import VIEWS
from evometrics.sinks.letters.letters import Letters, Selection
from evometrics.sinks.migrations.migrate import status
from evometrics.sinks.query.metrics import MetricsQuery
from evometrics.sinks.raw.tables import RawSelection, RawTables
from evometrics.sinks.retention import TABLES, show
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.migrated import copied, migrated_in
from tests.support.sinks import WIRE, run_statements

PASSWORD = "of the writer"
READER = {"user": "analyst"}
WRITER = {"user": "default", "password": PASSWORD}


@dataclass(frozen=True)
class Attempt:
    """A request, and how it is refused: the HTTP status, and words of the answer."""

    what: str
    status: int
    words: str
    query: str = "SELECT 1"
    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


def page(what: str, words: str, **headers: str) -> Attempt:
    """A request that a browser sends for a page."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Attempt(what, 403, words, headers=named, parameters=WRITER)


OTHER = "https://other.example"
PAGES = [
    page("a page of another site posts", f"Origin: {OTHER} is another site's page", Origin=OTHER),
    page("a page without an origin posts", "Origin: null is another site's page", Origin="null"),
    page(
        "a page of another port posts",
        "Origin: http://localhost:3000 is another site's page",
        Origin="http://localhost:3000",
    ),
    page(
        "another site's image or script",
        "Sec-Fetch-Site: cross-site: another site's page has sent this",
        Sec_Fetch_Site="cross-site",
    ),
    page(
        "a page of the same site under another name",
        "Sec-Fetch-Site: same-site: another site's page has sent this",
        Sec_Fetch_Site="same-site",
    ),
    page(
        "a page whose own name leads here",
        "Host: rebound.example:8123 is no name of this server",
        Host="rebound.example:8123",
    ),
]
LOGINS = [
    Attempt("a wrong password", 403, "AUTHENTICATION_FAILED", parameters=WRITER | {"password": "guess"}),
    Attempt("no password", 403, "AUTHENTICATION_FAILED", parameters={"user": "default"}),
    Attempt("a name that nobody has", 403, "AUTHENTICATION_FAILED", parameters={"user": "stranger"}),
]


def denied(what: str, query: str, words: str, **parameters: str) -> Attempt:
    """A statement that names what a reader may not (497)."""
    return Attempt(what, 500, f"Not enough privileges: {words}", query, parameters=READER | parameters)


def unknown(what: str, query: str, code: int, words: str) -> Attempt:
    """A statement that names what the engine does not have."""
    assert code in (46, 60, 81)
    return Attempt(what, 404, words, query, parameters=READER)


def unchanged(what: str, query: str, words: str, **parameters: str) -> Attempt:
    """A statement that would change something (164)."""
    return Attempt(what, 500, f"Code: 164. DB::Exception: {words}", query, parameters=READER | parameters)


STATEMENTS = [
    denied("reads a file", "SELECT * FROM file('x.csv')", "table function file"),
    denied("reads a file in a subquery", "SELECT (SELECT count() FROM file('x.csv'))", "table function file"),
    denied("… in a CTE", "WITH f AS (SELECT * FROM file('x.csv')) SELECT * FROM f", "table function file"),
    denied("… in IN", "SELECT 1 WHERE 1 IN (SELECT * FROM file('x.csv'))", "table function file"),
    denied("… in view()", "SELECT * FROM view(SELECT * FROM file('x.csv'))", "table function file"),
    denied("… behind a comment", "/* SELECT */ SELECT * FROM file('x.csv') -- 1", "table function file"),
    denied("… in a join", "SELECT * FROM numbers(1) JOIN file('x.csv') AS f ON 1", "table function file"),
    denied("… in an EXPLAIN", "EXPLAIN SELECT * FROM file('x.csv')", "table function file"),
    denied("has a file described", "DESCRIBE TABLE file('x.csv')", "table function file"),
    denied("reads a file as a value", "SELECT file('x.csv')", "function file"),
    denied("… for each column", "SELECT * APPLY(file) FROM evolution_metrics", "function file"),
    denied("reads a file as a table", "SELECT * FROM default.`x.csv`", "table default.x.csv"),
    denied("calls a URL", "SELECT * FROM url('http://127.0.0.1:1/')", "table function url"),
    denied("asks another server", "SELECT * FROM remote('127.0.0.1', a.b)", "table function remote"),
    denied("starts a program", "SELECT * FROM executable('x', 'CSV', 'a Int8')", "table function executable"),
    denied("reads all of a database", "SELECT * FROM merge('default', '.*')", "table function merge"),
    denied("… in a loop", "SELECT * FROM loop(file('x.csv')) LIMIT 1", "table function file"),
    denied("loops over a table", "WITH 'private' AS a SELECT * FROM loop(a, notes) LIMIT 1", "loop over"),
    denied("… under a quoted name", "SELECT * FROM loop(`private.notes`) LIMIT 1", "loop over"),
    denied("… in a view in a loop", "SELECT * FROM loop(view(SELECT * FROM private.notes))", "table private"),
    denied(
        "calculates rows' columns", "SELECT * FROM format(JSON, 'a Int8' || '', '{}')", "a table function wh"
    ),
    denied("asks for a column", "SELECT hasColumnInTable('private', 'notes', 'n')", "table private.notes"),
    denied(
        "… of another server", "SELECT hasColumnInTable('h', 'private', 'notes', 'n')", "hasColumnInTable"
    ),
    denied("… by what it calculates", "SELECT hasColumnInTable(lower('P'), 'n', 'n')", "hasColumnInTable"),
    denied("asks a model", "SELECT naiveBayesClassifier('m', 'text')", "function naiveBayesClassifier"),
    denied("asks a dictionary", "SELECT dictGet('d', 'a', 1)", "function dictGet"),
    denied("reads the server's settings", "SELECT getServerSetting('x')", "function getServerSetting"),
    unknown("mistypes a function", "SELECT cout()", 46, "Function with name `cout` does not exist. Maybe"),
    unknown("… that ends as a combinator", "SELECT sumyIf(1, 1)", 46, "name `sumyIf` does not exist"),
    unknown("… for each column", "SELECT * APPLY(cout) FROM kpi_deltas", 46, "['count'"),
    unknown("mistypes a table function", "SELECT * FROM numberz(3)", 46, "Maybe you meant: ['numbers'"),
    unknown("… with parameters", "SELECT * FROM agent_ancestor(agent = 'a')", 46, "['agent_ancestors'"),
    unknown("mistypes a table", "SELECT * FROM system.table", 60, "Maybe you meant: ['tables'"),
    unknown(
        "mistypes a database", "SELECT * FROM evometric.kpi_deltas", 81, "Maybe you meant: ['evometrics'"
    ),
    unknown("… that it goes to", "USE nosuchdb", 81, "Database nosuchdb does not exist"),
    denied("mistypes another database's table", "SELECT * FROM private.nots", "table private.nots"),
    denied("writes a file", "SELECT 1 INTO OUTFILE 'x.csv'", "INTO OUTFILE"),
    denied("reads others' statements", "SELECT 1 IN system.processes", "table system.processes"),
    denied("… from within `system`", "SELECT * FROM processes", "table system.processes", database="system"),
    denied("reads another database", "SELECT * FROM private.notes", "table private.notes"),
    denied("… by IN", "SELECT 1 WHERE 1 IN private.notes", "table private.notes"),
    denied(
        "… as a parameter", "SELECT * FROM {t:Identifier}", "table private.notes", param_t="private.notes"
    ),
    denied("… as the current one", "SELECT * FROM notes", "database private", database="private"),
    denied("goes to another database", "USE private", "database private"),
    denied("shows another's table", "SHOW CREATE TABLE private.notes", "table private.notes"),
    denied("ends all statements", "KILL QUERY WHERE 1", "KILL of anything but its own"),
    denied("explains a change", "EXPLAIN AST DROP TABLE t", "EXPLAIN of anything but a SELECT"),
    unchanged("inserts", "INSERT INTO kpi_deltas_rows VALUES (1)", "analyst only reads: INSERT"),
    unchanged("inserts a result", "INSERT INTO kpi_deltas_rows SELECT 1", "analyst only reads: INSERT"),
    unchanged(
        "creates a table", "CREATE TABLE t (a Int8) ENGINE = Memory", "analyst only reads: CREATE TABLE"
    ),
    unchanged(
        "… for itself", "CREATE TEMPORARY TABLE t (a Int8)", "analyst only reads: CREATE TEMPORARY TABLE is"
    ),
    unchanged("drops a table", "DROP TABLE kpi_deltas_rows", "analyst only reads: DROP TABLE is"),
    unchanged("deletes rows", "DELETE FROM kpi_deltas_rows WHERE 1", "analyst only reads: DELETE is"),
    unchanged(
        "alters a table", "ALTER TABLE kpi_deltas_rows MODIFY TTL now()", "analyst only reads: ALTER is"
    ),
    unchanged("merges a table", "OPTIMIZE TABLE kpi_deltas_rows", "analyst only reads: OPTIMIZE is"),
    unchanged("commands the server", "SYSTEM FLUSH LOGS", "analyst only reads: SYSTEM is"),
    unchanged("updates rows", "UPDATE t SET a = 1 WHERE 1", "analyst only reads: UPDATE is not"),
    unchanged("asks for profiles", "SHOW SETTINGS PROFILES", "analyst only reads: SHOW SETTINGS PROFILES is"),
    unchanged("asks for roles", "SHOW CURRENT ROLES", "analyst only reads: SHOW CURRENT ROLES is not"),
    unchanged("makes a user", "CREATE USER a", "analyst only reads: CREATE USER is not"),
    unchanged("makes itself a writer", "SET readonly = 0", "Cannot modify 'readonly' setting"),
    unchanged("… in the statement", "SELECT 1 SETTINGS readonly = 0", "Cannot modify 'readonly' setting"),
    unchanged("… in the URL", "SELECT 1", "Cannot modify 'readonly' setting", readonly="0"),
    unchanged(
        "names a file in a setting", "SELECT 1 SETTINGS format_schema = 'x'", "Cannot modify 'format_schema'"
    ),
    unchanged("… in the URL", "SELECT 1", "Cannot modify 'format_schema'", format_schema="x"),
    unchanged("speaks another language", "SET dialect = 'prql'", "Cannot modify 'dialect' setting"),
    Attempt("sends two statements", 400, "SYNTAX_ERROR", "SELECT 1; SELECT 2", parameters=READER),
]
ATTEMPTS = [*PAGES, *LOGINS, *STATEMENTS]

ALLOWED = [
    *(f"SELECT * FROM {view} LIMIT 1" for view in VIEWS),
    "SELECT * FROM agent_ancestors(agent = 'a')",
    "SELECT * FROM evometrics.agent_descendants(agent = 'a')",
    "SELECT count() FROM evolution_metrics_as_of(at = '2026-01-01 00:00:00')",
    "SELECT agent_id, quantileIf(0.9)(performance_score, success) FROM evolution_metrics GROUP BY ALL",
    "-- a dashboard\nSELECT * FROM evometrics.kpi_deltas WHERE occurred_at > now() - INTERVAL 1 DAY",
    "WITH a AS (SELECT 1 AS n) SELECT rank() OVER (ORDER BY n) FROM a JOIN numbers(3) AS b ON n = number",
    "FROM system.tables SELECT name, total_rows WHERE database = currentDatabase()",
    "SELECT name, type, comment FROM system.columns WHERE table = 'kpi_deltas'",
    "SELECT table_name FROM information_schema.tables",
    "SELECT version(), timezone(), hostName(), currentUser()",
    "SELECT * FROM VALUES('a Int8, b String', (1, 'x'))",
    "SELECT toStartOfHour(now()), arrayMap(x -> x + 1, [number]) FROM numbers(2) SETTINGS max_threads = 1",
    "SELECT seriesOutliersDetectTukey([1., 2, 3, 2, 50, 2]), timeSeriesMetricTypeToSuffixes('counter')",
    "SELECT seriesDecomposeSTL([1., 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3], 3)",
    "WITH (SELECT stochasticLinearRegressionState(1., zero) FROM zeros(9)) AS m SELECT evalMLMethod(m, 2)",
    "SELECT colorSRGBToOKLAB((1, 2, 3)), user(), DATABASE(), array_concat_agg([number]) FROM numbers(2)",
    "SELECT hasColumnInTable('evometrics', 'kpi_deltas', 'agent_id')",
    "SELECT * FROM loop(view(SELECT agent_id FROM kpi_deltas UNION ALL SELECT 'a')) LIMIT 3",
    "SELECT number FROM loop(numbers(2)) LIMIT 3",
    "SELECT prime FROM primes(3)",
    "SELECT a FROM format(CSV, 'a Int8', '1') AS a JOIN format('JSONEachRow', '{\"a\": 1}') AS b USING a",
    "SHOW TABLES",
    "SHOW DATABASES",
    "SHOW CREATE TABLE kpi_deltas",
    "SHOW COLUMNS FROM kpi_deltas",
    "DESCRIBE TABLE evometrics.kpi_deltas",
    "DESCRIBE (SELECT 1 AS a)",
    "SELECT ((1) + 2) / (1 + (3)), if((1) = 0, NULL, (SELECT '(' || `(` FROM (SELECT ')' AS `(`))), (now())",
    "EXISTS TABLE kpi_deltas",
    "EXPLAIN indexes = 1 SELECT * FROM kpi_deltas WHERE agent_id = 'a'",
    "KILL QUERY WHERE query_id = 'long ended'",
    "SET max_threads = 1",
    "USE evometrics",
]


@contextmanager
def running_server(folder: Path, migrated: Path) -> Iterator[str]:
    """Run the front with the tables, a table that is none of the reader's, and a writer's password."""
    (port,) = free_ports(1)
    spec = clickhouse_process(copied(migrated, folder / "clickhouse"), port, folder / "clickhouse.log")
    env = {"EVOMETRICS_CLICKHOUSE_SERVER_PASSWORD": PASSWORD}
    child = ChildProcess(dataclasses.replace(spec, env={**spec.env, **env}))
    asyncio.run(child.start())
    try:
        url = f"http://127.0.0.1:{port}"
        writer = ClickHouseSettings(url=url, password=PASSWORD)
        private = ["CREATE DATABASE private", "CREATE TABLE private.notes (n Int8) ORDER BY n"]
        asyncio.run(run_statements(writer, private))
        yield url
    finally:
        asyncio.run(child.stop())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, migrated_folder: Path) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("attempts"), migrated_folder) as url:
        yield url


@pytest.fixture
async def http(server: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server) as session:
        yield session


def client_of(url: str, **options: object) -> Client:
    parts = urlsplit(url)
    return clickhouse_connect.get_client(host=parts.hostname, port=parts.port, username="analyst", **options)  # type: ignore[arg-type]


async def answer(http: aiohttp.ClientSession, attempt: Attempt) -> tuple[int, str]:
    """Return status and text."""
    async with http.post(
        "/", params=attempt.parameters, data=attempt.query, headers=dict(attempt.headers)
    ) as found:
        return found.status, await found.text()


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: f"{attempt.what}: {attempt.query[:40]}")
async def test_an_attempt_is_refused_by_name(http: aiohttp.ClientSession, attempt: Attempt) -> None:
    status, said = await answer(http, attempt)
    assert attempt.words in said
    assert status == attempt.status
    if attempt in PAGES:
        assert "EVOMETRICS_CLICKHOUSE_SERVER_" in said, "how to allow it"


@pytest.mark.parametrize("statement", ALLOWED, ids=lambda statement: statement[:50])
async def test_a_reader_may(http: aiohttp.ClientSession, statement: str) -> None:
    status, said = await answer(http, Attempt("", 200, "", statement, parameters=READER))
    assert status == 200, said


def test_a_readers_client_reads_in_every_form(server: str) -> None:
    client = client_of(server, settings={"max_block_size": 100, "readonly": "2", "session_timezone": "UTC"})
    sql = "SELECT number AS n FROM numbers(3) WHERE number < {most:UInt8}"
    assert client.query(sql, {"most": 2}).result_rows == [(0,), (1,)]
    assert list(client.query_df(sql, {"most": 2})["n"]) == [0, 1]
    assert client.query_arrow(sql, {"most": 2}).num_rows == 2
    assert client.command("SELECT currentDatabase()") == "evometrics"
    with pytest.raises(DatabaseError, match="READONLY"):
        client.insert("kpi_deltas_rows", [["a"]], column_names=["agent_id"])


async def test_what_only_reads_of_evometrics_needs_no_other_user(server: str) -> None:
    analyst = ClickHouseSettings(url=server, user="analyst")
    assert all(found.rows == 0 for found in (await checksums(analyst)).values())
    assert [each.table for each in await show(analyst)] == list(TABLES)
    async with MetricsQuery(analyst) as metrics:
        assert await metrics.get_agent_evolution_history("nobody") == []
        assert await metrics.get_top_performing_evolutions() == []
        assert math.isnan(await metrics.get_evolution_success_rate())
    async with Letters(analyst) as letters:
        assert (await letters.count(Selection())).messages == 0
    async with RawTables(analyst, RawSelection(), WIRE) as tables:
        await tables.check_known()
        assert await tables.bounds() is None
    assert {each.state for each in await status(analyst)} == {"applied"}


async def test_a_statement_that_is_nested_deeply_is_refused_and_the_next_one_answered(
    http: aiohttp.ClientSession,
) -> None:
    for depth in (400, 2000):
        deep = f"SELECT {'(1 + ' * depth}1{')' * depth}"
        status, said = await answer(http, Attempt("", 500, "", deep, parameters=READER))
        refused = status != 200 and re.search("nested too deeply|Maximum parse depth|TOO_DEEP_AST", said)
        # some Pythons follow a tree of the lesser depth, and ClickHouse none of the other
        assert refused or (depth == 400 and (status, said) == (200, "401\n"))
    assert await answer(http, Attempt("", 200, "", parameters=READER)) == (200, "1\n")


async def test_a_list_that_is_too_long_to_be_checked_comes_as_a_parameter(server: str) -> None:
    client = client_of(server)
    ids = list(range(60_000))
    with pytest.raises(
        DatabaseError, match=r"168.*Bring a long list as a parameter, IN {ids:Array\(String\)}"
    ):
        client.query(
            f"SELECT 1 WHERE 1 IN ({', '.join(map(str, ids))})", settings={"max_query_size": 1_000_000}
        )
    found = client.query("SELECT 59999 IN {ids:Array(UInt32)}", {"ids": ids})
    assert found.result_rows == [(1,)]


async def test_a_reader_may_bring_a_table_of_names_and_types(http: aiohttp.ClientSession) -> None:
    for structure, code in (("n UInt8", 200), ("n UInt8 DEFAULT 1", 400)):
        form = aiohttp.FormData()
        form.add_field("mine", b"1\n2\n", filename="mine", content_type="application/octet-stream")
        asked = {"query": "SELECT sum(n) FROM mine JOIN numbers(2) AS b ON n = number"}
        params = {**READER, **asked, "mine_structure": structure}
        async with http.post("/", params=params, data=form) as found:
            assert found.status == code, await found.text()


async def test_a_reader_reads_in_the_native_format(http: aiohttp.ClientSession) -> None:
    params = {**READER, "client_protocol_version": "54460"}
    async with http.post("/", params=params, data="SELECT 1 FORMAT Native") as found:
        assert found.status == 200, await found.text()


async def test_a_statement_that_the_check_can_not_read_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.post("/", params=READER, data=b"SELECT '\xff'") as found:
        assert found.status == 400 and "not UTF-8" in await found.text()


async def test_a_reader_ends_its_own_statements_and_nobody_elses(http: aiohttp.ClientSession) -> None:
    endless = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"

    def begun(user: Mapping[str, str], query_id: str) -> asyncio.Task[tuple[int, str]]:
        attempt = Attempt("", 200, "", endless, parameters={**user, "query_id": query_id})
        return asyncio.create_task(answer(http, attempt))

    async def kill(user: Mapping[str, str], query_id: str) -> str:
        query = f"KILL QUERY WHERE query_id = '{query_id}' SYNC"
        return (await answer(http, Attempt("", 200, "", query, parameters=user)))[1]

    async def running(query_id: str) -> None:
        listed = f"SELECT count() FROM system.processes WHERE query_id = '{query_id}'"
        for _ in range(500):
            if (await answer(http, Attempt("", 200, "", listed, parameters=WRITER)))[1] == "1\n":
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{query_id} does not run")

    writers, readers = begun(WRITER, "of the writer"), begun(READER, "of the reader")
    await running("of the writer")
    await running("of the reader")
    for listed in ("SELECT query_id FROM system.processes", "SHOW PROCESSLIST"):
        status, told = await answer(http, Attempt("", 200, "", listed, parameters=READER))
        assert status == 200 and "of the reader" in told and "of the writer" not in told
    progress = "SELECT read_rows > 0, query FROM system.processes WHERE query_id = {id:String}"
    asked = Attempt("", 200, "", progress, parameters={**READER, "param_id": "of the reader"})
    assert await answer(http, asked) == (200, f"1\t{endless}\n")
    said = await kill(READER, "of the writer")
    assert "KILL of another user's statement of the writer is not for a user who only reads" in said
    assert "finished" in await kill(READER, "of the reader")
    assert "QUERY_WAS_CANCELLED" in (await readers)[1] and not writers.done()
    assert "finished" in await kill(WRITER, "of the writer")
    assert "QUERY_WAS_CANCELLED" in (await writers)[1]


def test_a_readers_session_stays_one(server: str) -> None:
    client = client_of(server, session_id="mine")
    client.command("SET max_threads = 1")
    with pytest.raises(DatabaseError, match="Cannot modify 'readonly'"):
        client.command("SET readonly = 0")
    with pytest.raises(DatabaseError, match="READONLY"):
        client.command("CREATE DATABASE other")
    assert client.command("SELECT getSetting('max_threads')") == 1


async def test_other_clients_send_no_origin_and_name_the_server(http: aiohttp.ClientSession) -> None:
    own = f"http://127.0.0.1:{http._base_url.port}"  # type: ignore[union-attr]
    headers: list[dict[str, str]] = [{}, {"Host": "localhost"}, {"Host": "[::1]:8123"}, {"Origin": own}]
    headers += [{"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin", "Origin": own}]
    for some in headers:
        assert await answer(http, Attempt("", 200, "", headers=some, parameters=READER)) == (200, "1\n")


def table(url: str) -> Iterator[str]:
    """Yield the lines of the attempts' table."""

    async def said() -> list[tuple[int, str]]:
        async with aiohttp.ClientSession(url) as http:
            return [await answer(http, attempt) for attempt in ATTEMPTS]

    yield "| who | attempt | sent | answer |"
    yield "|---|---|---|---|"
    for attempt, (code, text) in zip(ATTEMPTS, asyncio.run(said()), strict=True):
        who = "web page" if attempt in PAGES else "login" if attempt in LOGINS else "analyst"
        given = attempt.headers or {k: v for k, v in attempt.parameters.items() if k not in WRITER}
        sent = ", ".join([f"`{name}: {value}`" for name, value in given.items()] + [f"`{attempt.query}`"])
        yield f"| {who} | {attempt.what} | {sent} | {code}: {text.strip()} |"


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_server(Path(scratch), migrated_in(Path(scratch))) as address,
    ):
        sys.stdout.writelines(f"{line}\n" for line in table(address))
