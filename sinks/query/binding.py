"""Binds the values of a statement's parameters `{name:Type}`: as text, which the server parses by the type.

Times are sent as seconds since 1970, so that no server's time zone matters, nor the hour that a change of
clocks repeats (https://clickhouse.com/docs/interfaces/http#cli-queries-with-parameters).
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

from evometrics.schemas.errors import EvometricsError
from evometrics.sinks.query.literals import read_literal
from evometrics.sinks.query.text import parameters
from evometrics.sinks.query.times import DATES, TIMES, date_text, is_number, time_text, utc

WRAPPED = re.compile(r"(?:LowCardinality|Nullable)\((.*)\)\Z", re.DOTALL)
NAMED = re.compile(r"(\w+)\s*(?:\((.*)\))?\Z", re.DOTALL)
PARTED = frozenset({"Array", "Tuple", "Map", "Nested"})
OF_TIME = re.compile(r"\bDate(?:32)?\b|\bDateTime(?:32|64)?\b")
NULL = r"\N"


class ParameterError(EvometricsError, ValueError):
    """A parameter's value is missing, not used, or not of its type; the message names it."""


def given(text: str, values: Mapping[str, str]) -> dict[str, str | None]:
    """Return values that were given as text for a statement: `\\N` is NULL where the type takes it."""
    types = parameters(text)
    return {
        name: None if value == NULL and nullable(types.get(name, "")) else value
        for name, value in values.items()
    }


class Bound:
    """A parameter's text, which clickhouse-connect sends as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def bound(text: str, values: Mapping[str, Any]) -> dict[str, Bound]:
    """Return a statement's parameters as the server takes them. Raises `ParameterError`.

    A `datetime` without a zone is UTC. A time may also be ISO text or seconds since 1970; other text is
    ClickHouse's own.
    """
    types = parameters(text)
    if unused := sorted(values.keys() - types.keys()):
        known = ", ".join(types) or "none"
        raise ParameterError(
            f"the statement has no parameter {', '.join(unused)} (it has {known}); "
            "it is written as {name:Type}, such as {agent:String}"
        )
    if lacking := sorted(types.keys() - values.keys()):
        named = ", ".join(f"{name} ({types[name]})" for name in lacking)
        raise ParameterError(f"the statement's parameter {named} has no value")
    return {name: Bound(top(name, kind, values[name])) for name, kind in types.items()}


def top(name: str, kind: str, value: Any) -> str:
    """Return the text of a parameter."""
    try:
        if value is None:
            if not nullable(kind):
                raise ValueError(f"None needs Nullable({kind})")
            return NULL
        inner = unwrapped(kind)
        if base(inner)[0] in PARTED and isinstance(value, str):
            return timed(inner, value) if OF_TIME.search(inner) and "Nested" not in inner else value
        return escaped(plain(inner, value)) if scalar(value) else nested(inner, value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ParameterError(f"parameter {name} ({kind}): {value!r:.200}: {error}") from None


def timed(kind: str, text: str) -> str:
    """Return ClickHouse's words for an array, a tuple or a map, with its times checked and in UTC."""
    try:
        value = read_literal(text)
    except ValueError:
        return text  # for the server to read
    try:
        return nested(kind, value)
    except TypeError:
        return text  # of another shape, for the server to refuse


def scalar(value: Any) -> bool:
    return not isinstance(value, list | tuple | set | frozenset | Mapping)


def nested(kind: str, value: Any) -> str:
    """Return a value within an array, a tuple or a map, as SQL has it."""
    if value is None:
        if not nullable(kind):
            raise ValueError(f"None needs Nullable({kind})")
        return "NULL"
    name, inner = base(unwrapped(kind))
    if name == "Map" and isinstance(value, Mapping):
        key, item = arguments(inner)
        return "{" + ",".join(f"{nested(key, k)}:{nested(item, v)}" for k, v in value.items()) + "}"
    if name == "Array" and isinstance(value, list | tuple | set | frozenset):
        return "[" + ",".join(nested(inner, each) for each in value) + "]"
    kinds = [unnamed(each) for each in arguments(inner)]
    if name == "Tuple" and len(kinds) == 1 and scalar(value):
        value = (value,)  # brackets around one element are none in Python
    if name == "Tuple" and isinstance(value, list | tuple):
        if len(kinds) != len(value):
            raise ValueError(f"has {len(value)} elements instead of {len(kinds)}")
        return "(" + ",".join(nested(k, v) for k, v in zip(kinds, value, strict=True)) + ")"
    if not scalar(value) or name in ("Map", "Array", "Tuple"):
        raise TypeError(f"{value!r:.100} is no {name}")
    text = plain(unwrapped(kind), value)
    numeric = isinstance(value, bool | int | float | Decimal) or (name in TIMES and is_number(text))
    return text if numeric else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def plain(kind: str, value: Any) -> str:
    """Return a single value as text."""
    value = value.value if isinstance(value, Enum) else value
    if type(value).__module__ == "numpy":
        value = value.item()
    name, inner = base(kind)
    if name in TIMES:
        return time_text(name, inner, value)
    if name in DATES:
        return date_text(name, value)
    if isinstance(value, dt.datetime):
        return utc(value).isoformat(" ").removesuffix("+00:00")
    if isinstance(value, bool):
        return str(value).lower() if name == "Bool" else str(int(value))
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    return bytes(value).decode() if isinstance(value, bytes | bytearray) else str(value)


def escaped(text: str) -> str:
    """Return text as the format TabSeparated has it, by which the server reads a parameter."""
    for sign, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\0", "\\0")):
        text = text.replace(sign, written)
    return text


def nullable(kind: str) -> bool:
    """Return whether a type takes NULL."""
    return re.match(r"(LowCardinality\()?Nullable\(|Variant\(|Dynamic", kind) is not None


def unwrapped(kind: str) -> str:
    """Return a type without Nullable and LowCardinality."""
    while found := WRAPPED.match(kind):
        kind = found[1].strip()
    return kind


def base(kind: str) -> tuple[str, str]:
    """Return a type's name and its arguments."""
    found = NAMED.match(kind)
    return (found[1], found[2] or "") if found else (kind, "")


def arguments(text: str) -> list[str]:
    """Return the arguments of a type."""
    found, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            found.append(text[start:place].strip())
            start = place + 1
    return [*found, text[start:].strip()]


def unnamed(element: str) -> str:
    """Return the type of a tuple's element, which may have a name before it."""
    name, _, kind = element.partition(" ")
    return kind.strip() if kind and "(" not in name else element
