"""CSV files: evolutions of any recorder, the specification's tables, our own exports."""

from __future__ import annotations

import csv
import itertools
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from evometrics.deploy.history.columns import cells_of, has_evolutions, named
from evometrics.deploy.history.contents import DAMAGE, MOST_CHARACTERS, open_text
from evometrics.deploy.history.exported import texts_of
from evometrics.deploy.history.sources import SourceRow, table_of
from evometrics.schemas.service.settings import SettingsError

DELIMITERS = ",;\t|"
#: ClickHouse's NULL, and MySQL's.
NULL = r"\N"
#: Number of characters of an unsplittable line that the report shows.
SHOWN = 2000
#: ClickHouse's escapes, in tab-separated text, of delimiters and invisible characters.
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "0": "\0"}
UNCLOSED = ("unexpected end of data", "field larger than field limit")


class Lines:
    """A text file's lines; those taken since `begin` can be given back.

    Attributes:
        number: lines taken so far.
    """

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.number = 0
        self.taken: list[str] = []
        self.again: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.again.popleft() if self.again else self.file.readline(MOST_CHARACTERS)
        if not line:
            raise StopIteration
        self.number += 1
        self.taken.append(line)
        return line

    def begin(self) -> int:
        """Begin a row; return the number of its first line."""
        self.taken.clear()
        return self.number + 1

    def give_back(self) -> None:
        """Give back all lines of the row except its first."""
        self.again.extendleft(reversed(self.taken[1:]))
        self.number -= len(self.taken) - 1
        del self.taken[1:]


class CsvSource:
    """A CSV file with a header, quotes as in RFC 4180, and commas, semicolons, tabs or bars between cells.

    UTF-8, UTF-16 or UTF-32, optionally gzipped. A line that can't be split is reported, and reading resumes
    at the next line: a quote that is never closed costs only the row that it is in.
    """

    total: int | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        csv.field_size_limit(MOST_CHARACTERS)
        #: Columns whose texts have ClickHouse's tab-separated escapes; it quotes nothing there.
        self.escaped: frozenset[str] = frozenset()
        self.delimiter, self.spaced, header = self.layout()
        self.columns = named(header)
        check_header(path, self.columns)
        self.table = table_of(path, self.columns)
        if self.delimiter == "\t" and self.table.record:
            self.escaped = texts_of(self.table.record)
        self.tables: tuple[str, ...] = (self.table.name,)

    def layout(self) -> tuple[str, bool, list[str]]:
        """Return the delimiter, whether a space follows it, and the header.

        The layout chosen is the one with which the header is one of evolutions, or has most columns. A file
        with a space after each comma of its header has it in the rows too.
        """
        try:
            with open_text(self.path) as file:
                lines = Lines(file)
                told = skip_to_header(lines)
                first = lines.begin()
                found: list[tuple[str, bool, list[str]]] = []
                for delimiter, spaced in itertools.product(told or DELIMITERS, (False, True)):
                    lines.begin()
                    try:
                        found.append((delimiter, spaced, next(self.reader(lines, delimiter, spaced), [])))
                    except csv.Error as error:
                        wrong = error
                    lines.again.extendleft(reversed(lines.taken))
                    lines.number = first - 1
        except DAMAGE as error:
            raise SettingsError(f"{self.path}: can't be read: {error}") from None
        if not found:
            raise SettingsError(f"{self.path}: its first line is not a CSV header: {wrong}")
        return max(found, key=likelihood)

    def reader(self, lines: Lines, delimiter: str, spaced: bool) -> Iterator[list[str]]:
        """Return a reader that splits lines into cells."""
        if self.escaped:
            return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, quotechar=None)
        return csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced, strict=True)

    def cells(self, values: list[str]) -> Iterator[str | None]:
        """Yield a row's original values, None for NULL."""
        for name, value in zip(self.columns, values, strict=False):
            if value == NULL:
                yield None
            else:
                yield unescaped(value) if name in self.escaped else value

    def rows(self) -> Iterator[SourceRow]:
        """Yield a row for each line, or for the lines that a quoted cell spans."""
        with open_text(self.path) as file:
            lines = Lines(file)
            reader = self.reader(lines, self.delimiter, self.spaced)
            skip_to_header(lines)
            next(reader)
            while True:
                place: dict[str, int | str] = {"line": lines.begin()}
                try:
                    values = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield self.unsplit(place, lines, reason_of(error))
                    continue
                except DAMAGE as error:
                    yield self.table.row(place, {}, f"the file can't be read from here on: {error}")
                    return
                if not any(values):
                    continue
                width = len(self.columns)
                if len(values) < width or any(values[width:]):
                    wrong = f"has {len(values)} cells, but the header has {width}"
                    yield self.unsplit(place, lines, wrong, values)
                    continue
                cells, problem = cells_of(self.columns, self.cells(values))
                yield self.table.row(place, cells, problem)

    def unsplit(
        self, place: dict[str, int | str], lines: Lines, problem: str, values: list[str] | None = None
    ) -> SourceRow:
        """Return a row whose cells can't be determined; lines taken beyond its first are read again."""
        cells: dict[str, Any] = {"cells": values}
        if values is None or len(lines.taken) > 1:
            cells = {"text": lines.taken[0][:SHOWN]}
        lines.give_back()
        return self.table.row(place, cells, problem)


def check_header(path: Path, columns: list[str]) -> None:
    """Raise `SettingsError` if a header is not text, as in a binary file or one in another encoding."""
    wrong = [name for name in columns if not name.isprintable()]
    if wrong and has_evolutions(columns):
        raise SettingsError(f"{path}: the column {wrong[0]!r:.100} is not UTF-8: save the file as UTF-8")
    if wrong:
        raise SettingsError(
            f"{path}: is neither text nor SQLite nor Parquet: it begins with {wrong[0][:20]!r}; "
            "write its rows as CSV or Parquet"
        )


def unescaped(text: str) -> str:
    """Undo ClickHouse's escapes in a text."""
    return ESCAPE.sub(lambda found: ESCAPES.get(found[1], found[1]), text) if "\\" in text else text


def likelihood(layout: tuple[str, bool, list[str]]) -> tuple[bool, int, int]:
    """Return a sort key for how likely a layout is the right one."""
    _, spaced, header = layout
    plain = not any(name.startswith(" ") for name in header)
    return has_evolutions(named(header)), len(header), 1 if spaced else 2 * plain


def skip_to_header(lines: Lines) -> str:
    """Skip empty lines, and the line that tells Excel the delimiter; return that delimiter."""
    told = ""
    for line in lines:
        if line.lower().startswith("sep=") and len(line.strip("\r\n")) == 5:
            told = line[4]
        elif line.strip():
            lines.again.appendleft(line)
            lines.number -= 1
            break
    return told


def reason_of(error: csv.Error) -> str:
    if str(error).startswith(UNCLOSED):
        return "a quote opened in this line is not closed"
    return str(error)
