"""The engine's inputs and results: a request, an answer, an error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from evometrics.deploy.clickhouse.statement import Insert, Query

SESSION_SECONDS = 60.0
UNKNOWN_EXCEPTION = 1002
ERROR = re.compile(r"Code: (\d+)\. DB::Exception: .*", re.DOTALL)


class EngineError(RuntimeError):
    """A refused statement: ClickHouse's code, and the text that ClickHouse sends as the message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def of(cls, text: str) -> EngineError:
        """Read the code from chDB's message; UNKNOWN_EXCEPTION if it holds none."""
        match = ERROR.search(text)
        return cls(int(match.group(1)), match.group(0)) if match else cls(UNKNOWN_EXCEPTION, text)

    @classmethod
    def named(cls, code: int, name: str, message: str) -> EngineError:
        """Return an error of our own in ClickHouse's format."""
        return cls(code, f"Code: {code}. DB::Exception: {message}. ({name})")


@dataclass(frozen=True, slots=True)
class Request:
    """A statement with everything that came with it.

    Attributes:
        statement: what to run.
        data: an INSERT's data, in pieces of any size.
        database: the current database, empty for `default`.
        format: for results, and for data whose statement names no format.
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
    """A statement's result, and its cost in rows, bytes and seconds.

    Attributes:
        payload: the result, or its beginning if there is more of it in `rest`.
        rest: the remainder of a large result, a file to be read from its beginning and closed.
        format: None if the statement has no result set.
    """

    elapsed: float
    payload: bytes = b""
    rest: IO[bytes] | None = None
    result_bytes: int = 0
    format: str | None = None
    read_rows: int = 0
    read_bytes: int = 0
    result_rows: int = 0
    written_rows: int = 0
    written_bytes: int = 0
