"""`system.processes` and KILL QUERY as clients know them: with the ids that they gave their statements.

chDB makes an id for each statement, and takes none. But it lists the threads of each, and the server knows
which statement it runs on which thread. So where a client asks for `system.processes`, it is given a subquery
in its place, in which ids, users and texts are the clients' own; a KILL's condition is evaluated over the
same subquery, by the engine. Who only reads is given its own statements' rows as they are at the moment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evometrics.deploy.clickhouse.catalog import rows
from evometrics.deploy.clickhouse.running import Listed
from evometrics.deploy.clickhouse.statement import TOKEN, Ending, Query, quote, raw, shown

#: What the server itself put into a statement's text.
OWN_CLAUSES = (
    r"\nINTO OUTFILE '/dev/fd/\d+' APPEND FORMAT \w+$",
    r"INTO OUTFILE '/dev/fd/\d+' APPEND ",
    r"\nFROM INFILE '/dev/fd/\d+' COMPRESSION 'none'",
)
#: As the engine prints a KILL.
KILL = re.compile(r"KILL QUERY WHERE (?P<condition>.*) (?P<mode>SYNC|ASYNC|TEST)( SETTINGS .*)?", re.DOTALL)
#: Words that may follow a table without being its alias.
AFTER_TABLE = frozenset(
    b"WHERE PREWHERE GROUP ORDER LIMIT OFFSET HAVING WINDOW QUALIFY SETTINGS FORMAT UNION INTERSECT EXCEPT "
    b"JOIN INNER LEFT RIGHT FULL CROSS ANY ALL ASOF SEMI ANTI GLOBAL ARRAY ON USING SAMPLE FETCH INTO".split()
)


@dataclass(frozen=True, slots=True)
class Kill:
    """A KILL QUERY.

    Attributes:
        condition: which statements it means, an expression over `system.processes`.
        waits: answer once they have ended (SYNC).
        ends: end them; otherwise they are only listed (TEST).
        format: of the answer.
    """

    condition: str
    waits: bool
    ends: bool
    format: str | None

    @classmethod
    def of(cls, printed: str) -> Kill | None:
        """Read a statement that the engine has printed on one line; None if it is another one."""
        ending = Ending.of(printed)
        match = KILL.fullmatch(ending.body.rstrip())
        if match is None:
            return None
        return cls(match["condition"], match["mode"] == "SYNC", match["mode"] != "TEST", ending.format)

    def answer(self, status: str, found: Sequence[Listed]) -> Query:
        """Return the query whose result is the answer to it: each statement, and what became of it."""
        names = ("kill_status", "query_id", "user", "query")
        structure = quote(", ".join(f"{name} String" for name in names))
        rows = [(status, each.query_id, each.user, each.text) for each in found]
        values = ", ".join(f"({', '.join(quote(value) for value in row)})" for row in rows)
        if not values:
            sql = f"SELECT * FROM null({structure})"
        else:
            sql = f"SELECT * FROM values({structure}, {values})"
        return Query(f"{sql} FORMAT {self.format}" if self.format else sql)

    def matching(self, listed: Sequence[Listed]) -> str:
        """Return the query for the thread, id, user and text of each statement that it means."""
        columns = "thread, query_id, user, query"
        return f"SELECT {columns} FROM {processes(listed)} WHERE {self.condition}"


def processes(listed: Sequence[Listed]) -> str:
    """Return a subquery with the rows of `system.processes` that clients have asked for."""
    threads = f"CAST([{', '.join(str(each.thread) for each in listed)}], 'Array(UInt64)')"
    ids = ", ".join(quote(each.query_id) for each in listed)
    users = ", ".join(quote(each.user) for each in listed)
    query = "query"
    for clause in OWN_CLAUSES:
        query = f"replaceRegexpOne({query}, {quote(clause)}, '')"
    if replaced := [each for each in listed if each.text]:
        replaced_on = f"CAST([{', '.join(str(each.thread) for each in replaced)}], 'Array(UInt64)')"
        query = (
            f"transform(thread, {replaced_on}, [{', '.join(quote(each.text) for each in replaced)}], {query})"
        )
    by_id = f"transform(thread, {threads}, CAST([{ids}], 'Array(String)'), '')"
    by_user = f"transform(thread, {threads}, CAST([{users}], 'Array(String)'), '')"
    return (
        f"(WITH arrayFirst(t -> has({threads}, t), thread_ids) AS thread "
        f"SELECT * REPLACE ({by_id} AS query_id, {by_id} AS initial_query_id, {by_user} AS user, "
        f"{by_user} AS initial_user, {query} AS query), thread "
        f"FROM system.processes WHERE hasAny(thread_ids, {threads}))"
    )


def names_processes(sql: str) -> bool:
    """Return whether a statement may ask for `system.processes`; quick."""
    lowered = sql.lower()
    return "processes" in lowered or "processlist" in lowered


def listing(listed: Sequence[Listed]) -> str:
    """Return a subquery that stands for `system.processes`."""
    return f"(SELECT * EXCEPT thread FROM {processes(listed)})"


def snapshot(connection: Any, listed: Sequence[Listed]) -> str:
    """Return a subquery with the rows of this moment, which reads no table, as a reader may not."""
    asked = listing(listed)
    structure = ", ".join(
        f"`{name}` {kind}" for name, kind, *_ in rows(connection, f"DESCRIBE TABLE {asked}")
    )
    found = connection.query(raw(f"SELECT * FROM {asked}"), "JSONEachRow").bytes().decode(errors="replace")
    return f"(SELECT * FROM format(JSONEachRow, {quote(structure)}, {quote(found)}))"


def as_clients_see(sql: str, everything: str, parses: Callable[[str], bool]) -> str:
    """Return a reading statement with a subquery, the clients' list, in place of `system.processes`.

    `parses`: whether the engine's parser takes a statement.
    """
    ending = Ending.of(sql)
    words = [token[0].upper() for token in TOKEN.finditer(raw(ending.body)) if token["word"]]
    if words == [b"SHOW", b"PROCESSLIST"]:
        return f"SELECT * FROM {everything} {ending.tail}"
    replaced = shown(replace_table(raw(sql), everything.encode()))
    return replaced if replaced != sql and parses(replaced) else sql


def replace_table(text: bytes, subquery: bytes) -> bytes:
    """Return a statement with a subquery for `system.processes`, wherever it is read from."""
    tokens = [token for token in TOKEN.finditer(text) if token.lastgroup != "gap"]
    made, done = b"", 0
    for before, database, dot, table, after in zip(
        tokens, tokens[1:], tokens[2:], tokens[3:], [*tokens[4:], None], strict=False
    ):
        names = (database[0].strip(b'`"'), dot[0], table[0].strip(b'`"'))
        if before[0].upper() not in (b"FROM", b"JOIN", b",") or names != (b"system", b".", b"processes"):
            continue
        aliased = after is not None and (after["word"] or after["quoted"])
        aliased = aliased and after is not None and after[0].upper() not in AFTER_TABLE
        made += text[done : database.start()] + subquery + (b"" if aliased else b" AS processes")
        done = table.end()
    return made + text[done:]
