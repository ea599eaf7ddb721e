"""chDB as a server's engine: one folder, many statements at a time, each on a connection of its own.

Tried with chDB 4.4: a connection opens in 0.1 ms and holds its own settings, current database and temporary
tables; statements of different connections run side by side and let go of the interpreter lock.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chdb
from chdb import _chdb

from evometrics.deploy.clickhouse.statement import INPUT_CALL, Insert, Query

# Columns that an Avro writer does not have take the table's DEFAULT. There is no queue for async inserts here.
BASE_SETTINGS = {"input_format_avro_allow_missing_fields": "1", "async_insert": "0"}
# A body is one block (and so one part per partition of the table, with one deduplication token).
ONE_BLOCK = {
    "max_insert_block_size": "1000000000",
    "min_insert_block_size_rows": "1000000000",
    "min_insert_block_size_bytes": str(64 * 1024**3),
}
SESSION_SECONDS = 60.0
ERROR = re.compile(r"Code: (\d+)\. DB::Exception: .*", re.DOTALL)


class FolderInUseError(RuntimeError):
    """Another process has the folder open."""


class EngineError(RuntimeError):
    """The engine refused a statement: ClickHouse's code, and its text as the message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def of(cls, error: Exception) -> EngineError:
        """Read the code from what chDB raised; 1002 (UNKNOWN_EXCEPTION) where it holds none."""
        match = ERROR.search(str(error))
        return cls(int(match.group(1)), match.group(0)) if match else cls(1002, str(error))


@dataclass(frozen=True, slots=True)
class Request:
    """A statement with all that came with it.

    Attributes:
        statement: what to run.
        data: an INSERT's data, in pieces of any size.
        database: the current database, empty for `default`.
        format: for results and for data whose statement names no format.
        settings: query settings.
        params: values of `{name:Type}` placeholders, escaped as in TabSeparated.
        read_only: refuse statements that change anything.
        session: name of the session it belongs to, empty for none.
        session_seconds: how long the session is kept after it.
        tag: names the running statement for `Engine.cancel`.
    """

    statement: Query | Insert
    data: Sequence[bytes] = ()
    database: str = ""
    format: str = "TabSeparated"
    settings: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    session: str = ""
    session_seconds: float = SESSION_SECONDS
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A statement's result and what it took. `format` is None where it has no result set."""

    payload: bytes
    format: str | None
    elapsed: float
    read_rows: int = 0
    read_bytes: int = 0
    result_rows: int = 0
    written_rows: int = 0
    written_bytes: int = 0


