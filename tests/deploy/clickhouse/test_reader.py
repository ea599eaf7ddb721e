"""A reader's statement is checked once for all that its check depends on; a refused one each time."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from evometrics.deploy.clickhouse import reader as readers
from evometrics.deploy.clickhouse.exchange import EngineError, Request
from evometrics.deploy.clickhouse.reader import Guard
from evometrics.deploy.clickhouse.reader_statement import Check
from evometrics.deploy.clickhouse.statement import Query
from evometrics.deploy.clickhouse.users import ReaderRights
from tests.support.clickhouse_front import ask

ANALYST = ReaderRights("analyst", ("evometrics", "archive"))


class Connection:
    """An engine that has nothing."""

    def query(self, *args: Any, **named: Any) -> Connection:
        return self

    def bytes(self) -> bytes:
        return b""

    def close(self) -> None: ...


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have statements only noted by their check, which refuses those with `secret` and those of a moment."""
    seen: list[str] = []

    def statement(self: Check, sql: str) -> None:
        seen.append(sql)
        if "secret" in sql:
            raise EngineError.named(497, "ACCESS_DENIED", "no")
        if "view" in sql:
            self.passing.append("whether it is a view")

    monkeypatch.setattr(Check, "statement", statement)
    return seen


def admit(guard: Guard, sql: str, file: str = "", who: ReaderRights = ANALYST, **request: Any) -> None:
    asked = Request(Query(sql), **{"database": "evometrics", **request})
    guard.enter(Connection(), asked, who)(sql, file)


def test_an_admitted_statement_is_not_checked_again_and_any_other_is(checked: list[str]) -> None:
    guard = Guard(Connection)
    others: list[dict[str, Any]] = [
        {},
        {"database": "archive"},
        {"params": {"table": "kpis"}},
        {"params": {"table": "secrets"}},
        {"file": "/run/1.pipe"},
        {"who": ReaderRights("guest", ANALYST.databases)},
        {"who": ReaderRights("analyst", ("evometrics",))},
        {"who": ReaderRights("analyst", ANALYST.databases, {"max_threads": 2})},
    ]
    for _ in range(2):
        for other in others:
            admit(guard, "SELECT 1 FROM kpis", **other)
        assert len(checked) == len(others)
    admit(guard, "SELECT 1  FROM kpis")
    assert len(checked) == len(others) + 1


def test_a_result_may_go_to_another_file_of_the_server_and_to_no_other(checked: list[str]) -> None:
    guard = Guard(Connection)
    for pipe in ("/run/1.pipe", "/run/2.pipe"):
        admit(guard, f"SELECT 1 INTO OUTFILE '{pipe}' APPEND", pipe)
    assert len(checked) == 1
    admit(guard, "SELECT 1 INTO OUTFILE '/run/1.pipe' APPEND")
    admit(guard, "SELECT 1 INTO OUTFILE '/run/1.pipe' APPEND", "/run/3.pipe")
    for _ in range(2):  # NUL is what stands for the file
        admit(guard, "SELECT 1 INTO OUTFILE '\0' APPEND")
    assert len(checked) == 5


def test_what_is_refused_or_holds_for_a_moment_is_checked_each_time(checked: list[str]) -> None:
    guard = Guard(Connection)
    for _ in range(3):
        with pytest.raises(EngineError):
            admit(guard, "SELECT * FROM secret")
        admit(guard, "SELECT * FROM view(1)")
    assert len(checked) == 6


def test_no_more_than_so_many_are_known_and_none_that_is_long(
    checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MOST_KNOWN", 3)
    guard = Guard(Connection)
    for number in (1, 2, 3, 1, 4, 1, 2):
        admit(guard, f"SELECT {number}")
    assert checked == [f"SELECT {number}" for number in (1, 2, 3, 4, 2)]
    for _ in range(2):
        admit(guard, "SELECT 1", params={"text": "x" * readers.LONGEST_KNOWN})
    assert len(checked) == 7


async def test_a_view_with_parameters_that_became_something_else_is_refused(
    http: aiohttp.ClientSession,
) -> None:
    await ask(http, "CREATE DATABASE IF NOT EXISTS evometrics")
    as_reader = {"user": "analyst", "database": "evometrics"}
    view = "evometrics.of_a_moment"
    statement = f"SELECT n FROM {view}(least = 3) ORDER BY n"
    made = f"CREATE VIEW {view} AS SELECT number AS n FROM numbers(5) WHERE number >= {{least:UInt64}}"
    assert (await ask(http, made))[0] == 200
    assert (
        await asyncio.gather(*(ask(http, statement, **as_reader) for _ in range(3))) == [(200, "3\n4\n")] * 3
    )
    await ask(http, f"DROP VIEW {view}")
    await ask(http, f"CREATE TABLE {view} (n UInt64) ORDER BY n")
    status, error = await ask(http, statement, **as_reader)
    assert status == 404 and "Unknown table function of_a_moment" in error
    await ask(http, f"DROP TABLE {view}")
    table = {**as_reader, "param_of": "evometrics"}
    named = "SELECT count() >= 0 FROM {of:Identifier}.kpis_of_a_moment"
    await ask(http, "CREATE TABLE evometrics.kpis_of_a_moment (n UInt64) ORDER BY n")
    for _ in range(2):
        assert await ask(http, named, **table) == (200, "1\n")
        status, error = await ask(http, named, **{**table, "param_of": "default"})
        assert status != 200 and "Not enough privileges" in error
    await ask(http, "DROP TABLE evometrics.kpis_of_a_moment")
