"""Markdown that GitHub and MkDocs read alike."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence

#: Text in backticks, and what stands between two such.
PIECES = re.compile(r"(`+.+?`+)")
ARGUMENT = re.compile(r"    (\w+): (.*)")


def document(title: str, *blocks: str) -> str:
    """Return a page: its title, a note on where it comes from, then the blocks."""
    note = "<!-- Made from the code by `python -m tests.reference`; change the code, then run it. -->"
    return "\n\n".join([note, f"# {title}", *(block.strip("\n") for block in blocks if block)]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown in one line, as `cell` makes them of text."""
    lines = [f"| {' | '.join(row)} |" for row in ([*head], ["---"] * len(head), *rows)]
    return "\n".join(lines)


def cell(text: str) -> str:
    """Return a text as it may stand in a table: in one line, without what Markdown would take for its own."""
    pieces = PIECES.split(" ".join(text.split()))
    assert not any("|" in code for code in pieces[1::2]), f"no | within backticks in a table: {text}"
    return "".join(piece if piece.startswith("`") else re.sub(r"([|*<])", r"\\\1", piece) for piece in pieces)


def code(text: str) -> str:
    """Return a text as code."""
    return f"`{text}`"


def listed(words: Iterable[str]) -> str:
    """Return words, each as code, with commas between them."""
    return ", ".join(map(code, words))


def paragraphs(docstring: str | None) -> list[str]:
    """Return a docstring's paragraphs of prose, in lines of their own: up to its first section or example."""
    found = []
    for paragraph in inspect.cleandoc(docstring or "").split("\n\n"):
        if re.match(r"(Attributes|Args|Returns|Raises):$", paragraph.split("\n")[0]):
            break
        if not paragraph.startswith("    "):
            found.append(" ".join(paragraph.split()))
    return [each for each in found if each]


def attributes(docstring: str | None) -> dict[str, str]:
    """Return what a docstring says under `Attributes:`, by name."""
    _, _, rest = inspect.cleandoc(docstring or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in rest.split("\n"):
        if named := ARGUMENT.fullmatch(line):
            name, found[named[1]] = named[1], named[2]
        elif line.startswith("        ") and name:
            found[name] += f" {line.strip()}"
        else:
            break
    return found


def sentence(text: str) -> str:
    """Return a text that begins with a capital and ends with a full stop."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


def wrapped(text: str) -> str:
    """Return a paragraph in lines of 110 characters; what stands in backticks is not broken."""
    whole = PIECES.sub(lambda found: found[0].replace(" ", "\0"), " ".join(text.split()))
    lines = textwrap.fill(whole, 110, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\0", " ")
