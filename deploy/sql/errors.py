"""What a refused statement is answered at a terminal."""

from __future__ import annotations

import re

from evometrics.schemas.errors import EvometricsError
from evometrics.sinks.query import QueryFailed

PLACE = re.compile(r"failed at position \d+ \((?P<near>.*?)\) \(line (?P<line>\d+), col (?P<column>\d+)\)")


def described(text: str, error: EvometricsError) -> str:
    """Return an error's message; one of syntax shows its place in the statement `text`."""
    place = PLACE.search(str(error)) if isinstance(error, QueryFailed) else None
    lines = text.splitlines()
    if place is None or int(place["line"]) > len(lines):
        return str(error)
    near = place["near"] if place["near"] in ("end of query", "") else repr(place["near"])
    mark = " " * (int(place["column"]) - 1) + "^"
    where = f"line {place['line']}, column {place['column']}"
    return f"{where}: syntax error near {near}\n{lines[int(place['line']) - 1]}\n{mark}"
