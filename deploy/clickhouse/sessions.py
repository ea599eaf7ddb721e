"""Sessions: connections that outlive their requests, by name."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

from evometrics.deploy.clickhouse.connection import (
    BASE_SETTINGS,
    BLOCKS,
    ONE_BLOCK,
    apply_settings,
    open_connection,
    run,
)
from evometrics.deploy.clickhouse.exchange import EngineError, Request, Result
from evometrics.deploy.clickhouse.pipe import ResultPipe
from evometrics.deploy.clickhouse.reader import Guard, current_database
from evometrics.deploy.clickhouse.statement import TOKEN, Query, quote, raw, set_settings


@dataclass(slots=True)
class Session:
    """A connection that outlives its requests.

    Attributes:
        expires: when it may be dropped (monotonic seconds).
        database: the current one of requests that name none.
        set_statements: the SET statements that its client has run.
        set_names: the settings that they set.
        readonly: `1` or `2` once its client has set it so. The engine is never told: it would let nobody
            change any setting of the connection again, the server included.
    """

    connection: Any
    database: str = "default"
    expires: float = 0.0
    set_statements: list[str] = field(default_factory=list)
    set_names: set[str] = field(default_factory=set)
    readonly: str = ""
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
        session = self._take(request)
        try:
            request = as_session_has_it(session, request)
            answer = run(session.connection, request, self._guard, pipe)
            if isinstance(request.statement, Query) and (names := set_settings(request.statement.sql)):
                session.set_statements.append(request.statement.sql)
                session.set_names |= set(names)
            if isinstance(request.statement, Query) and is_use(request.statement.sql):
                session.database = current_database(session.connection)
            return answer
        finally:
            self._restore(session, request)
            session.expires = time.monotonic() + request.session_seconds
            session.lock.release()

    def _take(self, request: Request) -> Session:
        name = request.session
        with self._lock:
            self._drop_expired(keep=name)
            session = self._sessions.get(name)
            if session is None and request.session_check:
                raise EngineError.named(372, "SESSION_NOT_FOUND", f"Session {name} not found")
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
        """Undo a request's own settings and database in the session; what it has SET and USEd remains."""
        if request.database:
            with contextlib.suppress(RuntimeError):  # it may have been dropped
                session.connection.query(f"USE {quote(session.database, '`')}")
        own = {**ONE_BLOCK, **BLOCKS, **request.defaults, **request.settings}
        names = [name for name in own if name.isidentifier() and name != "readonly"]
        try:
            session.connection.query("SET " + ", ".join(f"{name} = DEFAULT" for name in names))
            apply_settings(session.connection, BASE_SETTINGS)
            for sql in session.set_statements:
                session.connection.query(sql)
        except RuntimeError:
            pass  # An unknown setting was named: nothing was applied, and the client has the error.


def as_session_has_it(session: Session, request: Request) -> Request:
    """Return a request with what its session's client has SET; raises `EngineError` where that forbids it.

    `readonly`, of the request or set before, is kept here (a reader's connection has one of its own).
    """
    defaults = {name: value for name, value in request.defaults.items() if name not in session.set_names}
    request = replace(request, defaults=defaults)
    if request.reader is not None:
        return request
    settings = dict(request.settings)
    wanted = settings.pop("readonly", "0")
    sets = set_settings(request.statement.sql) if isinstance(request.statement, Query) else None
    if session.readonly == "1" and (changed := [*settings, *(sets or ())]):
        raise fixed_setting(changed[0])
    if sets and "readonly" in sets:
        if session.readonly:
            raise fixed_setting("readonly")
        readonly = sets.pop("readonly")
        if readonly not in ("0", "1", "2"):
            raise EngineError.named(36, "BAD_ARGUMENTS", f"Invalid value of readonly: {readonly!r}")
        apply_settings(session.connection, sets)
        session.readonly = readonly.strip("0")
        others = ", ".join(f"{name} = {quote(value)}" for name, value in sets.items())
        rest = f"SET {others}" if others else "SELECT 1 FORMAT Null"
        return replace(request, statement=Query(rest), settings=settings)
    read_only = request.read_only or wanted != "0" or bool(session.readonly)
    return replace(request, settings=settings, read_only=read_only)


def is_use(sql: str) -> bool:
    """Return whether a statement is USE."""
    words = (token[0].upper() for token in TOKEN.finditer(raw(sql)) if token.lastgroup != "gap")
    return next(words, b"") == b"USE"


def fixed_setting(name: str) -> EngineError:
    """Return ClickHouse's error for a setting that may not be changed any more."""
    return EngineError.named(164, "READONLY", f"Cannot modify '{name}' setting in readonly mode")
