"""The engine's inputs and results: a request, an answer, an error."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from evometrics.deploy.clickhouse.statement import Insert, Query
from evometrics.deploy.clickhouse.users import ReaderRights

SESSION_SECONDS = 60.0
INCORRECT_DATA, UNKNOWN_EXCEPTION = 117, 1002
UNREADABLE_REASON = "the data hold bytes that are not UTF-8, and so does the reason why they are refused"
#: An error's code and words. An error that passes through chDB's table functions has its head several times.
ERROR = re.compile(r"Code: (\d+)\. DB::Exception: (?:Code: \1\. DB::Exception: )*(.*)", re.DOTALL)
#: The name of the error and the version, if the name follows again.
ENDED_TWICE = re.compile(r" (\([A-Z0-9_]+\)) \(version [^()]*(?:\([^()]*\))?\)\.(?= \1)")
#: An INSERT's data are a file to chDB, one of ours that has no name.
OWN_FILE = re.compile(r": \(in file/uri /dev/fd/\d+\)|(?<=: )While executing File: (?=data for INSERT)")
PARSED_FROM = ("data for INSERT was parsed from file", "data for INSERT was parsed from query")


class EngineError(RuntimeError):
    """A refused statement: ClickHouse's code, and the text that ClickHouse sends as the message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def of(cls, text: str) -> EngineError:
        """Read the code from chDB's message; UNKNOWN_EXCEPTION if it holds none.

        The words are those of a server: code and name once, and nothing of the file that the data are in.
        Where a message holds bytes that are not UTF-8, Python 3.11.2 (Debian 12's) hands over an empty one,
        later ones raise `UnicodeDecodeError` with all of it: the data are at fault then.
        """
        if not text:
            return cls.named(INCORRECT_DATA, "INCORRECT_DATA", UNREADABLE_REASON)
        match = ERROR.search(text)
        if match is None:
            return cls(UNKNOWN_EXCEPTION, text)
        words = OWN_FILE.sub("", ENDED_TWICE.sub("", match[2])).replace(*PARSED_FROM)
        return cls(int(match[1]), f"Code: {match[1]}. DB::Exception: {words}")

    @classmethod
    def named(cls, code: int, name: str, message: str) -> EngineError:
        """Return an error of our own in ClickHouse's format."""
        return cls(code, f"Code: {code}. DB::Exception: {message}. ({name})")


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """A table that came with a request.

    Attributes:
        name: what the statement calls it.
        structure: names and types of its columns, as in CREATE TABLE.
        format: the format of the rows.
        rows: an unnamed file of them, closed by whoever runs the request.
    """

    name: str
    structure: str
    format: str
    rows: IO[bytes]


def nothing() -> None:
    """Free nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """A statement with everything that came with it.

    Attributes:
        statement: what to run.
        data: an INSERT's data, in pieces of any size.
        rows: all its data, where they are many: an unnamed file, closed by whoever runs the request.
        database: the current database, empty for `default`.
        format: for results, and for data whose statement names no format.
        settings: query settings.
        defaults: settings that apply where neither the request nor its session has set them.
        params: values of `{name:Type}` placeholders, escaped as in TabSeparated.
        read_only: refuse statements that change anything.
        session: name of the session it belongs to, empty for none.
        session_seconds: how long the session is kept after it.
        session_check: refuse it if there is no such session yet.
        revision: the protocol revision that Native is written for; 0 for the format as in files.
        external: tables that came with it.
        query_id: the client's name for it while it runs.
        user: who has sent it.
        reader: what its user may read; None for the writer.
        wait_end: answer when the whole result is there, so that an error is never in the middle of it.
    """

    statement: Query | Insert
    data: Sequence[bytes] = ()
    rows: IO[bytes] | None = None
    database: str = ""
    format: str = "TabSeparated"
    settings: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    session: str = ""
    session_seconds: float = SESSION_SECONDS
    session_check: bool = False
    revision: int = 0
    external: Sequence[ExternalTable] = ()
    query_id: str = ""
    user: str = "default"
    wait_end: bool = False
    reader: ReaderRights | None = None

    def close_files(self) -> None:
        """Close the files that came with it."""
        for file in (self.rows, *(table.rows for table in self.external)):
            if file is not None:
                file.close()


@dataclass(frozen=True, slots=True)
class Summary:
    """A statement's cost in seconds, rows and bytes, as far as it is known."""

    elapsed: float = 0.0
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement's execution left: its cost, and a result that was not written to a pipe.

    Attributes:
        format: None if the statement has no result set.
    """

    summary: Summary
    payload: bytes = b""
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A result on its way to the client; `close` it in any case.

    Attributes:
        summary: of the whole execution if the result is complete, otherwise of nothing yet.
        format: None if the statement has no result set.
        payload: the result, or its first bytes if there is a `rest`.
        rest: the following pieces, each when the client is ready for it. Raises `EngineError` where the
            statement fails in the middle of its result: what was sent before is then not a whole result.
        size: the result's bytes; None if they are not known yet.
        release: frees what the answer holds: a reader's place, a file. Called once.
    """

    summary: Summary
    format: str | None = None
    payload: bytes = b""
    rest: AsyncGenerator[bytes, None] | None = None
    size: int | None = None
    release: Callable[[], None] = nothing

    async def close(self) -> None:
        """End the statement if it is still running, and give up what the answer holds."""
        try:
            if self.rest is not None:
                await self.rest.aclose()
        finally:
            self.release()
