"""Cells of one row of a file, converted to what events hold, or refused with the column's name.

A cell that is missing, null or empty gives None: what that means is up to the field.
"""

from __future__ import annotations

import ast
import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NoReturn

from evometrics.producers.events import moments
from evometrics.producers.events.left_out import said
from evometrics.schemas.errors import EvometricsError

TRUE_WORDS = frozenset({"1", "1.0", "true", "t", "yes", "y"})
FALSE_WORDS = frozenset({"0", "0.0", "false", "f", "no", "n"})
#: How many characters of a value a reason shows.
SHOWN_CHARACTERS = 80
#: More digits than any of our numbers has, and fewer than Python refuses to read.
MOST_DIGITS = 400
#: A zero byte as ClickHouse writes it; before a digit Python reads it as another character.
ZERO_BYTE = re.compile(r"(?<!\\)((?:\\\\)*)\\0")
#: Beyond this a float can't represent every whole number.
EXACT = 2**53


class Unreadable(EvometricsError, ValueError):
    """A row that gives no event; `str()` names the column and what is wrong with it."""


def refuse(name: str, value: object, reason: str) -> NoReturn:
    """Raise `Unreadable` for a cell."""
    shown = repr(value[: SHOWN_CHARACTERS + 1]) if isinstance(value, str) else said(value)
    if len(shown) > SHOWN_CHARACTERS:
        shown = f"{shown[:SHOWN_CHARACTERS]}…"
    raise Unreadable(f"{name}: {shown} {reason}")


class Cells:
    """The cells of a row by name; each method takes a name and its alternatives.

    Remembers which names were requested, so that `rest` returns all others.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.row = row
        self.asked: set[str] = set()

    def find(self, *names: str) -> tuple[str, Any]:
        """Return the first of these cells that has a value, with its name; else a name and None."""
        self.asked.update(names)
        for name in names:
            value = self.row.get(name)
            if value is not None and value != "":
                return name, value
        return names[0], None

    def text(self, *names: str) -> str | None:
        """Return a text; numbers are written out."""
        name, value = self.find(*names)
        return None if value is None else text(name, value)

    def number(self, *names: str) -> float | None:
        """Return a finite number."""
        name, value = self.find(*names)
        return None if value is None else number(name, value)

    def whole(self, *names: str) -> int | None:
        """Return a whole number."""
        name, value = self.find(*names)
        return None if value is None else whole(name, value)

    def flag(self, *names: str) -> bool | None:
        """Return true or false."""
        name, value = self.find(*names)
        return None if value is None else flag(name, value)

    def moment(self, *names: str) -> int | None:
        """Return a time in microseconds since 1970."""
        name, value = self.find(*names)
        return None if value is None else moment(name, value)

    def identity(self, *names: str) -> str | None:
        """Return a UUID's usual text."""
        name, value = self.find(*names)
        if value is None:
            return None
        try:
            return str(uuid.UUID(str(value)))
        except ValueError:
            refuse(name, value, "is not a UUID")

    def numbers(self, *names: str) -> dict[str, float]:
        """Return a map of numbers, from a map or its text; what is null or NaN in it is left out."""
        name, value = self.find(*names)
        found = {} if value is None else mapping(name, value)
        return {
            text(name, key): number(f"{name}[{key}]", item)
            for key, item in found.items()
            if item is not None and item == item
        }

    def texts(self, *names: str) -> dict[str, str]:
        """Return a map of texts, from a map or its text; other values become JSON, null is left out."""
        name, value = self.find(*names)
        found = {} if value is None else mapping(name, value)
        return {
            text(name, key): text(f"{name}[{key}]", as_text(item))
            for key, item in found.items()
            if item is not None
        }

    def items(self, *names: str) -> list[Any]:
        """Return a list, from a list or its text."""
        name, value = self.find(*names)
        found = written(name, value) if isinstance(value, str) else value
        if found is None:
            return []
        if isinstance(found, str | Mapping) or not isinstance(found, Iterable):
            refuse(name, value, "is not a list")
        return list(found)

    def beginning(self, prefix: str) -> dict[str, float]:
        """Return, by name, the numbers of the columns with a prefix that were not requested yet."""
        names = [name for name in self.row if name.startswith(prefix) and name not in self.asked]
        found = {name: self.number(name) for name in names}
        return {name.removeprefix(prefix): value for name, value in found.items() if value is not None}

    def rest(self) -> dict[str, Any]:
        """Return the cells that have a value and were not requested."""
        return {
            name: value
            for name, value in self.row.items()
            if name not in self.asked and value is not None and value != ""
        }


