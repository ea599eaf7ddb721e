"""A cell of a file becomes what an event holds, or is refused with its column and the reason."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest

from evometrics.producers.events.cells import MOST_DIGITS, Cells, Unreadable

#: However a reason says that a value is none of a kind.
NO = "is (no|not a)"
MILLION = "1" + "0" * (MOST_DIGITS - 1)


def cell(value: Any) -> Cells:
    return Cells({"x": value})


@pytest.mark.parametrize("value", [None, ""])
def test_a_cell_without_a_value_is_none_and_one_without_a_name_too(value: Any) -> None:
    cells = cell(value)
    for read in (cells.text, cells.number, cells.whole, cells.flag, cells.moment, cells.identity):
        assert read("x") is None
        assert read("y") is None
    assert (cells.numbers("x"), cells.texts("x"), cells.items("x")) == ({}, {}, [])


def test_of_several_names_the_first_with_a_value_counts_and_all_count_as_asked_for() -> None:
    cells = Cells({"a": None, "b": "", "c": 0, "d": 4, "e": 5, "f": None})
    assert cells.number("a", "b", "c", "d") == 0.0
    assert cells.rest() == {"e": 5}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("7.0", "7.0"),
        (7, "7"),
        (7.0, "7"),
        (7.5, "7.5"),
        (-3.0, "-3"),
        (2.0**53 - 1, "9007199254740991"),
        (2.0**53, "9007199254740992.0"),
        (True, "true"),
        (["ü", Decimal("0.5")], '["ü", "0.5"]'),
    ],
)
def test_a_text_may_come_as_another_value(value: Any, text: str) -> None:
    assert cell(value).text("x") == text


@pytest.mark.parametrize(
    ("value", "number"), [(1, 1.0), ("0.5", 0.5), (" 2 ", 2.0), (Decimal("0.25"), 0.25), ("1e3", 1000.0)]
)
def test_a_number_may_come_as_text(value: Any, number: float) -> None:
    assert cell(value).number("x") == number


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, f"x: True {NO} number"),
        ([1], rf"x: \[1\] {NO} number$"),
        ("1_0", f"x: '1_0' {NO} number$"),
        ("fast", f"x: 'fast' {NO} number$"),
        ("0,5", f"x: '0,5' {NO} number: decimals have a point, not a comma$"),
        ("1,000.5", f"x: '1,000.5' {NO} number$"),
        ("1,000,000", f"x: '1,000,000' {NO} number$"),
        ("inf", "x: 'inf' is not finite"),
        (10**400, f"{NO} number$"),
        ("y" * 78 + "!", f"x: '{'y' * 78}!… {NO} number"),
        ("y" * 78, f"x: '{'y' * 78}' {NO} number"),
    ],
)
def test_what_is_no_number_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        cell(value).number("x")


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (2**63 + 1, 2**63 + 1),
        (str(2**63 + 1), 2**63 + 1),
        (" -12 ", -12),
        (4.0, 4),
        ("4.0", 4),
        (MILLION, 10 ** (MOST_DIGITS - 1)),
    ],
)
def test_a_whole_number_is_exact(value: Any, whole: int) -> None:
    assert cell(value).whole("x") == whole


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, f"{NO} number"),
        (1.5, f"x: 1.5 {NO} whole number"),
        ("0.5", f"x: '0.5' {NO} whole number"),
        ("--1", f"{NO} number"),
        (MILLION + "0", f"has {MOST_DIGITS + 1} digits"),
    ],
)
def test_what_is_no_whole_number_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        cell(value).whole("x")


@pytest.mark.parametrize(
    ("value", "flag"), [(True, True), (1.0, True), (" YES ", True), (0, False), ("f", False), ("No", False)]
)
def test_a_flag_may_be_a_word_or_a_number(value: Any, flag: bool) -> None:
    assert cell(value).flag("x") is flag


@pytest.mark.parametrize("value", [2, "on", "-1"])
def test_another_word_is_no_flag(value: Any) -> None:
    with pytest.raises(Unreadable, match="is neither true nor false"):
        cell(value).flag("x")


def test_an_identity_is_written_in_the_usual_way() -> None:
    own = uuid.UUID(int=7)
    assert cell(own.hex.upper()).identity("x") == cell(own).identity("x") == str(own)
    with pytest.raises(Unreadable, match=f"x: 'seven' {NO} UUID"):
        cell("seven").identity("x")


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": None, "c": float("nan"), 7.0: "2"},
        [("a", 1), ("b", None), ("c", float("nan")), (7.0, "2")],
        '{"a": 1, "b": null, "7": "2"}',
        "{'a': 1, 'b': None, '7': 2}",
    ],
)
def test_numbers_come_in_a_map_in_pairs_or_in_their_text(value: Any) -> None:
    assert cell(value).numbers("x") == {"a": 1.0, "7": 2.0}


@pytest.mark.parametrize("value", ["[1]", [1], [("a", 1, 2)], [["a", 1]], 5, "5", "a", "{'a': }", "{a}"])
def test_what_is_no_map_is_refused(value: Any) -> None:
    with pytest.raises(Unreadable, match=r"^x: .* (map|JSON)"):
        cell(value).numbers("x")


def test_texts_of_a_map_are_json_where_they_are_no_text() -> None:
    assert cell({"a": "ü", "b": ["ü"], "c": None, "d": 2.0}).texts("x") == {
        "a": "ü",
        "b": '["ü"]',
        "d": "2.0",
    }
    assert cell(r"{'a': 'x\0', 'b': 'y\\0'}").texts("x") == {"a": "x\0", "b": "y\\0"}


@pytest.mark.parametrize("value", [(1, 2), [1, 2], "[1, 2]", {1: 0, 2: 0}.keys()])
def test_items_come_in_anything_that_is_a_list(value: Any) -> None:
    assert cell(value).items("x") == [1, 2]


@pytest.mark.parametrize("value", ['"one"', {"a": 1}, '{"a": 1}', 5])
def test_what_is_no_list_is_refused(value: Any) -> None:
    with pytest.raises(Unreadable, match=f"{NO} list"):
        cell(value).items("x")


def test_columns_of_a_prefix_that_were_not_asked_for_are_its_numbers() -> None:
    cells = Cells({"pre_kpis": "{}", "pre_a": 1, "pre_b": None, "post_c": 3})
    cells.numbers("pre_kpis")
    assert cells.beginning("pre_") == {"a": 1.0}


def test_a_number_of_more_digits_than_any_of_ours_stays_a_text_in_json() -> None:
    assert cell(f"[{MILLION}, {MILLION}0]").items("x") == [10 ** (MOST_DIGITS - 1), f"{MILLION}0"]
