"""A reader's requests: what of them reaches the engine, and in what state the connection is then.

chDB has no users. So a reader's statement is parsed by the engine (`parseQueryToJSON`: the parser that will
run it), and each part of the tree must be on a list (`readable`): kinds of nodes, tables, table functions,
functions, settings. What the tree does not hold the engine can't have understood: printed again, tree and
statement must be the same. The settings of the request are checked the same way, and the connection is
`readonly` besides.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

from evometrics.deploy.clickhouse.catalog import Catalog, rows
from evometrics.deploy.clickhouse.exchange import Request
from evometrics.deploy.clickhouse.reader_settings import check_setting, read_only, still_reader
from evometrics.deploy.clickhouse.reader_statement import Check
from evometrics.deploy.clickhouse.statement import Insert
from evometrics.deploy.clickhouse.users import ReaderRights

#: Raises `EngineError` unless a statement may run: the text that the engine will be given, and the file that
#: the server itself has its result written to.
Admission = Callable[[str, str], None]
#: Of a reader's connection: settings that change nothing else may be set, this one no more.
READS_ONLY = {"readonly": "2"}
#: Statements that were admitted are, again, without a check: so many, no longer than so many characters.
MOST_KNOWN, LONGEST_KNOWN = 500, 20_000


def as_reader(request: Request, reader: ReaderRights) -> Request:
    """Return a reader's request as the engine gets it. Raises `EngineError` if it brings data.

    Sessions are each user's own. A client may say that it only reads, which changes nothing.
    """
    if isinstance(request.statement, Insert):
        raise read_only(f"{reader.name} only reads: INSERT is not for readers")
    settings = dict(request.settings)
    if settings.pop("readonly", "2") not in ("1", "2"):
        raise still_reader()
    session = request.session and f"{reader.name}/{request.session}"
    return replace(request, settings=settings, session=session, reader=reader)


class Guard:
    """Checks readers' requests, on connections of its own. Usable by all threads."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._known: OrderedDict[Hashable, None] = OrderedDict()
        self._lock = threading.Lock()
        connection = connect()
        try:
            self._catalog = Catalog.of(connection)
        finally:
            connection.close()

    def enter(self, connection: Any, request: Request, reader: ReaderRights) -> Admission:
        """Bring the reader's connection into the request's database, with its settings, for reading only.

        `default`, where clients begin, holds the files of the server's folder as tables: the reader's own is
        meant. Returns the check that each statement of the request has to pass. Raises `EngineError` for a
        database or setting that is not for readers.
        """
        database = request.database or current_database(connection)
        if database == "default":
            database = reader.databases[0]
            there = rows(
                connection, "SELECT 1 FROM system.databases WHERE name = {d:String}", {"d": database}
            )
            database = database if there else "system"
        check = Check(connection, self._catalog, reader, database, request.params)
        check.in_database(database)
        for name, value in request.settings.items():
            check_setting(self._catalog, reader, name, value)
        connection.query(f"USE `{database}`")

        def admit(sql: str, file: str) -> None:
            key = known_as(check, sql, file)
            if self._knows(key):
                return
            own = self._connect()
            try:
                its = replace(check, connection=own, file=file)
                its.statement(sql)
            finally:
                own.close()
            if not its.passing:
                self._learn(key)

        return admit

    def _knows(self, key: Hashable) -> bool:
        """Return whether a statement was admitted lately."""
        with self._lock:
            if key is None or key not in self._known:
                return False
            self._known.move_to_end(key)
            return True

    def _learn(self, key: Hashable) -> None:
        """Keep that a statement was admitted."""
        if key is not None:
            with self._lock:
                self._known[key] = None
                while len(self._known) > MOST_KNOWN:
                    self._known.popitem(last=False)


def known_as(check: Check, sql: str, file: str) -> Hashable:
    """Return all that the check of a statement depends on; None for one that is not to be kept.

    The server's own file is another each time: NUL stands for it, which no statement that is kept has.
    """
    reader, params = check.reader, tuple(sorted(check.params.items()))
    if "\0" in sql or len(sql) + sum(len(name) + len(value) for name, value in params) > LONGEST_KNOWN:
        return None
    text = (True, sql.replace(file, "\0")) if file else (False, sql)
    return text, params, check.database, reader.name, reader.databases, tuple(sorted(reader.limits.items()))


def current_database(connection: Any) -> str:
    """Return a connection's database; `default` where its own settings hide the answer."""
    found = rows(connection, "SELECT currentDatabase()")
    return str(found[0][0]) if found else "default"
