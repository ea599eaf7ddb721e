"""Evolutions in CSV and Parquet files."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from evometrics.deploy.history.sources import EVOLUTIONS, SourceRow, check_columns
from evometrics.schemas.settings import SettingsError

BATCH_ROWS = 2000


class Lines:
    """A text file's lines; remembers the last one, to show it where it can't be split."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.last = ""

    def __iter__(self) -> Iterator[str]:
        for line in self.file:
            self.last = line
            yield line


class CsvSource:
    """A CSV file in UTF-8 with a header, commas and quotes as in RFC 4180.

    A line that can't be split is reported. A quote that is never closed takes the lines after it along, up to
    the limit of a field (128 KiB); its reason says which.
    """

    tables: tuple[str, ...] = (EVOLUTIONS,)
    total: int | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.open() as file:
            try:
                header = next(csv.reader(file, strict=True), [])
            except csv.Error as error:
                raise SettingsError(f"{path}: its first line is no CSV header: {error}") from None
        self.columns = [name.strip() for name in header]
        check_columns(path, self.columns)

    def open(self) -> TextIO:
        """Open the file; bytes that are not UTF-8 come through as what `cells.text` refuses."""
        return self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")

    def rows(self) -> Iterator[SourceRow]:
        """Yield a row for each line, or for the lines that a quoted cell spans."""
        with self.open() as file:
            lines = Lines(file)
            reader = csv.reader(iter(lines), strict=True)
            next(reader)
            while True:
                first = reader.line_num + 1
                place: dict[str, int | str] = {"line": first}
                try:
                    values = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    span = f"lines {first} to {reader.line_num}: " if reader.line_num > first else ""
                    yield self.row(place, {"text": lines.last}, f"{span}{error}")
                    continue
                if not values:
                    continue
                cells = dict(zip(self.columns, values, strict=False))
                if len(values) == len(self.columns):
                    yield self.row(place, cells)
                else:
                    wrong = f"has {len(values)} cells, the header {len(self.columns)}"
                    yield self.row(place, {"cells": values}, wrong)

    def row(self, place: dict[str, int | str], cells: dict[str, Any], problem: str = "") -> SourceRow:
        """Return a row of this file."""
        return SourceRow("evolution", EVOLUTIONS, place, cells, problem)


class ParquetSource:
    """A Parquet file, read with pyarrow (`evometrics[import]`); KPI maps may be maps, structs or JSON.

    A cell that is not a number (NaN) counts as missing: it is what pandas writes for one.
    """

    tables: tuple[str, ...] = (EVOLUTIONS,)

    def __init__(self, path: Path) -> None:
        try:
            from pyarrow import ArrowException
            from pyarrow.parquet import ParquetFile
        except ImportError:
            raise SettingsError(
                f"{path}: reading Parquet needs pyarrow: pip install 'evometrics[import]'"
            ) from None
        try:
            self.file = ParquetFile(path)
        except (ArrowException, OSError) as error:
            raise SettingsError(f"{path}: can't be read as Parquet: {error}") from None
        check_columns(path, list(self.file.schema_arrow.names))
        self.total: int | None = self.file.metadata.num_rows

    def rows(self) -> Iterator[SourceRow]:
        """Yield the rows, counted from 1."""
        import pyarrow as pa

        number = 0
        for batch in self.file.iter_batches(BATCH_ROWS):
            columns = []
            for column in batch.columns:
                if pa.types.is_timestamp(column.type):
                    # Python's times end at microseconds.
                    column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
                columns.append(column)
            for cells in pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist():
                number += 1
                known = {
                    name: None if isinstance(value, float) and math.isnan(value) else value
                    for name, value in cells.items()
                }
                yield SourceRow("evolution", EVOLUTIONS, {"row": number}, known)
