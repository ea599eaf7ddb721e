"""chDB as a server's engine: one folder, many concurrent statements, each on a connection of its own."""

from __future__ import annotations

import os
from pathlib import Path

import chdb

from evometrics.deploy.clickhouse.classes import NATIVE, StatementClass, classify
from evometrics.deploy.clickhouse.connection import open_connection, run
from evometrics.deploy.clickhouse.exchange import EngineError, Request, Result
from evometrics.deploy.clickhouse.folder import lock_folder
from evometrics.deploy.clickhouse.pipe import ResultPipe
from evometrics.deploy.clickhouse.reader import Guard
from evometrics.deploy.clickhouse.sessions import Sessions


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
        self._keeper = open_connection(self._folder)  # The engine lives as long as one connection does.
        self._guard = Guard(lambda: open_connection(self._folder))
        self._sessions = Sessions(self._folder, self._guard)

    def run(self, request: Request, pipe: ResultPipe | None = None) -> Result:
        """Run one statement, its result going to `pipe` where it has one; raises `EngineError`."""
        try:
            if request.session:
                return self._sessions.run(request, pipe)
            connection = open_connection(self._folder)
            try:
                return run(connection, request, self._guard, pipe)
            finally:
                connection.close()
        except EngineError:
            raise
        except OSError as error:  # one of our own files could not be written
            raise EngineError.named(243, "NOT_ENOUGH_SPACE", str(error)) from None
        except (RuntimeError, chdb.ChdbError) as error:
            raise EngineError.of(str(error)) from None
        except UnicodeDecodeError as error:
            # chDB assumes that each error's text is UTF-8, but it may contain a value that is not
            raise EngineError.of(error.object.decode(errors="replace")) from None

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
        connection = open_connection(self._folder)
        try:
            connection.query(f"KILL QUERY WHERE {condition}")
        finally:
            connection.close()

    def close(self) -> None:
        """Close the folder; no statement may be running."""
        try:
            self._sessions.close()
            self._keeper.close()
        finally:
            os.close(self._lock)
