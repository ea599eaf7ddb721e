"""Copies of what a caller hands in, as they are at the call: the caller may change its objects afterwards.

Plain values that nobody can change are kept; containers are copied with all that they contain; any other
object becomes what the collector would make of it, now and not later.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from itertools import islice
from pathlib import PurePath
from typing import Any
from uuid import UUID

from evometrics.producers.events.jsontext import json_text
from evometrics.producers.events.left_out import LeftOut, said
from evometrics.producers.events.values import text_of

#: Types whose instances never change, looked up exactly: nearly all values are of these.
PLAIN = frozenset(
    {str, int, float, bool, type(None), bytes, complex, datetime, date, time, timedelta, UUID, Decimal}
)
UNCHANGING = (str, int, float, bytes, Enum, date, time, timedelta, UUID, Decimal, Fraction, PurePath, type)
#: Most levels of containers, and most items of an iterable, which may never end.
MOST_DEPTH, MOST_ITEMS = 20, 1_000_000
#: Fields that are maps of names to values.
MAPS = frozenset(
    {"pre_kpis", "post_kpis", "pre_evolution_kpis", "post_evolution_kpis", "kpis", "metadata", "extras"}
)
#: What an item of a container takes besides its text, bytes; an estimate.
ITEM_WEIGHT = 64


def snapshot(value: Any, depth: int = MOST_DEPTH) -> Any:
    """Return a value that no later change of the caller's objects changes."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if depth <= 0:
        return said(value)
    if kind is dict:
        return {
            key if type(key) in PLAIN else text_of(key): item
            if type(item) in PLAIN
            else snapshot(item, depth - 1)
            for key, item in value.copy().items()
        }
    if kind is list or kind is tuple:
        return [item if type(item) in PLAIN else snapshot(item, depth - 1) for item in tuple(value)]
    if isinstance(value, UNCHANGING) or is_numpy_scalar(value):
        return value
    return of_other(value, depth)


def of_other(value: Any, depth: int) -> Any:
    """`snapshot` of what is neither plain nor one of Python's own containers."""
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Mapping):
        return snapshot(dict(islice(((key, value[key]) for key in value), MOST_ITEMS)), depth)
    tolist = getattr(value, "tolist", None)
    if callable(tolist):  # an array or a tensor; one of a single element serves as a number
        plain = tolist()
        while type(plain) is list and len(plain) == 1:
            plain = plain[0]
        return snapshot(plain, depth) if type(plain) is list else plain
    if hasattr(value, "__float__"):
        return float(value)
    if isinstance(value, Iterable) and not hasattr(value, "__fspath__"):
        return snapshot(list(islice(value, MOST_ITEMS)), depth)
    return text_of(value)


def is_numpy_scalar(value: Any) -> bool:
    """Return whether a value is one of numpy's scalars, which never change."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


def map_snapshot(value: Any) -> Any:
    """Return a snapshot of a map, or of an object that provides one: `to_dict()`, a dataclass, attributes."""
    if type(value) is dict or value is None or isinstance(value, Mapping | type):
        return snapshot(value)
    for name in ("to_dict", "_asdict"):
        if callable(method := getattr(value, name, None)):
            return snapshot(method())
    if dataclasses.is_dataclass(value):
        return snapshot({f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)})
    if hasattr(value, "__dict__") and not callable(value):
        return snapshot({name: item for name, item in vars(value).items() if not name.startswith("_")})
    return snapshot(value)


def fields_snapshot(fields: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return a snapshot of an event's fields, and about how many bytes it takes.

    A field that can't be read becomes a text that says so.
    """
    found = {}
    size = 0
    for name, value in fields.items():
        kind = type(value)
        if kind is str:
            size += len(value)
        elif kind not in PLAIN:
            try:
                value = map_snapshot(value) if name in MAPS else snapshot(value)
            except Exception:
                value = said(value)
            size += weight(value)
        found[name] = value
    return found, size


def data_snapshot(data: Any) -> Any:
    """Return a snapshot of a system event's data, which becomes JSON."""
    return data if type(data) in PLAIN else json.loads(json_text(data, LeftOut()))


def weight(value: Any) -> int:
    """Return about how many bytes a snapshot takes."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value)
    if kind is dict:
        return sum(ITEM_WEIGHT + (weight(item) if type(item) in WEIGHTY else 0) for item in value.values())
    if kind is list:
        if value and type(value[0]) not in WEIGHTY:  # a long list of numbers
            return ITEM_WEIGHT * len(value)
        return sum(ITEM_WEIGHT + weight(item) for item in value)
    return 0


WEIGHTY = frozenset({str, bytes, dict, list})
