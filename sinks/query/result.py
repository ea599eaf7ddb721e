"""The answer to a query: its columns with their types, and its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clickhouse_connect.datatypes.base import ClickHouseType

from evometrics.schemas.frames import Frames, library

if TYPE_CHECKING:
    import pyarrow

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What the columns of an answer are.

    Attributes:
        names: their names, in order.
        types: their types in ClickHouse.
        zone: the time zone of times whose type names none: the server's.
    """

    names: tuple[str, ...] = ()
    types: tuple[ClickHouseType, ...] = ()
    zone: str = "UTC"

    def arrow(self) -> pyarrow.Schema:
        """Return the columns as Arrow's."""
        from evometrics.sinks.query.arrow import arrow_schema

        return arrow_schema(self.names, self.types, self.zone)


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of an answer, column by column."""

    header: Header
    columns: Sequence[Sequence[Any]]

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def rows(self) -> Iterator[Row]:
        """Yield the rows."""
        return zip(*self.columns, strict=True)

    def arrow(self, schema: pyarrow.Schema) -> pyarrow.RecordBatch:
        """Return the rows as Arrow's, by the schema of the header."""
        from evometrics.sinks.query.arrow import arrow_array

        pa = library("pyarrow", "as_arrow()")
        arrays = [arrow_array(values, f.type) for values, f in zip(self.columns, schema, strict=True)]
        return pa.record_batch(arrays, schema=schema)


class FoundRows(Frames):
    """The rows of a query, as tuples; `as_arrow()`, `as_pandas()` and `as_polars()` give them as a table.

        for agent, gain in await query.sql("SELECT agent_id, improvement_delta FROM evolution_metrics"):
            ...

    Times are aware `datetime`s, UUIDs `uuid.UUID`s, maps dicts, enums and LowCardinality their values.
    """

    def __init__(self, header: Header, blocks: Sequence[Block]) -> None:
        self.header = header
        self.blocks = blocks

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self.header.names

    @property
    def types(self) -> tuple[str, ...]:
        """The columns' types, as ClickHouse writes them."""
        return tuple(kind.name for kind in self.header.types)

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def __iter__(self) -> Iterator[Row]:
        for block in self.blocks:
            yield from block.rows()

    def as_arrow(self) -> pyarrow.Table:
        """Return the rows as an Arrow table.

        UUIDs are `arrow.uuid`, times `timestamp` with their zone, enums text. What Arrow has no type for is
        text, as is a UUID within an array or map. Raises `MissingLibrary` without pyarrow.
        """
        pa = library("pyarrow", "as_arrow()")
        schema = self.header.arrow()
        return pa.Table.from_batches([block.arrow(schema) for block in self.blocks], schema)
