"""Writes the rows of an answer in a format, block by block, with bounded memory."""

from __future__ import annotations

import csv
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import IO, Any

from evometrics.deploy.console.tables import (
    Columns,
    QueryResult,
    as_json,
    cut,
    exact,
    one_line,
    to_json,
    width,
)
from evometrics.deploy.sql.cells import lined, shown_rows
from evometrics.deploy.sql.pager import Pager
from evometrics.schemas.frames import library
from evometrics.sinks.query.result import Block, Header, Row

#: What a group of rows of a Parquet or Arrow file holds at most; so much is held in memory.
GROUP_ROWS = 50_000
GROUP_BYTES = 32_000_000


class Writer(ABC):
    """Writes an answer: each block in turn, then `end`; nothing if the statement has no answer."""

    @abstractmethod
    def write(self, block: Block) -> None:
        """Write a block."""

    def end(self) -> None:  # noqa: B027 - most formats have no end
        """Write what ends the format."""


class Table(Writer):
    """Aligned columns, in the widths of the first block; values are whole, whatever reads them.

    On a screen, where a table has several columns and rows, long cells are cut. One cell alone keeps its line
    breaks.
    """

    def __init__(self, out: IO[str], screen: Pager | None = None) -> None:
        self.out = out
        self.screen = screen
        self.columns: Columns | None = None
        self.one: tuple[Header, Row] | None = None

    def write(self, block: Block) -> None:
        """Write a block, the first with the columns' names; a first row that is alone waits for the next."""
        rows = [*([self.one[1]] if self.one else ()), *shown_rows(block)]
        self.one = None
        if self.columns is None:
            if not block.header.names:
                return
            if len(rows) == 1:
                self.one = block.header, rows[0]
                return
            self.begin(block.header, rows, cuts=self.screen is not None and len(block.header.names) > 1)
        assert self.columns is not None
        for row in rows:
            self.out.write(self.columns.line(row) + "\n")

    def begin(self, header: Header, rows: list[Row], *, cuts: bool) -> None:
        """Lay the columns out by the first rows, and write their names."""
        show = (lambda value: cut(exact(value))) if cuts else exact
        self.columns = Columns(QueryResult(list(header.names), rows), show)
        rule = self.columns.rule()
        if self.screen is not None and len(header.names) > 1:
            self.screen.aligned(len(rule))
        elif self.screen is not None:
            rule = rule[: self.screen.size.columns]
        self.out.write(f"{self.columns.line(header.names)}\n{rule}\n")

    def end(self) -> None:
        """Write the row that is alone."""
        if self.one is None:
            return
        (header, row), self.one = self.one, None
        lines = row[0].split("\n") if len(row) == 1 and isinstance(row[0], str) else []
        rows = [(line,) for line in lines] if len(lines) > 1 else [row]
        self.begin(header, rows, cuts=False)
        assert self.columns is not None
        for each in rows:
            self.out.write(self.columns.line(each) + "\n")


class Vertical(Writer):
    """Each row as lines of a name and a value: for rows that are wide."""

    def __init__(self, out: IO[str]) -> None:
        self.out = out
        self.count = 0

    def write(self, block: Block) -> None:
        """Write a block."""
        names = [one_line(name) + ":" for name in block.header.names]
        wide = max(map(width, names), default=0)
        labels = [name + " " * (wide - width(name)) for name in names]
        for row in shown_rows(block):
            self.count += 1
            head = f"Row {self.count}:"
            lines = [f"{label} {lined(value)}" for label, value in zip(labels, row, strict=True)]
            self.out.write("\n".join([head, "-" * len(head), *lines, "", ""]))


class Json(Writer):
    """One JSON object per row and line."""

    def __init__(self, out: IO[str]) -> None:
        self.out = out
        self.encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode

    def write(self, block: Block) -> None:
        """Write a block."""
        names = block.header.names
        columns = converted(block, as_json, {"Bool": None, "Float": finite})
        lines = (self.encode(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True))
        self.out.writelines(line + "\n" for line in lines)


class Csv(Writer):
    """CSV with the columns' names first; NULL is empty, and what has parts is JSON."""

    def __init__(self, out: IO[str]) -> None:
        self.lines = csv.writer(out, lineterminator="\n")
        self.begun = False

    def write(self, block: Block) -> None:
        """Write a block; the first with the columns' names."""
        if not self.begun and block.header.names:
            self.lines.writerow(block.header.names)
        self.begun = True
        self.lines.writerows(zip(*converted(block, csv_text, {"UUID": None, "Float": None}), strict=True))


Convert = Callable[[Any], Any]


def converted(block: Block, convert: Convert, others: dict[str, Convert | None]) -> list[Any]:
    """Return a block's columns with their values converted; whole numbers and text are written as they are.

    `others` has what does it for some types, None for nothing.
    """
    found = []
    for values, kind in zip(block.columns, block.header.types, strict=True):
        name = type(kind).__name__
        plain = None if name.startswith(("Int", "UInt", "String", "Enum")) else convert
        use = next((each for known, each in others.items() if name.startswith(known)), plain)
        found.append(values if use is None else map(use, values))
    return found


def finite(value: float | None) -> float | None:
    """Return a number; None for NaN and infinities, which JSON lacks."""
    return value if value is not None and math.isfinite(value) else None


def csv_text(value: Any) -> Any:
    """Return a value as CSV has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list | tuple):
        return to_json(value)
    return value if value is None or isinstance(value, int | float | str) else as_json(value)


class Grouped(Writer):
    """Collects blocks to groups of rows; a format of Arrow's library writes these."""

    def __init__(self, out: IO[bytes]) -> None:
        self.out = out
        self.pa = library("pyarrow", "the format")
        self.schema: Any = None
        self.file: Any = None
        self.held: list[Any] = []

    @abstractmethod
    def open(self) -> Any:
        """Open the file for `schema`."""

    def write(self, block: Block) -> None:
        """Take a block, and write the group if it is large enough."""
        if self.file is None:
            self.schema = block.header.arrow()
            self.file = self.open()
        if len(block):
            self.held.append(block.arrow(self.schema))
        if (
            sum(b.num_rows for b in self.held) >= GROUP_ROWS
            or sum(b.nbytes for b in self.held) >= GROUP_BYTES
        ):
            self.flush()

    def flush(self) -> None:
        """Write the group."""
        if self.held:
            group = self.pa.Table.from_batches(self.held, self.schema)
            self.file.write_table(group.combine_chunks())
            self.held = []

    def end(self) -> None:
        """Write the last group and the file's end; an answer without columns is a file without any."""
        if self.file is None:
            self.write(Block(Header(), ()))
        self.flush()
        self.file.close()


class Parquet(Grouped):
    """A Parquet file."""

    def open(self) -> Any:
        """Open the file."""
        parquet = library("pyarrow.parquet", "the format")
        return parquet.ParquetWriter(self.out, self.schema, compression="zstd")


class Arrow(Grouped):
    """An Arrow IPC file, which is also what Feather reads."""

    def open(self) -> Any:
        """Open the file."""
        options = self.pa.ipc.IpcWriteOptions(compression="zstd")
        return self.pa.ipc.new_file(self.out, self.schema, options=options)


TEXTS: dict[str, Callable[[IO[str]], Writer]] = {
    "table": Table,
    "vertical": Vertical,
    "json": Json,
    "csv": Csv,
}
BINARIES: dict[str, Callable[[IO[bytes]], Writer]] = {"parquet": Parquet, "arrow": Arrow}
