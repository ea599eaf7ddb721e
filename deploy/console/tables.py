"""Rows for people, in aligned columns, and for programs, as JSON.

Columns are not a library's, because rows are printed block by block, as a query returns them, in the widths
of the first block: rich's tables, for example, need all rows before they print one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

try:
    from wcwidth import wcswidth  # with prompt_toolkit
except ModuleNotFoundError:
    wcswidth = None  # type: ignore[assignment]

MAX_CELL = 60


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A query's result: column names and rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def to_json(value: Any) -> str:
    """Return any value as one line of JSON."""
    return json.dumps(as_json(value), ensure_ascii=False, allow_nan=False)


def as_json(value: Any) -> Any:
    """Return a value as JSON represents it.

    NaN, infinities and anything else without a JSON form are null, and the keys of a map are text. Bytes are
    the value of a FixedString, without its padding of zeros.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key_text(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(each) for each in value]
    return plain(value)


def key_text(key: Any) -> str:
    """Return the key of a map as JSON represents it."""
    found = as_json(key)
    return found if isinstance(found, str) else json.dumps(found)


def plain(value: Any) -> str:
    if isinstance(value, datetime):
        return str(value.replace(tzinfo=None))  # as ClickHouse writes it: in the column's zone
    if isinstance(value, bytes):
        return value.rstrip(b"\0").decode(errors="backslashreplace")
    return str(value)


class Columns:
    """The layout of columns: numbers to the right, each as wide as the widest cell of the given rows.

    `show` makes a cell of a value: `cell`, in short, or `exact`.
    """

    def __init__(self, found: QueryResult, show: Callable[[Any], str] | None = None) -> None:
        self.show = show or cell
        self.names = found.columns
        cells = [self.names, *(map(self.show, row) for row in found.rows)]
        self.widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
        columns = list(zip(*found.rows, strict=True)) or [("",)] * len(found.columns)
        self.right = [all(isinstance(each, int | float | None) for each in column) for column in columns]

    def head(self) -> str:
        """Return the names and a rule."""
        return f"{self.line(self.names)}\n{self.rule()}"

    def rule(self) -> str:
        """Return what stands below the names."""
        return "  ".join("-" * width for width in self.widths)

    def line(self, row: Sequence[Any]) -> str:
        """Return a row."""
        parts = []
        for value, wide, to_right in zip(row, self.widths, self.right, strict=True):
            text = self.show(value)
            gap = " " * (wide - width(text))
            parts.append(gap + text if to_right else text + gap)
        return "  ".join(parts).rstrip()


def table(found: QueryResult) -> str:
    """Return the rows of a report as text in columns, in short."""
    columns = Columns(found)
    return "\n".join([columns.head(), *map(columns.line, found.rows)])


def cell(value: Any) -> str:
    """Return a value as a report shows it: four digits of a fraction, and the beginning of what is long."""
    return cut(one_line(f"{value:.4g}" if isinstance(value, float) else exact(value)))


def exact(value: Any) -> str:
    """Return a value as it is, in one line: a number with all its digits, JSON for what has parts."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return one_line(to_json(value) if isinstance(value, dict | list | tuple) else plain(value))


def one_line(text: str) -> str:
    """Return a text whose control characters are escaped, so that a terminal obeys none."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def cut(text: str) -> str:
    """Return a text, or its beginning."""
    if len(text) <= MAX_CELL // 2 or width(text) <= MAX_CELL:
        return text
    kept = text[: MAX_CELL - 1]
    while width(kept) >= MAX_CELL:
        kept = kept[:-1]
    return kept + "…"


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes: Chinese signs and most emoji take two."""
    return len(text) if wcswidth is None or text.isascii() else max(wcswidth(text), 0)
