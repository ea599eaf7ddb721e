"""The values of an answer as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from ctypes import c_float
from typing import Any

from evometrics.deploy.console.tables import exact
from evometrics.sinks.query.result import Block, Row


def lined(value: Any) -> str:
    """Return a value as it is, a text with its line breaks."""
    return "\n".join(map(exact, value.split("\n"))) if isinstance(value, str) else exact(value)


def shown_rows(block: Block) -> Iterator[Row]:
    """Yield a block's rows with each Float32 as the shortest number that is stored as the same."""
    kinds = [type(kind).__name__ for kind in block.header.types]
    columns = [
        map(single, values) if kind == "Float32" else values
        for values, kind in zip(block.columns, kinds, strict=True)
    ]
    return zip(*columns, strict=True)


def single(value: float | None) -> float | None:
    """Return the shortest number that a Float32 holds as this value."""
    if value is None or not math.isfinite(value):
        return value
    for digits in range(6, 10):
        short = float(f"{value:.{digits}g}")
        if c_float(short).value == value:
            return short
    return value
