"""What was left out is said in texts of bounded length, whatever it is, and the first of it by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evometrics.producers.events.left_out import MOST_NAMED, SHOWN, UNNOTED, LeftOut, said


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


class Long:
    def __repr__(self) -> str:
        return "<" + "l" * 500 + ">"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * SHOWN, "x" * SHOWN),
        ("x" * (SHOWN + 1), "x" * (SHOWN - 3) + "..."),
        (0.5, "0.5"),
        (True, "True"),
        (10**SHOWN - 1, "9" * SHOWN),
        (10**SHOWN, "a number of 665 bits"),
        (-(10**SHOWN), "a number of 665 bits"),
        (10**5000, "a number of 16610 bits"),
        ([[[[[1]]]]], "[[[[[...]]]]]"),
        (list(range(21)), f"{str(list(range(20)))[:-1]}, ...]"),
        (tuple(range(20)), str(tuple(range(20)))),
        ({n: n for n in range(21)}, f"{str({n: n for n in range(20)})[:-1]}, ...}}"),
        ("a\ud800", "a\\ud800"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_said_in_a_bounded_text(value: Any, text: str) -> None:
    assert said(value) == text


def test_a_value_that_has_no_text_is_said_by_its_type() -> None:
    assert "Broken" in said(Broken())
    assert len(said(Long())) <= SHOWN
    assert said(Long(), 10) == "<llllll..."
    assert said("x" * 10, 10) == "x" * 10


def test_the_first_values_are_named_and_the_others_counted() -> None:
    left_out = LeftOut()
    assert (left_out.count, left_out.entries()) == (0, {})
    for number in range(MOST_NAMED):
        left_out.add_within("kpis", str(number), None, "is no number")
    assert len(left_out.entries()) == MOST_NAMED and "more" not in left_out.entries()
    left_out.add("cost_usd", -1, "is negative")
    left_out.add("cost_usd", -2, "is negative")
    assert left_out.entries()["more"] == "2 further values"
    assert left_out.first == ("kpis[0]", "None: is no number")
    assert left_out.fields == {"kpis": MOST_NAMED, "cost_usd": 2}
    assert left_out.count == MOST_NAMED + 2
    assert json.loads(left_out.text()) == left_out.entries()


def test_a_field_that_is_noted_twice_keeps_its_first_reason_and_counts_twice() -> None:
    left_out = LeftOut()
    for value in (1, 2):
        left_out.add("success", value, "is neither true nor false")
    assert left_out.entries() == {"success": "1: is neither true nor false", "more": "1 further values"}


def test_what_is_noted_elsewhere_is_not_noted() -> None:
    UNNOTED.add("success", 1, "is neither true nor false")
    assert (UNNOTED.count, UNNOTED.entries()) == (0, {})
    assert (LeftOut.count, LeftOut.named) == (0, {})
