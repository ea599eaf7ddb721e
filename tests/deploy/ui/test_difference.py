"""A difference turns the old text into the new one, whatever they are, in a bounded number of steps."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evometrics.deploy.ui import difference as module
from evometrics.deploy.ui.difference import (
    CONTEXT,
    ChangedLine,
    TextDifference,
    difference,
    lines_of,
    patches,
)

TEXTS = st.text(alphabet="ab\n\r ü", max_size=60)


def applied(found: TextDifference, old: str) -> str:
    """Return the text that a difference makes of the old one; fails where it does not fit."""
    before, after = lines_of(old), list[str]()
    place = 0
    for number, line in enumerate(found.lines):
        bare = found.lines[number + 1].sign == "\\" if number + 1 < len(found.lines) else False
        text = line.text + ("" if bare else "\n")
        if line.old is not None:
            while place < line.old - 1:
                after.append(before[place])
                place += 1
            assert before[place] == text
            place += 1
        if line.new is not None:
            assert len(after) == line.new - 1
            after.append(text)
    return "".join([*after, *before[place:]])


@given(TEXTS, TEXTS)
def test_applied_to_the_old_text_it_gives_the_new_one(old: str, new: str) -> None:
    found = difference(old, new)
    assert applied(found, old) == new
    assert bool(found.lines) == (old != new)
    assert not found.coarse


def test_it_reads_like_a_patch() -> None:
    old = "".join(f"line {n}\n" for n in range(20))
    new = old.replace("line 9\n", "line nine\n") + "the end"
    row = {"parent_agent_id": "run/one\nline", "parent_text": old, "text": new}
    assert patches([row, {**row, "parent_text": None}]).splitlines() == [
        "--- run/one line",
        "+++ candidate",
        "@@ -7,7 +7,7 @@",
        *(f" line {n}" for n in range(9 - CONTEXT, 9)),
        "-line 9",
        "+line nine",
        *(f" line {n}" for n in range(10, 10 + CONTEXT)),
        "@@ -18,3 +18,4 @@",
        *(f" line {n}" for n in range(17, 20)),
        "+the end",
        "\\ No newline at end of file",
    ]


def test_lines_have_their_numbers_in_both_texts() -> None:
    assert difference("a\nb\n", "b\nc\n").lines[1:] == (
        ChangedLine("-", 1, None, "a"),
        ChangedLine(" ", 2, 1, "b"),
        ChangedLine("+", None, 2, "c"),
    )


@pytest.mark.parametrize("kinds", [2, 110, 5000])
def test_texts_that_repeat_themselves_are_compared_in_a_bounded_number_of_steps(
    kinds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_STEPS", 20_000)
    draw = random.Random(kinds)
    old, new = ("".join(f"{draw.randrange(kinds)}\n" for _ in range(3000)) for _ in range(2))
    steps = module.BoundedMatcher(lines_of(old), lines_of(new))
    steps.get_opcodes()
    assert steps.steps < 20_000 + 3000 * (1 + 3000 // 100)  # the last one may pass the limit
    found = difference(old, new)
    assert found.coarse == (steps.steps > 20_000)
    assert applied(found, old) == new
