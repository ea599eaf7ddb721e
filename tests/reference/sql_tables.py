"""Tables and views as the migrations leave them, read from the SQL files without a server.

It knows the statements that the files have, and fails on any other.
`tests/sinks/migrations/test_migrate.py` compares what it reads with what ClickHouse has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from evometrics.sinks.migrations.files import STATEMENT_END, migrations
from evometrics.sinks.migrations.history import HISTORY
from evometrics.sinks.migrations.lock import LOCK

TEXT = r"'((?:\\.|[^'\\])*)'"
CREATED = re.compile(
    r"CREATE (?:OR REPLACE )?(TABLE|VIEW) (?:IF NOT EXISTS )?\{database\}\.(\w+)\n\((.*?)\n\)(.*)", re.DOTALL
)
ALTERED = re.compile(r"ALTER TABLE \{database\}\.(\w+)\s+(.*)", re.DOTALL)
#: Where the changes of one ALTER are parted: what continues on a line of its own is further in.
CHANGE = re.compile(r",\n    (?=\S)")
COLUMN = re.compile(
    rf"(\w+) ?(.*?)(?: CODEC\(.*?\)+)?(?: DEFAULT (.*?))?(?: COMMENT {TEXT})?(?: AFTER (\w+))?", re.DOTALL
)
#: What is said of a column's storage, or of a table, and changes no column.
NO_COLUMN = re.compile(
    r"(ADD|DROP) CONSTRAINT |(ADD|MATERIALIZE) INDEX |MODIFY (SETTING|SQL SECURITY) |\w+ = "
)


@dataclass(slots=True)
class Column:
    """A column: its type as ClickHouse has it, and what it means."""

    type: str
    comment: str


@dataclass(slots=True)
class Table:
    """A table or view.

    Attributes:
        comment: what it is for.
        columns: by name, in order.
        storage: what follows the columns: engine, keys, TTL; or the view's query.
    """

    kind: str
    comment: str
    storage: str
    columns: dict[str, Column] = field(default_factory=dict)

    def clause(self, name: str) -> str:
        """Return what one line of the storage says, empty where there is none of that name."""
        found = re.search(rf"^{name} (.*)$", self.storage, re.M)
        return found[1] if found else ""


@cache
def tables() -> dict[str, Table]:
    """Return all tables and views by name, those of the migrations' own notes included."""
    found: dict[str, Table] = {}
    for statement in (*statements(), HISTORY, LOCK):
        if created := CREATED.fullmatch(statement):
            kind, name, columns, rest = created.groups()
            comment = re.search(rf"^COMMENT {TEXT}", rest, re.M)
            assert comment, f"{name} has no comment"
            if kind == "VIEW" or name not in found:
                lines = (line.strip().rstrip(",") for line in own_lines(columns))
                found[name] = Table(kind.lower(), unquoted(comment[1]), rest)
                for line in lines:
                    if not line.startswith(("INDEX ", "CONSTRAINT ")):
                        add(found[name], line)
        elif altered := ALTERED.fullmatch(statement):
            for change in CHANGE.split(altered[2]):
                alter(found[altered[1]], change.strip())
        else:
            raise AssertionError(f"not known to tests/reference/sql_tables.py: {statement[:200]}")
    return found


def statements() -> Iterator[str]:
    """Give the migrations' statements, without the comments before them."""
    for migration in migrations():
        for part in STATEMENT_END.split(migration.sql):
            if text := re.sub(r"^\s*(--.*\n)*", "", re.sub(r"^--.*\n", "", part, flags=re.M)).strip():
                yield text


def own_lines(block: str) -> Iterator[str]:
    """Give the lines of a block that are not the continuation of one before."""
    return (line for line in block.split("\n") if re.match(r" {4}\w", line))


def add(table: Table, line: str) -> None:
    """Add a column by its definition."""
    parts = COLUMN.fullmatch(line)
    assert parts and parts[2] and parts[4] is not None, f"no column with a comment: {line}"
    name, kind, _, comment, after = parts.groups()
    if name in table.columns:
        return
    table.columns[name] = Column(kind, unquoted(comment))
    names = list(table.columns)
    if after:
        names.insert(names.index(after) + 1, names.pop())
        table.columns = {each: table.columns[each] for each in names}


def alter(table: Table, change: str) -> None:
    """Apply one change of an ALTER."""
    if NO_COLUMN.match(change):
        return
    if change.startswith("ADD COLUMN "):
        add(table, re.sub(r"ADD COLUMN (IF NOT EXISTS )?", "", change))
    elif change.startswith("COMMENT COLUMN "):
        said = re.fullmatch(rf"COMMENT COLUMN (\w+) {TEXT}", change)
        assert said, change
        table.columns[said[1]].comment = unquoted(said[2])
    elif change.startswith("MODIFY COLUMN "):
        parts = COLUMN.fullmatch(change.removeprefix("MODIFY COLUMN "))
        assert parts, change
        if parts[2] and not parts[2].startswith("CODEC("):
            table.columns[parts[1]].type = parts[2]
        if parts[4] is not None:
            table.columns[parts[1]].comment = unquoted(parts[4])
    else:
        raise AssertionError(f"not known to tests/reference/sql_tables.py: {change[:200]}")


def unquoted(text: str) -> str:
    """Return a text of SQL."""
    return re.sub(r"\\(.)", r"\1", text)
