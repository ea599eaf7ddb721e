"""The difference between two texts, line by line, found in a bounded number of steps."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import Match, SequenceMatcher
from functools import lru_cache
from itertools import accumulate

from evometrics.deploy.ui.page import Rows

#: Unchanged lines around a change.
CONTEXT = 3
#: Comparisons of lines after which what is left counts as changed: repetitive texts would take minutes.
MOST_STEPS = 1_000_000
#: Differences that are kept: an open page asks for the same ones again.
KEPT = 16
#: Signs of lines that are in neither text.
HEAD, NO_END = "@", "\\"


@dataclass(frozen=True, slots=True)
class ChangedLine:
    """A line of a unified difference.

    Attributes:
        sign: `+` added, `-` removed, a space where it is in both; `HEAD` of a group, `NO_END` after a last
            line that has no end.
        old, new: its number in the old and in the new text, from 1; None where it is not in it.
        text: the line without its end.
    """

    sign: str
    old: int | None
    new: int | None
    text: str


@dataclass(frozen=True, slots=True)
class TextDifference:
    """The difference between two texts.

    Attributes:
        lines: the groups of changed lines, each after its head; none where the texts are equal.
        coarse: whether the comparison was ended early: changed lines may be in both texts.
    """

    lines: tuple[ChangedLine, ...]
    coarse: bool

    def number(self, sign: str) -> int:
        """Return how many lines have a sign."""
        return sum(line.sign == sign for line in self.lines)

    def unified(self) -> str:
        """Return it as a patch has it, without the names of files."""
        return "".join(f"{'' if line.sign == HEAD else line.sign}{line.text}\n" for line in self.lines)


class BoundedMatcher(SequenceMatcher[str]):
    """difflib's matcher, which finds little further in common after `MOST_STEPS`."""

    def __init__(self, old: Sequence[str], new: Sequence[str]) -> None:
        super().__init__(None, old, new)
        self.old, self.new = old, new
        places: dict[str, list[int]] = self.b2j  # type: ignore[attr-defined]
        self.before = [0, *accumulate(1 + len(places.get(line, ())) for line in old)]
        self.steps = 0

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> Match:
        """Return what both begin or end with, else the longest common run while there are steps left."""
        ahi, bhi = len(self.old) if ahi is None else ahi, len(self.new) if bhi is None else bhi
        most, size = min(ahi - alo, bhi - blo), 0
        while size < most and self.old[alo + size] == self.new[blo + size]:
            size += 1
        if size:
            return Match(alo, blo, size)
        while size < most and self.old[ahi - 1 - size] == self.new[bhi - 1 - size]:
            size += 1
        if size:
            return Match(ahi - size, bhi - size, size)
        if self.steps > MOST_STEPS:
            return Match(alo, blo, 0)
        self.steps += self.before[ahi] - self.before[alo]
        return super().find_longest_match(alo, ahi, blo, bhi)


@lru_cache(maxsize=KEPT)
def difference(old: str, new: str) -> TextDifference:
    """Return the unified difference from an old text to a new one."""
    matcher = BoundedMatcher(lines_of(old), lines_of(new))
    found = tuple(line for group in matcher.get_grouped_opcodes(CONTEXT) for line in changed(matcher, group))
    return TextDifference(found, matcher.steps > MOST_STEPS)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text with their ends; only a line feed ends one."""
    return list(io.StringIO(text, newline="\n"))


def changed(
    matcher: BoundedMatcher, group: Sequence[tuple[str, int, int, int, int]]
) -> Iterator[ChangedLine]:
    """Yield the lines of a group of difflib's operations after their head."""
    (_, old, _, new, _), (_, _, old_end, _, new_end) = group[0], group[-1]
    yield ChangedLine(HEAD, None, None, f"@@ -{place(old, old_end)} +{place(new, new_end)} @@")
    for kind, a, a_end, b, b_end in group:
        if kind == "equal":
            for n in range(a_end - a):
                yield from shown(" ", a + n + 1, b + n + 1, matcher.old[a + n])
            continue
        for n in range(a, a_end):
            yield from shown("-", n + 1, None, matcher.old[n])
        for n in range(b, b_end):
            yield from shown("+", None, n + 1, matcher.new[n])


def shown(sign: str, old: int | None, new: int | None, line: str) -> Iterator[ChangedLine]:
    """Yield a line, and that it has no end."""
    yield ChangedLine(sign, old, new, line.removesuffix("\n"))
    if not line.endswith("\n"):
        yield ChangedLine(NO_END, None, None, " No newline at end of file")


def place(begin: int, end: int) -> str:
    """Return a range of lines as the head of a group has it: the first, counted from 1, and how many."""
    size = end - begin
    return f"{begin + 1}" if size == 1 else f"{begin + bool(size)},{size}"


def texts(rows: Rows) -> str:
    """Return the texts of a section of texts."""
    return "\n".join(str(row["text"]) for row in rows)


def patches(rows: Rows) -> str:
    """Return the differences of a section of differences, one after the other, as a patch names the texts."""
    found = []
    for row in rows:
        if row["parent_text"] is not None:
            parent = " ".join(str(row["parent_agent_id"]).split())  # a name is one line
            found.append(
                f"--- {parent}\n+++ candidate\n{difference(row['parent_text'], row['text']).unified()}"
            )
    return "".join(found)


#: What a file of a section has, by the section's kind.
TEXTS = {"text": texts, "difference": patches}
