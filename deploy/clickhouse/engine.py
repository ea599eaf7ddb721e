"""chDB as a server's engine: one folder, many concurrent statements, each on a connection of its own."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import chdb

from evometrics.deploy.clickhouse.classes import NATIVE, StatementClass, classify
from evometrics.deploy.clickhouse.configuration import configured
from evometrics.deploy.clickhouse.connection import open_connection, read_only_error, run
from evometrics.deploy.clickhouse.exchange import EngineError, Request, Result
from evometrics.deploy.clickhouse.folder import lock_folder
from evometrics.deploy.clickhouse.pipe import ResultPipe
from evometrics.deploy.clickhouse.processes import Kill, as_clients_see, listing, names_processes, snapshot
from evometrics.deploy.clickhouse.reader import Guard
from evometrics.deploy.clickhouse.running import Listed, Statements
from evometrics.deploy.clickhouse.sessions import Sessions
from evometrics.deploy.clickhouse.statement import Query, quote, raw


class Engine:
    """Opens a folder and runs requests on it. Its methods may be called from any thread.

    Raises `FolderInUseError` if another process has the folder open.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = str(folder)
        self._lock = lock_folder(folder)
        # SIGTERM and SIGINT are the server's own; chDB would take them over at the first connection.
        NATIVE.set_signal_handlers_enabled(0)
        with configured(folder) as configured_folder:
            self._keeper = open_connection(
                configured_folder
            )  # The engine lives as long as one connection does.
        self._guard = Guard(lambda: open_connection(self._folder))
        self.statements = Statements()
        self._sessions = Sessions(self._folder, self._guard)

    def run(self, request: Request, pipe: ResultPipe | None = None) -> Result:
        """Run one statement, its result going to `pipe` where it has one; raises `EngineError`."""
        with engine_errors():
            request = self._as_client_sees(request)
            if request.session:
                return self._sessions.run(request, pipe)
            with self._connection() as connection:
                return run(connection, request, self._guard, pipe)

    def as_kill(self, request: Request) -> Kill | None:
        """Return a request's KILL QUERY, None if it is another statement.

        Raises `EngineError` where its user may not end what it means.
        """
        assert isinstance(request.statement, Query)
        if "KILL" not in request.statement.sql.upper():
            return None
        with engine_errors(), self._connection() as connection:
            sql = f"SELECT formatQuerySingleLine({quote(request.statement.sql)})"
            printed = (
                connection.query(raw(sql), "TSVRaw")
                .bytes()
                .decode(errors="surrogateescape")
                .removesuffix("\n")
            )
            kill = Kill.of(printed)
            if kill is not None and request.reader is not None:
                self._guard.enter(connection, request, request.reader)(request.statement.sql, "")
            if kill is not None and request.read_only:
                raise read_only_error()
            return kill

    def matching(self, kill: Kill, request: Request) -> list[Listed]:
        """Return the statements that a KILL QUERY means, with their texts; raises `EngineError`."""
        sql = kill.matching(self.statements.listed())
        with engine_errors(), self._connection() as connection:
            told = connection.query(raw(sql), "JSONCompactEachRow", params=dict(request.params)).bytes()
        rows = [json.loads(line) for line in told.splitlines()]
        return [Listed(int(thread), name, user, text) for thread, name, user, text in rows]

    def _as_client_sees(self, request: Request) -> Request:
        """Return a request with the clients' own ids in place of the engine's, where it asks for them."""
        statement = request.statement
        if not isinstance(statement, Query) or not names_processes(statement.sql):
            return request
        if (running := self.statements.on(threading.get_native_id())) is not None:
            running.text = statement.sql
        listed = self.statements.listed()
        if request.reader is None:
            everything = listing(listed)
        else:
            with self._connection() as connection:
                everything = snapshot(connection, [each for each in listed if each.user == request.user])
        sql = as_clients_see(statement.sql, everything, lambda sql: self.classify(sql).reads)
        return replace(request, statement=Query(sql))

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        connection = open_connection(self._folder)
        try:
            yield connection
        finally:
            connection.close()

    def classify(self, sql: str) -> StatementClass:
        """Return what a statement would do."""
        return classify(self._keeper, sql)

    def kill(self, thread: int) -> None:
        """End the statement that runs on a thread, by the thread's native id; it may take a moment."""
        self._kill(f"has(thread_ids, {thread})")

    def kill_all(self) -> None:
        """End all running statements."""
        self._kill("query NOT LIKE 'KILL QUERY%'")

    def _kill(self, condition: str) -> None:
        with self._connection() as connection:
            connection.query(f"KILL QUERY WHERE {condition}")

    def close(self) -> None:
        """Close the folder; no statement may be running."""
        try:
            self._sessions.close()
            self._keeper.close()
        finally:
            os.close(self._lock)


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """Turn chDB's errors, and those of our own files, into `EngineError`."""
    try:
        yield
    except EngineError:
        raise
    except OSError as error:  # one of our own files could not be written
        raise EngineError.named(243, "NOT_ENOUGH_SPACE", str(error)) from None
    except (RuntimeError, chdb.ChdbError) as error:
        raise EngineError.of(str(error)) from None
    except UnicodeDecodeError as error:
        # chDB assumes that each error's text is UTF-8, but it may contain a value that is not
        raise EngineError.of(error.object.decode(errors="replace")) from None
