"""Records what of an event could not be kept: a bad value costs only that value, never the event.

An event whose values were all kept has no record. Otherwise the event's metadata names each value that was
left out, truncated or corrected, as JSON under `LEFT_OUT`: field (and name or place within it) to the value
as text and the reason. A system event, which has no metadata, has it in its data.
"""

from __future__ import annotations

import json
import reprlib
from typing import Any

#: The key in an event's metadata, or in a system event's data.
LEFT_OUT = "evometrics.left_out"
#: Most entries that are named; of more only the number is given.
MOST_NAMED = 50
#: Most characters shown of a value, and of a name.
SHOWN = 200
#: What most events have; never changed.
NOTHING: dict[str, str] = {}
NO_FIELDS: dict[str, int] = {}


class _Repr(reprlib.Repr):
    """Texts of bounded size for any object, whatever its `__repr__` does."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = SHOWN
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 4, 20, 20, 20

    def repr_int(self, x: int, level: int) -> str:
        # repr() of a very large number raises
        return super().repr_int(x, level) if abs(x) < 10**SHOWN else f"a number of {x.bit_length()} bits"


_repr = _Repr()


def said(value: Any, characters: int = SHOWN) -> str:
    """Return a text of bounded length for any value, in characters that UTF-8 can encode; never raises."""
    try:
        text = str.__str__(value) if type(value) is str else _repr.repr(value)
    except Exception:
        text = f"a {type(value).__name__} without a text form"
    text = text if len(text) <= characters else f"{text[: characters - 3]}..."
    return text.encode("utf-8", "backslashreplace").decode()


class LeftOut:
    """Collects what was left out of one event; nearly always nothing.

    Attributes:
        count: values left out, truncated or corrected.
        named: the first of them, field to value and reason.
        fields: how many by field.
    """

    # Class attributes until something is noted: creating an object then costs next to nothing.
    count = 0
    named = NOTHING
    fields = NO_FIELDS

    def add(self, field: str, value: object, reason: str) -> None:
        """Note a field's value, or a part of it."""
        self.note(field, field, value, reason)

    def add_within(self, field: str, name: str, value: object, reason: str) -> None:
        """Note a value within a map or list."""
        self.note(field, f"{field}[{said(name)}]", value, reason)

    def note(self, field: str, where: str, value: object, reason: str) -> None:
        if not self.count:
            self.named, self.fields = {}, {}
        self.count += 1
        self.fields[field] = self.fields.get(field, 0) + 1
        if len(self.named) < MOST_NAMED:
            self.named.setdefault(where, f"{said(value)}: {reason}")

    @property
    def first(self) -> tuple[str, str]:
        """The first field that was noted, and what was noted."""
        return next(iter(self.named.items()))

    def entries(self) -> dict[str, str]:
        """Return all of it: place to value and reason."""
        more = self.count - len(self.named)
        return {**self.named, "more": f"{more} further values"} if more > 0 else dict(self.named)

    def text(self) -> str:
        """Return all of it as JSON."""
        return json.dumps(self.entries())


class Unnoted(LeftOut):
    """Collects nothing: for reading values that are noted elsewhere."""

    def note(self, field: str, where: str, value: object, reason: str) -> None:
        """Ignore it."""


UNNOTED = Unnoted()
