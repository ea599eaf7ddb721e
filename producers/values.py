"""Values as orchestrators hand them over, turned into what the schemas take, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from evometrics.schemas.binary import fits
from evometrics.schemas.validation import InvalidEvent


def given(event: object, *names: str) -> Any:
    """Return the first of these attributes that the event has and that is not None."""
    for name in names:
        value = getattr(event, name, None)
        if value is not None:
            return value
    return None


def finite(value: Any, record: str, name: str) -> float:
    """Return a number as float. Raises `InvalidEvent` naming the field."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InvalidEvent(record, name, f"{value!r} is no number") from None
    if not abs(number) < float("inf"):
        raise InvalidEvent(record, name, f"{value!r} is not finite")
    return number


def whole(value: Any, record: str, name: str) -> int:
    """Return a whole number. Raises `InvalidEvent` naming the field."""
    if type(value) is int:
        return value
    number = finite(value, record, name)
    if number != int(number):
        raise InvalidEvent(record, name, f"{value!r} is no whole number")
    return int(number)


def text(value: Any) -> str:
    """Return text as it is and anything else as JSON; None as empty."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, default=str)


def numbers(value: Any, record: str, name: str) -> dict[str, float]:
    """Return a KPI map with plain floats: numpy's numbers count, anything else is left for validation."""
    if value is None:
        return {}
    if not isinstance(value, (dict, Mapping)):
        raise InvalidEvent(record, name, f"{type(value).__name__} is no map of KPI names to numbers")
    if fits("map of double", value):
        return dict(value)
    return {key: plain(item) for key, item in value.items()}


def plain(value: Any) -> Any:
    """Return any real number as float (`numpy.float32` is none to Avro), anything else unchanged."""
    return value if isinstance(value, bool) or not isinstance(value, Real) else float(value)


def items(value: Any, record: str, name: str) -> list[Any]:
    """Return a list of any iterable but text."""
    if value is None:
        return []
    if isinstance(value, str) or not isinstance(value, (list, Iterable)):
        raise InvalidEvent(record, name, f"{type(value).__name__} is no list")
    return list(value)


def texts(value: Any, record: str) -> dict[str, str]:
    """Return metadata as text by name."""
    if value is None:
        return {}
    if not isinstance(value, (dict, Mapping)):
        raise InvalidEvent(record, "metadata", f"{type(value).__name__} is no map")
    if fits("map of string", value):
        return dict(value)
    return {text(key): text(item) for key, item in value.items()}
