"""Reads a statement's text as far as a client must: its tokens, its parameters, where it ends."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

TOKEN = re.compile(
    r"""(?P<gap>\s+|--[^\n]*|/\*.*?(?:\*/|\Z)|\#[ !][^\n]*)
    |(?P<quoted>'(?:[^'\\]|\\.|'')*(?:'|\Z)|"(?:[^"\\]|\\.|"")*(?:"|\Z)|`(?:[^`\\]|\\.|``)*(?:`|\Z)
        |\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))
    |(?P<parameter>\{\s*(?P<name>[A-Za-z_]\w*)\s*:(?P<type>[^{}]+)\})
    |(?P<word>[A-Za-z_]\w*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


def tokens(text: str) -> Iterator[re.Match[str]]:
    """Yield the tokens that say something, without comments and blanks."""
    return (token for token in TOKEN.finditer(text) if not token["gap"])


def words(text: str) -> list[str]:
    """Return the words and signs of a statement, in capitals; what is quoted is left out."""
    return [token[0].upper() for token in tokens(text) if not token["quoted"]]


def first_word(text: str) -> str:
    """Return the first word of a statement, in capitals; empty if there is none."""
    return next((token[0].upper() for token in tokens(text) if token["word"]), "")


def parameters(text: str) -> dict[str, str]:
    """Return the types of a statement's parameters `{name:Type}`, by name."""
    return {token["name"]: token["type"].strip() for token in tokens(text) if token["parameter"]}


def own_format(text: str) -> str | None:
    """Return the output format that a query names itself; None for none, and for an INSERT."""
    found = words(text)
    if "INSERT" in found[:1]:
        return None
    depth, named = 0, None
    for word, following in itertools.pairwise([*found, ""]):
        depth += (word in "([") - (word in ")]") if len(word) == 1 else 0
        if word == "FORMAT" and depth == 0 and following.isidentifier():
            named = following
    return named


def names_outfile(text: str) -> bool:
    """Return whether a statement asks for a file on the client's side, which a server can't write."""
    return ("INTO", "OUTFILE") in itertools.pairwise(words(text))


def without_end(text: str) -> str:
    """Return a statement without the semicolons, blanks and comments behind it; empty if nothing is left."""
    end = 0
    for token in tokens(text):
        if token[0] != ";":
            end = token.end()
    return text[:end].strip()
