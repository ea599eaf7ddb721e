"""The names that a prompt completes: the database's tables and columns, keywords and functions."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from clickhouse_connect.driver.asyncclient import AsyncClient
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS
from evometrics.sinks.query.text import TOKEN

#: Where the server has no list of them (before 24.6), or the user may not read it.
KEYWORDS = """
ALL AND ANY ARRAY AS ASC BETWEEN BY CASE CROSS DESC DESCRIBE DISTINCT ELSE END EXISTS EXPLAIN FINAL FROM FULL
GLOBAL GROUP HAVING IN INNER INTERVAL IS JOIN LEFT LIKE LIMIT NOT NULL OFFSET ON OR ORDER OVER PARTITION
PREWHERE RIGHT SAMPLE SELECT SETTINGS SHOW TABLES THEN UNION USING VALUES WHEN WHERE WITH
""".split()  # noqa: SIM905
#: Words that a table, or a table function, follows.
BEFORE_TABLES = frozenset({"FROM", "JOIN", "INTO", "TABLE", "DESCRIBE", "DESC"})
LISTS = {
    "column": "SELECT table, name FROM system.columns WHERE database = currentDatabase() "
    "ORDER BY table, position",
    "table": "SELECT name, name FROM system.tables WHERE database = currentDatabase()",
    "keyword": "SELECT '', keyword FROM system.keywords",
    "function": "SELECT '', name FROM system.functions "
    "UNION DISTINCT SELECT '', name FROM system.table_functions",
}


@dataclass(slots=True)
class SqlNames:
    """Known names: columns by table, and the others by kind."""

    columns: dict[str, list[str]] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    keywords: list[str] = field(default_factory=lambda: list(KEYWORDS))
    functions: list[str] = field(default_factory=list)


async def read_names(client: AsyncClient) -> SqlNames:
    """Return the names that the user may know; lists that can't be read are left out."""
    names = SqlNames()
    for kind, text in LISTS.items():
        with contextlib.suppress(*CLICKHOUSE_ERRORS):
            rows = (await client.query(text)).result_rows
            if kind == "column":
                for table, name in rows:
                    names.columns.setdefault(str(table), []).append(str(name))
            elif rows:
                setattr(names, f"{kind}s", sorted((str(name) for _, name in rows), key=str.lower))
    return names


class SqlCompleter(Completer):
    """Completes the word before the cursor, whatever its case: columns, tables, keywords, functions.

    Columns of the tables that the statement names come first; after `table.` there are only that table's, and
    after FROM no columns.
    """

    def __init__(self) -> None:
        self.names = SqlNames()

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Yield what the word may become."""
        before = document.text_before_cursor
        last = last_token(before)
        if last is not None and (last["quoted"] or (last["gap"] and not last[0].isspace())):
            return  # within quotes or a comment
        word = last[0] if last is not None and last["word"] else ""
        table = owner(before[: len(before) - len(word)])
        if not word and not table:
            return
        start, seen = word.lower(), set[str]()
        after = last_token(before[: len(before) - len(word)].rstrip())
        names = self.candidates(document.text, table)
        if after is not None and after[0].upper() in BEFORE_TABLES:
            names = (each for each in self.candidates("", "") if not each[1].startswith("column"))
        for name, kind in names:
            if name.lower().startswith(start) and name not in seen:
                seen.add(name)
                yield Completion(name, -len(word), display_meta=kind)

    def candidates(self, text: str, table: str) -> Iterator[tuple[str, str]]:
        """Yield names and what each is, the likelier first."""
        named = [token["word"] for token in TOKEN.finditer(text) if token["word"] in self.names.columns]
        if table in self.names.columns:
            named = [table]
        for each in named or list(self.names.columns):
            yield from ((name, f"column of {each}") for name in self.names.columns[each])
        if table:
            return
        yield from ((name, "table") for name in self.names.tables)
        yield from ((name, "keyword") for name in self.names.keywords)
        yield from ((name, "function") for name in self.names.functions)


def owner(before: str) -> str:
    """Return the table, or its short name, before a dot at the end of a text; empty if there is none."""
    if not before.endswith("."):
        return ""
    last = last_token(before[:-1])
    return last["word"] or "" if last is not None else ""


def last_token(text: str) -> re.Match[str] | None:
    """Return the last token of a text."""
    found = deque(TOKEN.finditer(text), maxlen=1)
    return found[0] if found else None
