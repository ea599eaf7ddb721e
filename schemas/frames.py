"""Results as Arrow, pandas and polars tables: what everything that has rows of an answer can become.

The libraries are those of the extra `analysis`; they are imported when a table is asked for.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from evometrics.schemas.errors import EvometricsError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

EXTRA = "analysis"


class MissingLibrary(EvometricsError, ImportError):
    """A library is not installed; the message names the extra that has it."""


def library(name: str, purpose: str) -> Any:
    """Import a module. Raises `MissingLibrary` if its library is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        lacking = (error.name or name).partition(".")[0]
        raise MissingLibrary(
            f"{purpose} needs {lacking}, which is not installed: pip install 'evometrics[{EXTRA}]'"
        ) from error


class Frames(ABC):
    """Rows that can become a table of Arrow, pandas or polars, each with the same columns and values.

    An empty answer keeps its columns and their types.
    """

    @abstractmethod
    def as_arrow(self) -> pyarrow.Table:
        """Return an Arrow table: UUIDs are `arrow.uuid`, times `timestamp` with their zone, maps `map`.

        A UUID within a list or map is text: pyarrow makes no such lists. Raises `MissingLibrary` without
        pyarrow.
        """

    def as_pandas(self) -> pandas.DataFrame:
        """Return a pandas DataFrame: times are aware, and whole numbers stay whole beside missing ones.

        A UUID is a `uuid.UUID`, a map a dict. Raises `MissingLibrary` without pandas or pyarrow.
        """
        pandas = library("pandas", "as_pandas()")
        found = self.as_arrow()
        whole = nullable_types(pandas)
        series = [
            column.to_pandas(types_mapper=whole.get if field.nullable else None, maps_as_pydicts="lossy")
            for field, column in zip(found.schema, found.columns, strict=True)
        ]
        frame = pandas.concat(series, axis=1) if series else pandas.DataFrame()
        frame.columns = found.schema.names
        return frame

    def as_polars(self) -> polars.DataFrame:
        """Return a polars DataFrame. A UUID is text: polars has no type for it.

        Raises `MissingLibrary` without polars or pyarrow.
        """
        polars = library("polars", "as_polars()")
        return polars.from_arrow(with_text_uuids(self.as_arrow()))


def nullable_types(pandas: Any) -> dict[Any, Any]:
    """Return pandas' types of what may be NULL, by Arrow's."""
    pa = library("pyarrow", "as_pandas()")
    sizes = {f"{sign}int{bits}": f"{sign.upper()}Int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
    found = {getattr(pa, arrow)(): getattr(pandas, f"{name}Dtype")() for arrow, name in sizes.items()}
    text = pandas.StringDtype(na_value=float("nan"))  # pandas' own choice, also where all is missing
    return {**found, pa.bool_(): pandas.BooleanDtype(), pa.string(): text}


def with_text_uuids(found: pyarrow.Table) -> pyarrow.Table:
    """Return a table whose columns of UUIDs are text."""
    pa = library("pyarrow", "as_polars()")
    for place, field in enumerate(found.schema):
        if field.type == pa.uuid():
            values = [None if value is None else str(value) for value in found.column(place).to_pylist()]
            column = pa.array(values, pa.string())
            found = found.set_column(place, field.with_type(column.type), column)
    return found
