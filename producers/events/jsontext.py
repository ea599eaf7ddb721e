"""Any data as JSON text: what JSON can't represent becomes text, what it forbids is left out and named."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from datetime import date
from enum import Enum
from itertools import islice
from typing import Any

from evometrics.producers.events.left_out import LEFT_OUT, SHOWN, LeftOut, said

FIELD = "data"
#: Most characters of JSON in an event's data: well below an event's size limit.
MOST_CHARACTERS = 400_000
#: Most levels of nesting, and most values altogether; what exceeds them becomes text.
MOST_DEPTH, MOST_VALUES = 40, 50_000
#: A whole number of more bits is not read exactly by most JSON parsers.
MOST_BITS = 64


def json_text(data: Any, left_out: LeftOut) -> str:
    """Return data as JSON; a map names under `evometrics.left_out` what was left out. None gives `{}`."""
    if data is None and not left_out.count:
        return "{}"
    simple = Simplifier(left_out)
    plain = simple.value(data, "", MOST_DEPTH)
    text = json.dumps(plain)
    if len(text) > MOST_CHARACTERS:
        left_out.add(FIELD, f"{len(text)} characters", "too large for an event; cut")
        plain = {"cut": text[: MOST_CHARACTERS // 4]}
    elif not left_out.count:
        return text
    plain = plain if isinstance(plain, dict) else {"data": plain}
    return json.dumps({**plain, LEFT_OUT: left_out.entries()})


class Simplifier:
    """Converts any value to one that JSON can represent, with a limit on the total number of values."""

    def __init__(self, left_out: LeftOut) -> None:
        self.left_out = left_out
        self.room = MOST_VALUES
        self.above: set[int] = set()

    def value(self, value: Any, where: str, depth: int) -> Any:
        """Return what JSON can represent of a value; `where` is its place in the data."""
        self.room -= 1
        kind = type(value)
        if value is None or kind is str or kind is bool:
            return value
        if kind is int or kind is float:
            return self.number(value, where)
        try:
            return self.other(value, where, depth)
        except Exception:
            return said(value)

    def number(self, value: int | float, where: str) -> Any:
        """Return a number that JSON can represent; one of more bits as text."""
        if isinstance(value, int):
            return value if value.bit_length() <= MOST_BITS else said(value)
        if math.isfinite(value):
            return value
        self.left_out.add_within(FIELD, where or "value", value, "is not a JSON number")
        return None

    def other(self, value: Any, where: str, depth: int) -> Any:
        """`value` for anything but plain texts and plain numbers."""
        if isinstance(value, Enum):
            return self.value(value.value, where, depth - 1)
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int | float):
            return self.number(int(value) if isinstance(value, int) else float(value), where)
        if id(value) in self.above or depth <= 0 or self.room <= 0:
            self.left_out.add_within(FIELD, where or "value", value, "contains itself, or too much")
            return said(value)
        inner = contents(value)
        if inner is None:
            return said(value, 10 * SHOWN)
        self.above.add(id(value))
        try:
            if isinstance(inner, dict):
                found = {
                    key: self.value(item, f"{where}.{key}" if where else key, depth - 1)
                    for key, item in islice(inner.items(), max(0, self.room))
                }
            elif isinstance(inner, list):
                kept = inner[: max(0, self.room)]
                return [self.value(item, f"{where}[{i}]", depth - 1) for i, item in enumerate(kept)]
            else:
                return self.value(inner, where, depth - 1)
        finally:
            self.above.discard(id(value))
        return found


def contents(value: Any) -> Any:
    """Return a container's entries as a dict or list, or a value that represents it; None for others."""
    if isinstance(value, Mapping):
        return {key_text(key): value[key] for key in islice(value, MOST_VALUES)}
    if isinstance(value, bytes | bytearray):
        return bytes(value[: 10 * SHOWN]).decode("utf-8", "backslashreplace")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        return tolist()
    if isinstance(value, Iterable):
        return list(islice(value, MOST_VALUES))
    return None


def key_text(key: Any) -> str:
    """Return a map's key as JSON has it."""
    if isinstance(key, Enum):
        key = key.value
    return key if type(key) is str else said(key)