def text(name: str, value: Any) -> str:
    """Return a text that UTF-8 can encode; 7.0 becomes 7: whole numbers with gaps arrive as floats."""
    if isinstance(value, bytes | bytearray):
        refuse(name, value, "is not text")
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        value = int(value)
    found = value if isinstance(value, str) else as_text(value)
    if not found.isascii():
        try:
            found.encode()
        except UnicodeEncodeError:
            refuse(name, value, "is not UTF-8")
    return found


def as_text(value: Any) -> str:
    """Return text unchanged and anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise Unreadable(f"{said(value)}: can't be written as JSON") from None


def number(name: str, value: Any) -> float:
    """Return a finite number, also from a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        refuse(name, value, "is not a number")
    try:
        if isinstance(value, str) and "_" in value:
            raise ValueError  # only Python reads 1_0 as ten
        found = float(value)
    except (ValueError, OverflowError):
        comma = isinstance(value, str) and value.count(",") == 1 and "." not in value
        refuse(name, value, "is not a number" + (": decimals have a point, not a comma" if comma else ""))
    if not math.isfinite(found):
        refuse(name, value, "is not finite")
    return found


def whole(name: str, value: Any) -> int:
    """Return a whole number, exact if it was one already."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().removeprefix("-").isdecimal():
        if len(value) > MOST_DIGITS:
            refuse(name, value, f"has {len(value)} digits")
        return int(value)
    found = number(name, value)
    if found != int(found):
        refuse(name, value, "is not a whole number")
    return int(found)


def flag(name: str, value: Any) -> bool:
    """Return true or false from a flag, 0 or 1, or the words for them."""
    word = str(value).strip().lower()
    if word in TRUE_WORDS:
        return True
    if word not in FALSE_WORDS:
        refuse(name, value, "is neither true nor false")
    return False


def moment(name: str, value: Any) -> int:
    """Return microseconds since 1970 from a time, Unix time or an ISO 8601 text; see `moments`."""
    try:
        if isinstance(value, date):
            return moments.of_date(value)
        if isinstance(value, str):
            return moments.of_text(value)
        found = number(name, value)
        return moments.of_number(value if isinstance(value, int) else found)
    except moments.NoTime as error:
        refuse(name, value, str(error))


def mapping(name: str, value: Any) -> dict[Any, Any]:
    """Return a map: unchanged, from pairs (a Parquet map), or from its text."""
    found = written(name, value) if isinstance(value, str) else value
    if isinstance(found, Mapping):
        return dict(found)
    if isinstance(found, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in found):
        return dict(found)
    refuse(name, value, "is neither a map nor JSON of one")


def written(name: str, value: str) -> Any:
    """Return what a text represents: JSON, or a map or list as ClickHouse and Python write it, with '."""
    try:
        return loads(name, value)
    except Unreadable:
        if value.lstrip()[:1] not in ("{", "["):
            raise
        try:
            return ast.literal_eval(ZERO_BYTE.sub(r"\1\\x00", value.strip()))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            pass
        raise


def loads(name: str, value: str) -> Any:
    """Return the value of a JSON text."""
    try:
        return json.loads(
            value, parse_constant=lambda word: refuse(name, word, "is not JSON"), parse_int=bounded_int
        )
    except Unreadable:
        raise
    except (ValueError, RecursionError):
        refuse(name, value, "is not JSON")


def bounded_int(digits: str) -> int | str:
    """Return a number of a JSON text; one with more digits than any of ours stays a text."""
    return int(digits) if len(digits) <= MOST_DIGITS else digits