@dataclass(slots=True)
class Session:
    """A connection that outlives its requests, with the SET statements that were run on it."""

    connection: Any
    expires: float = 0.0
    set_statements: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Engine:
    """Opens a folder and runs requests on it. `run` and `cancel` may be called from any thread.

    Raises `FolderInUseError` where another process has the folder open.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = str(folder.resolve())
        self._lock_file = lock_folder(folder)
        # SIGTERM and SIGINT are the server's own; chDB would take them over at the first connection.
        _chdb.set_signal_handlers_enabled(0)
        self._keeper = self._connect()  # The engine lives as long as one connection does.
        self._sessions: dict[str, Session] = {}
        self._sessions_lock = threading.Lock()

    def close(self) -> None:
        """End running statements and close the folder."""
        try:
            self._keeper.query("KILL QUERY WHERE query NOT LIKE 'KILL QUERY%' SYNC")
            for session in self._sessions.values():
                session.connection.close()
            self._keeper.close()
        finally:
            os.close(self._lock_file)

    def run(self, request: Request) -> Answer:
        """Run one statement; raises `EngineError`."""
        began = time.monotonic()
        try:
            if not request.session:
                connection = self._connect()
                try:
                    return self._run_on(connection, request, began)
                finally:
                    connection.close()
            session = self._session(request.session)
            try:
                answer = self._run_on(session.connection, request, began)
                if isinstance(request.statement, Query) and re.match(
                    r"\s*SET\s", request.statement.sql, re.I
                ):
                    session.set_statements.append(request.statement.sql)
                return answer
            finally:
                self._restore(session, request)
                session.expires = time.monotonic() + request.session_seconds
                session.lock.release()
        except (RuntimeError, chdb.ChdbError) as error:
            raise error if isinstance(error, EngineError) else EngineError.of(error) from None

    def cancel(self, tag: str) -> None:
        """End the running statement of that tag, if there is one."""
        self._keeper.query(f"KILL QUERY WHERE Settings['log_comment'] = {quote(tag)}")

    def _connect(self) -> Any:
        connection = chdb.connect(self._path)
        apply_settings(connection, BASE_SETTINGS)
        return connection

    def _run_on(self, connection: Any, request: Request, began: float) -> Answer:
        statement = request.statement
        if request.database:
            connection.query(f"USE {quote(request.database, '`')}")
        has_data = isinstance(statement, Insert)
        settings = {**(ONE_BLOCK if has_data else {}), **request.settings}
        if request.tag:
            settings["log_comment"] = request.tag
        apply_settings(connection, settings)
        if isinstance(statement, Insert):
            if request.read_only:
                raise EngineError(164, READ_ONLY)
            if statement.reads_input:
                return self._insert_from_input(connection, request, statement, began)
            return insert_data(connection, request, statement, began)
        told = connection._conn.classify_query(statement.sql)
        reads = told["query_class"] == _chdb.query_class.READ_ONLY
        if told["statement_count"] > 1:
            raise EngineError(62, "Code: 62. DB::Exception: Multi-statements are not allowed. (SYNTAX_ERROR)")
        if request.read_only and not reads and told["query_class"] != _chdb.query_class.UNKNOWN:
            raise EngineError(164, READ_ONLY)
        result = connection.query(statement.sql, request.format, params=dict(request.params))
        return Answer(
            payload=result.bytes(),
            format=(statement.format or request.format) if reads else None,
            elapsed=time.monotonic() - began,
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            result_rows=result.rows_read() if reads else 0,
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
        )

    def _insert_from_input(
        self, connection: Any, request: Request, statement: Insert, began: float
    ) -> Answer:
        """INSERT ... SELECT ... FROM input(): chDB takes no data beside a SELECT, so they go by way of a file."""
        with tempfile.NamedTemporaryFile(prefix="evometrics-insert-") as file:
            for piece in pieces(statement, request.data):
                file.write(piece)
            file.flush()
            source = f"file({quote(file.name)}, {quote(statement.format or request.format)}, "
            sql = INPUT_CALL.sub(lambda _: source, statement.sql)
            result = connection.query(sql, params=dict(request.params))
        took = time.monotonic() - began
        rows, size = result.rows_written(), result.bytes_written()
        return Answer(b"", None, took, written_rows=rows, written_bytes=size)

    def _session(self, name: str) -> Session:
        """The session, held for one request; as in ClickHouse a second one at the same time is refused."""
        with self._sessions_lock:
            now = time.monotonic()
            for other, session in list(self._sessions.items()):
                if session.expires < now and session.lock.acquire(blocking=False):
                    self._sessions.pop(other).connection.close()
            found = self._sessions.get(name)
            if found is None:
                found = self._sessions[name] = Session(self._connect())
            if not found.lock.acquire(blocking=False):
                raise EngineError(
                    373,
                    f"Code: 373. DB::Exception: Session {name} is locked by a concurrent client. (SESSION_IS_LOCKED)",
                )
            return found

    def _restore(self, session: Session, request: Request) -> None:
        """Settings of one request do not stay in the session; those it SET itself do."""
        try:
            names = {**ONE_BLOCK, **request.settings, "log_comment": ""}
            known = [name for name in names if name.isidentifier()]
            session.connection.query("SET " + ", ".join(f"{name} = DEFAULT" for name in known))
            apply_settings(session.connection, BASE_SETTINGS)
            for sql in session.set_statements:
                session.connection.query(sql)
        except (RuntimeError, chdb.ChdbError):
            # An unknown setting was named, which the request itself was told; start from a clean connection.
            session.connection.close()
            session.connection = self._connect()


READ_ONLY = (
    "Code: 164. DB::Exception: Cannot execute query in readonly mode. For queries over HTTP, method GET implies "
    "readonly. You should use method POST for modifying queries. (READONLY)"
)


def insert_data(connection: Any, request: Request, statement: Insert, began: float) -> Answer:
    """Feed the data to the engine piece by piece, as they arrived; nothing is stored unless all of it parses."""
    inserter = connection.send_insert(statement.sql, statement.format or request.format)
    try:
        for piece in pieces(statement, request.data):
            inserter.append(piece)
        done = inserter.finish()
    except BaseException:
        inserter.cancel()
        raise
    took = time.monotonic() - began
    return Answer(b"", None, took, written_rows=done.rows_written, written_bytes=done.bytes_written)


def pieces(statement: Insert, data: Sequence[bytes]) -> Iterable[bytes]:
    """An insert's data: what stood behind the statement, then the rest."""
    if statement.data:
        yield statement.data
    yield from data


def apply_settings(connection: Any, settings: Mapping[str, str]) -> None:
    """Set query settings on a connection, one after another so that an error names the right one."""
    if not settings:
        return
    for name in settings:
        if not name.isidentifier():
            message = f"Code: 115. DB::Exception: Unknown setting {name!r}. (UNKNOWN_SETTING)"
            raise EngineError(115, message)
    connection.query("SET " + ", ".join(f"{name} = {quote(value)}" for name, value in settings.items()))


def quote(text: str, mark: str = "'") -> str:
    """A SQL literal (or, with a backtick, an identifier)."""
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


def lock_folder(folder: Path) -> int:
    """Take the folder for this process; the system lets go of it when the process ends, however it ends."""
    path = folder.resolve().with_name(folder.resolve().name + ".lock")
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise FolderInUseError(
            f"{folder} is open in another process (id {holder}): one process may open a chDB folder at a time. "
            "Stop that one, or give another folder."
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock
