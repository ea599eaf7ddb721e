"""Parquet files, read with pyarrow (`evometrics[import]`): the same tables as in CSV files."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from evometrics.deploy.history.columns import cells_of, named
from evometrics.deploy.history.sources import SourceRow, table_of
from evometrics.schemas.service.settings import SettingsError

BATCH_ROWS = 2000
UUID_BYTES = 16
#: Microseconds per unit of a timestamp; nanoseconds, which Python's times lack, are divided instead.
MICROS = {"s": 1_000_000, "ms": 1_000, "us": 1}
NANOS = 1_000


class NoValue(NamedTuple):
    """Stands for a cell that has no Python value."""

    reason: str


class ParquetSource:
    """A Parquet file; KPI maps may be maps, structs or JSON.

    A NaN counts as a missing cell: it is what pandas writes for one. If a row group can't be read to its end,
    a row reports it, and the next group is read.
    """

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
            self.columns = named(self.file.schema_arrow.names)
        except (ArrowException, OSError, UnicodeError) as error:
            raise SettingsError(f"{path}: can't be read as Parquet: {error}") from None
        self.table = table_of(path, self.columns)
        self.tables: tuple[str, ...] = (self.table.name,)
        self.total: int | None = self.file.metadata.num_rows

    def rows(self) -> Iterator[SourceRow]:
        """Yield the rows, counted from 1."""
        from pyarrow import ArrowException

        before = 0
        for group in range(self.file.num_row_groups):
            number = before
            before += self.file.metadata.row_group(group).num_rows
            try:
                for batch in self.file.iter_batches(BATCH_ROWS, row_groups=[group]):
                    for values in zip(*map(values_of, batch.columns), strict=True):
                        number += 1
                        yield self.row(number, values)
            except (ArrowException, OSError, UnicodeError) as error:
                place = {"number": number + 1}
                yield self.table.row(place, {}, f"rows {number + 1} to {before} can't be read: {error}")

    def row(self, number: int, values: tuple[Any, ...]) -> SourceRow:
        wrong = [
            f"{name}: {value.reason}"
            for name, value in zip(self.columns, values, strict=True)
            if isinstance(value, NoValue)
        ]
        known = (None if isinstance(value, NoValue) else value for value in values)
        cells, problem = cells_of(self.columns, known)
        return self.table.row({"number": number}, cells, "; ".join(wrong) or problem)


def values_of(column: Any) -> list[Any]:
    """Return a column's cells as Python values; `NoValue` for cells that have none."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind):
        return [moment(value, kind) for value in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_duration(kind) and kind.unit == "ns":
        column = column.cast(pa.duration("us"), safe=False)
    elif pa.types.is_time64(kind) and kind.unit == "ns":
        column = column.cast(pa.time64("us"), safe=False)
    elif pa.types.is_fixed_size_binary(kind) and kind.byte_width == UUID_BYTES:
        return [None if value is None else str(uuid.UUID(bytes=value)) for value in column.to_pylist()]
    try:
        return [plain(value) for value in column.to_pylist()]
    except (ValueError, OverflowError, TypeError):
        return [value_of(scalar) for scalar in column]


def value_of(scalar: Any) -> Any:
    """Return one cell; trying each shows which of a column's cells have no value."""
    try:
        return plain(scalar.as_py())
    except (ValueError, OverflowError, TypeError) as error:
        return NoValue(f"can't be read as {scalar.type}: {error}")


def moment(value: int | None, kind: Any) -> datetime | str | None:
    """Return a timestamp; as a text, which no event accepts, if it is beyond Python's times."""
    if value is None:
        return None
    micros = value // NANOS if kind.unit == "ns" else value * MICROS[kind.unit]
    epoch = datetime(1970, 1, 1, tzinfo=UTC if kind.tz else None)
    try:
        return epoch + timedelta(microseconds=micros)
    except OverflowError:
        return f"{value} {kind.unit} since 1970"


def plain(value: Any) -> Any:
    """Return a value without NaN, and with text instead of bytes: older writers do not mark text as such."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeError:
            return value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, list):
        # A missing number in a list must not be left out: that would move the others.
        return [item if isinstance(item, float) else plain(item) for item in value]
    return value
