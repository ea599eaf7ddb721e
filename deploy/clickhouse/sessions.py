"""Sessions: connections that outlive their requests, by name."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from evometrics.deploy.clickhouse.connection import (
    BASE_SETTINGS,
    ONE_BLOCK,
    apply_settings,
    open_connection,
    run,
)
from evometrics.deploy.clickhouse.exchange import EngineError, Request, Result
from evometrics.deploy.clickhouse.pipe import ResultPipe
from evometrics.deploy.clickhouse.reader import Guard
from evometrics.deploy.clickhouse.statement import Query

SET_STATEMENT = re.compile(r"\s*SET\s", re.IGNORECASE)


@dataclass(slots=True)
class Session:
    """A connection, the SET statements run on it, and when it may be dropped (monotonic seconds)."""

    connection: Any
    expires: float = 0.0
    set_statements: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Sessions:
    """The open sessions of a folder. `run` may be called from any thread."""

    def __init__(self, folder: str, guard: Guard) -> None:
        self._folder = folder
        self._guard = guard
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            for session in self._sessions.values():
                session.connection.close()
            self._sessions.clear()

    def run(self, request: Request, pipe: ResultPipe | None = None) -> Result:
        """Run a request in its session; as in ClickHouse a second concurrent one is refused."""
        session = self._take(request.session)
        try:
            answer = run(session.connection, request, self._guard, pipe)
            statement = request.statement
            if isinstance(statement, Query) and SET_STATEMENT.match(statement.sql):
                session.set_statements.append(statement.sql)
            return answer
        finally:
            self._restore(session, request)
            session.expires = time.monotonic() + request.session_seconds
            session.lock.release()

    def _take(self, name: str) -> Session:
        with self._lock:
            self._drop_expired(keep=name)
            session = self._sessions.get(name)
            if session is None:
                session = self._sessions[name] = Session(open_connection(self._folder))
            if not session.lock.acquire(blocking=False):
                message = f"Session {name} is locked by a concurrent client"
                raise EngineError.named(373, "SESSION_IS_LOCKED", message)
            return session

    def _drop_expired(self, keep: str) -> None:
        now = time.monotonic()
        for name, session in list(self._sessions.items()):
            if name != keep and session.expires < now and session.lock.acquire(blocking=False):
                self._sessions.pop(name).connection.close()

    def _restore(self, session: Session, request: Request) -> None:
        """Undo a request's own settings in the session; those it SET remain."""
        names = [name for name in {**ONE_BLOCK, **request.settings} if name.isidentifier()]
        try:
            session.connection.query("SET " + ", ".join(f"{name} = DEFAULT" for name in names))
            apply_settings(session.connection, BASE_SETTINGS)
            for sql in session.set_statements:
                session.connection.query(sql)
        except RuntimeError:
            pass  # An unknown setting was named: nothing was applied, and the client has the error.
