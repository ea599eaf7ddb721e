"""Separates a statement from an INSERT's data, in requests to ClickHouse's HTTP interface.

A request's statement is its `query` parameter followed by its body, and either may hold the first bytes of
the data (https://clickhouse.com/docs/interfaces/http); chDB wants the two apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Comments of several lines may hold further ones, here to a depth of four. (No group is possessive: with
#: a lookahead in it Python 3.11.2 does not match it.)
NO_MARK = rb"\*(?!/)|/(?!\*)"
COMMENT = rb"/\*[^*/]*(?:(?:" + NO_MARK + rb")[^*/]*)*\*/"
for _ in range(3):
    COMMENT = rb"/\*[^*/]*(?:(?:" + COMMENT + rb"|" + NO_MARK + rb")[^*/]*)*\*/"
#: As ClickHouse's lexer has it, as far as it matters where words, quoted text and brackets begin and end.
#: A quote behind a closing one would make both a quote in the text; one that is not closed goes to the end.
TOKEN = re.compile(
    rb"""(?P<gap>\s+|(?:--|//|\#[\ !])[^\n]*|"""
    + COMMENT
    + rb""")
    |(?P<quoted>'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'(?!')
        |"[^"\\]*(?:(?:\\.|"")[^"\\]*)*"(?!")
        |`[^`\\]*(?:(?:\\.|``)[^`\\]*)*`(?!`)
        |\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    |(?P<other>[0-9][A-Za-z0-9_$]*|['"`].*|.)""",
    re.VERBOSE | re.DOTALL,
)
INPUT_CALL = re.compile(r"\binput\s*\(", re.IGNORECASE)

# A statement longer than the engine's max_query_size is refused there; data of any length may follow it.
LONGEST_STATEMENT = 256 * 1024


def raw(sql: str) -> bytes:
    """Return a statement as the engine takes it: a statement may hold any bytes, UTF-8 or not."""
    return sql.encode(errors="surrogateescape")


def shown(sql: bytes) -> str:
    """Return a statement as text that `raw` turns back into the same bytes."""
    return sql.decode(errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class Query:
    """A statement that needs no further data."""

    sql: str

    @property
    def format(self) -> str | None:
        """The output format that it names itself."""
        return Ending.of(self.sql).format


@dataclass(frozen=True, slots=True)
class Ending:
    """How a statement ends: `... FORMAT name SETTINGS ...;`, the last three of which may be missing.

    Attributes:
        body: what stands before FORMAT.
        tail: FORMAT and what follows it, without a semicolon or comments at the end; empty without FORMAT.
        format: the format's name.
        settings: what stands behind the format's name.
    """

    body: str
    tail: str
    format: str | None
    settings: str = ""

    @property
    def without_format(self) -> str:
        """The statement with its settings, but without its FORMAT."""
        return f"{self.body}\n{self.settings}" if self.settings else self.body

    @classmethod
    def of(cls, sql: str) -> Ending:
        """Read a statement's end, outside of any brackets, quotes and comments."""
        text = raw(sql)
        words: list[tuple[bytes, int, int]] = []
        depth = end = 0
        for token in TOKEN.finditer(text):
            if token.lastgroup == "gap" or token[0] == b";":
                continue
            end = token.end()
            depth += (token[0] in (b"(", b"[", b"{")) - (token[0] in (b")", b"]", b"}"))
            if depth == 0:
                words.append((token[0].upper() if token["word"] else b"", token.start(), token.end()))
        for at in range(len(words) - 2, 0, -1):
            (word, start, _), (name, name_at, name_end) = words[at : at + 2]
            following = words[at + 2][0] if at + 2 < len(words) else b"SETTINGS"
            if word == b"FORMAT" and name and following == b"SETTINGS":
                name = text[name_at:name_end]
                body, tail, settings = text[:start], text[start:end], text[name_end:end]
                return cls(shown(body), shown(tail), shown(name), shown(settings))
        return cls(shown(text[:end]), "", None)


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
        text, position, depth = raw(self.sql), 0, 0
        before_settings = len(text)
        while position < len(text) and before_settings == len(text):
            match = TOKEN.match(text, position)
            assert match is not None, "the last alternative matches any byte"
            depth += (match["other"] in (b"(", b"[", b"{")) - (match["other"] in (b")", b"]", b"}"))
            if match["word"] and depth == 0 and match["word"].upper() == b"SETTINGS":
                before_settings = position
            position = match.end()
        head, settings = shown(text[:before_settings]), shown(text[before_settings:])
        file = f"FROM INFILE {path} COMPRESSION 'none'"
        return f"{head}\n{file} {settings}\nFORMAT {self.format or default_format}"


def set_settings(sql: str) -> dict[str, str] | None:
    """Return the names and values in a SET statement; None for another statement."""
    tokens = [token for token in TOKEN.finditer(raw(sql)) if token.lastgroup != "gap"]
    if not tokens or tokens[0][0].upper() != b"SET":
        return None
    found = {}
    for name, sign, value in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if sign[0] == b"=":
            found[shown(name[0].strip(b'`"'))] = shown(value[0].strip(b"'"))
    return found


def parse(text: bytes) -> Query | Insert:
    """Separate the statement at the start of `text` from its data.

    Only INSERTs with FORMAT or VALUES outside of any brackets have data.
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
                return Insert(shown(text[: match.start()]), "Values", text[position:])
            if word == b"FORMAT" and (name := re.compile(rb"\s+(\w+)").match(text, position)):
                # As ClickHouse's parser does: blanks and one line break belong to the statement.
                gap = re.compile(rb"[ \t\f]*(?:\r?\n)?").match(text, name.end())
                assert gap is not None
                start = gap.end()
                insert = Insert(shown(text[: match.start()]), shown(name[1]), text[start:])
                # INSERT ... SELECT ... FORMAT without input() reads no data.
                return insert if insert.reads_input or b"SELECT" not in words else Query(shown(text))
    if words[:1] == [b"INSERT"] and b"SELECT" not in words and b"INFILE" not in words:
        return Insert(shown(text), None, b"")
    return Query(shown(text))


def quote(text: str, mark: str = "'") -> str:
    """Return an SQL literal or, with a backtick, an identifier."""
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark
