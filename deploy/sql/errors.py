"""What a refused statement is answered at a terminal."""

from __future__ import annotations

import re

from evometrics.deploy.console.tables import one_line, width
from evometrics.schemas.errors import EvometricsError
from evometrics.sinks.query import QueryFailed
from evometrics.sinks.query.text import TOKEN, without_end

PLACE = re.compile(r"(?P<what>\w+ quoted [^:]*: )?Syntax error.*?: failed at position (?P<position>\d+)\b")
#: What ClickHouse adds if a parenthesis is at fault.
UNMATCHED = re.compile(r"Unmatched parentheses: .*? is never closed|Unmatched parentheses: [^.]*")
MAX_NEAR = 40


def described(text: str, error: EvometricsError) -> str:
    """Return an error's message; one of syntax shows its place in the statement `text`.

    Its end is the place of what ClickHouse found in the words that a client adds.
    """
    place = PLACE.search(str(error)) if isinstance(error, QueryFailed) else None
    if place is None:
        return str(error)
    sent = without_end(text)
    start = text.index(sent)
    before = text[:start] + sent.encode()[: int(place["position"]) - 1].decode(errors="ignore")
    sent = text[: start + len(sent)]
    token = TOKEN.match(sent, len(before))
    near = f"near {token[0][:MAX_NEAR]!r}" if token else "at the end of the statement"
    lines = before.split("\n")
    found = UNMATCHED.search(str(error))
    why = f": {place['what'].removesuffix(': ')}" if place["what"] else f": {found[0]}" if found else ""
    written = sent.split("\n")[len(lines) - 1].rstrip("\r")
    mark = " " * width(one_line(lines[-1])) + "^"
    where = f"line {len(lines)}, column {len(lines[-1]) + 1}"
    return f"{where}: syntax error {near}{why}\n{one_line(written)}\n{mark}"
