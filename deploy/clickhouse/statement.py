"""Separates a statement from an INSERT's data, in requests to ClickHouse's HTTP interface.

A request's statement is its `query` parameter followed by its body, and either may hold the first bytes of
the data (https://clickhouse.com/docs/interfaces/http); chDB wants the two apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKEN = re.compile(
    rb"""(?P<gap>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
LAST_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b[^;]*)?;?\s*\Z", re.IGNORECASE)
INPUT_CALL = re.compile(r"\binput\s*\(", re.IGNORECASE)

# A statement longer than the engine's max_query_size is refused there; data of any length may follow it.
LONGEST_STATEMENT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Query:
    """A statement that needs no further data."""

    sql: str

    @property
    def format(self) -> str | None:
        """The output format that it names itself."""
        match = LAST_FORMAT.search(self.sql[-4096:])
        return match.group(1) if match else None


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT whose data come as bytes.

    Attributes:
        sql: the statement up to FORMAT (`INSERT INTO t (a, b) SETTINGS ...`).
        format: the data's format; None if the statement names none.
        data: the part of the data that was found behind the statement; the rest of the request follows it.
    """

    sql: str
    format: str | None
    data: bytes

    @property
    def reads_input(self) -> bool:
        """Whether it selects from its data (`INSERT INTO t SELECT ... FROM input('a Int8') FORMAT ...`)."""
        return INPUT_CALL.search(self.sql) is not None

    def reading(self, path: str, default_format: str) -> str:
        """Return the statement that takes its data from a file; `path` is quoted."""
        text, position, depth = self.sql.encode(), 0, 0
        before_settings = len(text)
        while position < len(text) and before_settings == len(text):
            match = TOKEN.match(text, position)
            assert match is not None, "the last alternative matches any byte"
            depth += (match["other"] in (b"(", b"[", b"{")) - (match["other"] in (b")", b"]", b"}"))
            if match["word"] and depth == 0 and match["word"].upper() == b"SETTINGS":
                before_settings = position
            position = match.end()
        head, settings = text[:before_settings].decode(), text[before_settings:].decode()
        file = f"FROM INFILE {path} COMPRESSION 'none'"
        return f"{head}\n{file} {settings}\nFORMAT {self.format or default_format}"


def parse(text: bytes) -> Query | Insert:
    """Separate the statement at the start of `text` from its data.

    Only INSERTs with FORMAT or VALUES outside of any brackets have data. Raises `UnicodeDecodeError` if the
    statement itself is not UTF-8.
    """
    depth, position, words = 0, 0, []
    limit = min(len(text), LONGEST_STATEMENT)
    while position < limit:
        match = TOKEN.match(text, position)
        assert match is not None, "the last alternative matches any byte"
        position = match.end()
        if match["other"] in (b"(", b"[", b"{"):
            depth += 1
        elif match["other"] in (b")", b"]", b"}"):
            depth -= 1
        elif match["word"] and depth == 0:
            word = match["word"].upper()
            words.append(word)
            if words[0] != b"INSERT" or word == b"INFILE":
                break
            if word == b"VALUES":
                return Insert(text[: match.start()].decode(), "Values", text[position:])
            if word == b"FORMAT" and (name := re.compile(rb"\s+(\w+)").match(text, position)):
                # As ClickHouse's parser does: blanks and one line break belong to the statement.
                gap = re.compile(rb"[ \t\f]*(?:\r?\n)?").match(text, name.end())
                assert gap is not None
                start = gap.end()
                insert = Insert(text[: match.start()].decode(), name[1].decode(), text[start:])
                # INSERT ... SELECT ... FORMAT without input() reads no data.
                return insert if insert.reads_input or b"SELECT" not in words else Query(text.decode())
    if words[:1] == [b"INSERT"] and b"SELECT" not in words and b"INFILE" not in words:
        return Insert(text.decode(), None, b"")
    return Query(text.decode())
