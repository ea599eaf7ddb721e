"""Evolutions that a query found: a list, which can become a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from evometrics.schemas.events import EvolutionMetrics
from evometrics.schemas.frames import Frames, library
from evometrics.schemas.wire.catalog import newest

if TYPE_CHECKING:
    import pyarrow


class FoundEvolutions(list[EvolutionMetrics], Frames):
    """A list of evolutions; `as_arrow()`, `as_pandas()` and `as_polars()` give them as a table.

    The table's columns are the fields of `EvolutionMetrics`, of which times are timestamps, UTC.
    """

    def as_arrow(self) -> pyarrow.Table:
        """Return the evolutions as an Arrow table. Raises `MissingLibrary` without pyarrow."""
        pa = library("pyarrow", "as_arrow()")
        fields = newest(EvolutionMetrics.record).source["fields"]
        arrays, shown = [], []
        for field in fields:
            kind, nullable = arrow_type(pa, field["type"])
            values = [getattr(each, field["name"]) for each in self]
            if kind == pa.uuid():
                values = [None if value is None else UUID(value) for value in values]
            arrays.append(pa.array(values, kind))
            shown.append(pa.field(field["name"], kind, nullable=nullable))
        return pa.Table.from_arrays(arrays, schema=pa.schema(shown))


def arrow_type(pa: Any, avro: Any) -> tuple[Any, bool]:
    """Return an Avro type as Arrow's, and whether it may be null."""
    if isinstance(avro, list):
        (kind,) = (each for each in avro if each != "null")
        return arrow_type(pa, kind)[0], True
    if isinstance(avro, dict):
        logical = avro.get("logicalType")
        if logical == "uuid":
            return pa.uuid(), False
        if logical == "timestamp-micros":
            return pa.timestamp("us", "UTC"), False
        if avro["type"] == "map":
            return pa.map_(pa.string(), arrow_type(pa, avro["values"])[0]), False
        if avro["type"] == "array":
            return pa.list_(arrow_type(pa, avro["items"])[0]), False
        return arrow_type(pa, avro["type"])
    named = {"boolean": "bool_", "int": "int32", "long": "int64", "double": "float64", "string": "string"}
    return getattr(pa, named[avro])(), False
