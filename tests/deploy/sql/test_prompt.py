"""`evometrics sql` on a terminal: the prompt, a long table in the pager, Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evometrics.deploy.sql.names import SqlCompleter, SqlNames
from evometrics.deploy.sql.script import Typed, is_complete, statements
from evometrics.sinks.query.text import own_format, parameters, without_end
from tests.support.terminal import Terminal

PROMPT = "default>"
SECONDS = " s"
ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))"


@pytest.fixture
def started(clickhouse: str, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    terminals = []

    def start(*arguments: str, pager: str = "cat") -> Terminal:
        where = ["--clickhouse-url", clickhouse, "--database", "default", "--data", str(tmp_path)]
        command = [sys.executable, "-m", "evometrics.deploy.cli", "sql", *arguments, *where]
        terminals.append(Terminal(command, {"XDG_STATE_HOME": str(tmp_path), "PAGER": pager}))
        return terminals[-1]

    yield start
    for each in terminals:
        each.close()


def test_a_prompt_runs_statements_until_ctrl_d(started: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = started()
    terminal.until(PROMPT)
    terminal.type("SELECT 40 + 2\r")
    terminal.until("...")
    terminal.type("AS answer;\r")
    assert "42" in terminal.until("1 row in ", PROMPT)
    terminal.type("SELEC 1;\r")
    assert "^" in terminal.until("error: line 1, column 7: syntax error near '1'", PROMPT)
    terminal.type("SET max_threads = 3;\r")
    terminal.until("done in ", PROMPT)
    terminal.type("SELECT getSetting('max_threads') AS n;\r")
    assert "3" in terminal.until("1 row in ", PROMPT).split("---")[-1]
    terminal.type(f"{ENDLESS};\r")
    terminal.until(SECONDS)  # it says how long it has been running
    terminal.type("\x03")
    terminal.until("cancelled", PROMPT)
    terminal.type("SELECT 'still here' AS v;\r")
    terminal.until("1 row in ", PROMPT)
    terminal.type("\x04")
    assert terminal.code() == 0
    kept = tmp_path / "evometrics" / "sql_history"
    assert kept.stat().st_mode & 0o777 == 0o600 and "still here" in kept.read_text()


def test_a_paste_runs_in_turn_and_use_moves_the_prompt(started: Callable[..., Terminal]) -> None:
    terminal = started()
    terminal.until(PROMPT)
    terminal.type("SELECT 'one;' AS v; SELECT 'two' AS v, 3 AS n\\G\r")
    assert "v: two" in terminal.until("1 row in ", "1 row in ")
    terminal.type(
        "CREATE TEMPORARY TABLE kept (a Int8); INSERT INTO kept VALUES (1), (2); SELEC; SELECT 1;\r"
    )
    assert " rows in" not in terminal.until("not run: the 1 behind it", PROMPT)
    terminal.type("SELECT count() AS n FROM kept FORMAT Vertical;\r")
    terminal.until("n: 2", PROMPT)
    terminal.type("SET max_block_size = 7;\r")
    terminal.until("max_block_size has no effect", PROMPT)
    terminal.type("USE system;\r")
    terminal.until("done in ", "system>")
    terminal.type("SELECT name FROM one_of_none;\r")
    terminal.until("error: ", "system>")
    terminal.type("SELECT count() AS n, currentDatabase() AS d FROM one\\G\r")
    terminal.until("d: system", "system>")
    terminal.type("\x04")
    assert terminal.code() == 0


def test_ctrl_c_ends_a_statement_of_the_command_line(started: Callable[..., Terminal]) -> None:
    terminal = started(ENDLESS)
    terminal.until(SECONDS)  # it says how long it has been running
    terminal.type("\x03")
    assert terminal.code() == 130


def test_binary_formats_are_not_for_a_terminal(started: Callable[..., Terminal]) -> None:
    terminal = started("SELECT 1", "--format", "parquet")
    terminal.until("--format parquet is not for a terminal: add --output FILE")
    assert terminal.code() == 2


def test_what_does_not_fit_the_screen_is_paged(started: Callable[..., Terminal], tmp_path: Path) -> None:
    pager = tmp_path / "less"
    pager.write_text('#!/bin/sh\necho "less $*."\nexec cat\n')
    pager.chmod(0o755)
    long = "'some words' || toString(number)"
    wide = started(f"SELECT {', '.join([long] * 9)} FROM numbers(3)", pager=str(pager))
    assert "some words2" in wide.until("less -S -+F.", "some words2")  # sideways, and not left at once
    assert wide.code() == 0
    wrapped = started(f"SELECT repeat({long}, 400) FROM numbers(1)", pager=str(pager))
    wrapped.until("less .", "some words0")
    assert wrapped.code() == 0
    short = started(f"SELECT {long}, 1 FROM numbers(3)", pager=str(pager))
    short.until("some words2")
    assert short.code() == 0 and "less" not in short.shown


def offered(text: str) -> list[str]:
    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    completer = SqlCompleter()
    columns = {"evolution_metrics": ["agent_id", "occurred_at"], "system_events": ["data"]}
    completer.names = SqlNames(columns, list(columns), ["SELECT", "ORDER BY"], ["argMax", "avg"])
    found = completer.get_completions(Document(text), CompleteEvent())
    return [each.text for each in found]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("sel", ["SELECT"]),
        ("SELECT A", ["agent_id", "argMax", "avg"]),
        ("SELECT * FROM EVO", ["evolution_metrics"]),
        ("SELECT * FROM a", ["argMax", "avg"]),
        ("SELECT evolution_metrics.o", ["occurred_at"]),
        ("SELECT 'a", []),
        ("SELECT 1 -- a", []),
        ("SELECT ", []),
    ],
)
def test_names_are_completed_whatever_their_case(text: str, wanted: list[str]) -> None:
    assert offered(text) == wanted


@pytest.mark.parametrize(
    ("text", "ended"),
    [("SELECT 1;", True), ("SELECT ';", False), ("SELECT 1; -- so", True), ("SELECT 1 -- ;", False)],
)
def test_a_semicolon_ends_a_statement_outside_of_quotes_and_comments(text: str, ended: bool) -> None:
    assert is_complete(text) == ended


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SELECT ';' ; ; SELECT 2 -- ;", [Typed("SELECT ';'"), Typed("SELECT 2")]),
        ("SELECT 1\\G SELECT 2 FORMAT vertical;", [Typed("SELECT 1", True), Typed("SELECT 2", True)]),
        ("INSERT INTO t VALUES (';'); SELECT 1", [Typed("INSERT INTO t VALUES (';')"), Typed("SELECT 1")]),
        ("INSERT INTO t FORMAT CSV a;b\n", [Typed("INSERT INTO t FORMAT CSV a;b")]),
        (" ; -- none", []),
    ],
)
def test_a_text_is_taken_apart_into_statements(text: str, wanted: list[Typed]) -> None:
    assert list(statements(text)) == wanted


def test_what_is_read_of_a_statement() -> None:
    text = "SELECT '{no:Int8}', {a:Array(Map(String, Int8))} -- {no:Int8}\nFROM t; /* end */ ;"
    assert parameters(text) == {"a": "Array(Map(String, Int8))"}
    assert without_end(text).endswith("FROM t")
    assert own_format("SELECT format('{}', 1) AS format FROM t SETTINGS a = 1 FORMAT CSV") == "CSV"
    assert own_format("INSERT INTO t FORMAT CSV 1") is None
