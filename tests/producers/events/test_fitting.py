"""What is too large is reduced to about the size that was asked for, its beginning first."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from evometrics.producers.events.fitting import MARK, amount, cut, entries_within, shrink, size_of
from evometrics.producers.events.left_out import LeftOut
from evometrics.schemas.events import EvolutionCompleted
from tests.support.examples import EXAMPLES

DONE = dataclasses.replace(
    next(e for e in EXAMPLES if isinstance(e, EvolutionCompleted)), metadata={}, insights=[]
)
MARK_BYTES = len(MARK.encode())


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("", 4),
        ("abc", 7),
        ("ä", 6),
        (5, 8),
        (0.5, 8),
        (None, 8),
        ([], 0),
        ([0.5, 1.5, 2.5], 24),
        (["abc", "d"], 12),
        ({}, 0),
        ({"ä": 0.5, "b": 1.5}, 27),
        ({"a": "xyz"}, 12),
    ],
)
def test_sizes_are_estimated_from_bytes(value: Any, size: int) -> None:
    assert size_of(value) == size


def test_amounts_are_said_in_their_unit() -> None:
    assert amount("abc") == "3 characters"
    assert amount([1.0, 2.0]) == amount({"a": 1, "b": 2}) == "2 entries"


def test_a_text_is_cut_to_the_size_with_its_mark_and_between_characters() -> None:
    assert cut("data", "x" * 100, 50) == "x" * (50 - MARK_BYTES - 4) + MARK
    assert size_of(cut("data", "x" * 100, 50)) == 50
    assert cut("data", "ä" * 100, 50 + 1) == "ä" * 20 + MARK
    assert cut("data", "x" * 100, MARK_BYTES + 4) == MARK
    assert cut("data", "x" * 100, 1) == MARK, "never cut from its end"


def test_of_a_map_or_list_the_first_entries_are_kept_that_fit() -> None:
    kpis = {"a": 0.5, "b": 1.5, "c": 2.5}
    assert cut("pre_kpis", kpis, 39) == kpis
    assert cut("pre_kpis", kpis, 38) == {"a": 0.5, "b": 1.5}
    assert cut("numbers", [1.0, 2.0, 3.0], 24) == [1.0, 2.0]
    assert cut("insights", ["one", "two", "three"], 22) == ["one", "two"]


def test_the_text_that_no_longer_fits_is_cut_if_more_than_the_mark_is_left_of_it() -> None:
    room = 1 + 2 * 4 + MARK_BYTES
    assert entries_within([("a", "x" * 100)], room) == []
    assert entries_within([("a", "x" * 100)], room + 5) == [("a", "x" + MARK)]
    assert entries_within([("a", "x" * 100), ("b", "y")], room + 14) == [("a", "x" * 10 + MARK)]
    assert entries_within([("a", 0.5), ("b", "x" * 100)], 13 + room + 5) == [("a", 0.5), ("b", "x" + MARK)]


def test_a_trajectory_keeps_at_least_three_points() -> None:
    points = [float(n) for n in range(100)]
    assert cut("fitness_trajectory", points, 80) == [*points[::13], 99.0]
    assert cut("fitness_trajectory", points, 1) == [0.0, 99.0]
    assert cut("fitness_trajectory", points[:3], 1) == points[:3]


def test_the_largest_field_is_shrunk_by_what_is_too_much_and_noted() -> None:
    event = dataclasses.replace(DONE, insights=["i" * 1000], metadata={"m": "x" * 5000})
    left_out = LeftOut()
    assert shrink(event, 1000, left_out)
    assert event.insights == ["i" * 1000]
    assert size_of(event.metadata) == int(0.95 * (5009 - 1000)) - 4
    assert left_out.named == {"metadata": "1 entries: too large for an event; 1 entries are kept"}


def test_a_field_is_reduced_to_a_sixteenth_at_most_at_a_time() -> None:
    event = dataclasses.replace(DONE, metadata={"m": "x" * 16_000})
    assert shrink(event, 1_000_000, LeftOut())
    assert size_of(event.metadata) == 16_009 // 16 - 4


def test_an_event_that_has_nothing_left_to_cut_says_so() -> None:
    nothing = {"fitness_trajectory": [], "pre_kpis": {}, "post_kpis": {}, "candidate_hash": None}
    event = dataclasses.replace(DONE, metadata={"m": "x"}, **nothing)
    left_out = LeftOut()
    assert not shrink(event, 1000, left_out)
    assert left_out.count == 0
