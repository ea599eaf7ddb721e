"""Takes what was typed apart: statements, and whether one asks for its rows below each other.

Several statements are separated by semicolons; `\\G` ends one, too, as in ClickHouse's and MySQL's clients.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from evometrics.sinks.query.text import first_word, own_format, tokens, without_end


@dataclass(frozen=True, slots=True)
class Typed:
    """A statement, and whether it ends with `\\G` or `FORMAT Vertical`, which it is without."""

    text: str
    vertical: bool = False


def statements(text: str) -> Iterator[Typed]:
    """Yield the statements of a text, without empty ones; the data behind an INSERT's FORMAT are its own."""
    start = 0
    for end, behind, vertical in ends(text):
        one = text[start:end]
        if first_word(one) == "INSERT" and re.search(r"\bFORMAT\s+\w+\s", one, re.IGNORECASE):
            break
        if without_end(one):
            yield typed(one, vertical=vertical)
        start = behind
    if without_end(text[start:]):
        yield typed(text[start:])


def typed(text: str, *, vertical: bool = False) -> Typed:
    """Return one statement as it is meant."""
    text = without_end(text)
    if (own_format(text) or "").upper() == "VERTICAL":
        *_, word, name = tokens(text)
        if (word[0].upper(), name[0].upper()) == ("FORMAT", "VERTICAL"):
            return Typed(text[: word.start()].rstrip(), vertical=True)
    return Typed(text, vertical)


def ends(text: str) -> Iterator[tuple[int, int, bool]]:
    """Yield where statements end, and where the next may begin; and whether `\\G` is what ends it."""
    before = None
    for token in tokens(text):
        if token[0] == ";":
            yield token.start(), token.end(), False
        elif token[0] == "G" and before is not None and before[0] == "\\" and before.end() == token.start():
            yield before.start(), token.end(), True
        before = token


def is_complete(text: str) -> bool:
    """Return whether what is typed ends a statement."""
    behind = [place for _, place, _ in ends(text)]
    return bool(behind) and not without_end(text[behind[-1] :])
