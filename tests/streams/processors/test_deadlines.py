"""When an open evolution counts as abandoned, to the microsecond."""

from __future__ import annotations

import pytest

from evometrics.streams.processors.deadlines import Deadline, Deadlines

TIMEOUT = 100
ONE, TWO, THREE = ("a", "1"), ("a", "2"), ("b", "1")


@pytest.fixture
def deadlines() -> Deadlines:
    return Deadlines(TIMEOUT)


def names(found: list[Deadline]) -> list[tuple[str, str]]:
    return [(each.agent_id, each.evolution_id) for each in found]


def by_clock(deadlines: Deadlines, now: int) -> list[tuple[str, str]]:
    """What is due by the clock; that it was announced is checked."""
    announced = deadlines.any_by_clock(now)
    found = names(list(deadlines.by_clock(now)))
    assert announced or not found
    return found


def test_by_events_it_is_due_when_the_watermark_reaches_its_deadline(deadlines: Deadlines) -> None:
    deadlines.begin(TWO, 1010)
    deadlines.begin(ONE, 1000)
    assert list(deadlines.by_events(1099)) == []
    assert list(deadlines.by_events(1100)) == [Deadline(1100, *ONE)]
    assert list(deadlines.by_events(5000)) == [Deadline(1110, *TWO)]
    assert list(deadlines.by_events(5000)) == []


def test_by_events_a_start_that_came_late_is_due_at_the_same_time_as_others(deadlines: Deadlines) -> None:
    deadlines.begin(ONE, 1000, arrived=9000)
    assert list(deadlines.by_events(1099)) == []
    assert list(deadlines.by_events(1100)) == [Deadline(1100, *ONE)]


def test_by_the_clock_it_is_due_at_its_deadline_and_once(deadlines: Deadlines) -> None:
    deadlines.begin(ONE, 1000)
    assert not deadlines.any_by_clock(1099)
    assert by_clock(deadlines, 1099) == []
    assert deadlines.any_by_clock(1100)
    assert by_clock(deadlines, 1100) == [ONE]
    assert not deadlines.any_by_clock(1100)


def test_by_the_clock_a_start_that_came_late_has_the_whole_time_from_its_arrival(
    deadlines: Deadlines,
) -> None:
    deadlines.begin(ONE, 1000, arrived=9000)
    deadlines.begin(TWO, 900, arrived=9010)
    assert not deadlines.any_by_clock(9099)
    assert by_clock(deadlines, 9099) == []
    assert deadlines.any_by_clock(9100)
    assert list(deadlines.by_clock(9100)) == [Deadline(1100, *ONE)], "reported with its time by events"
    assert not deadlines.any_by_clock(9109)
    assert by_clock(deadlines, 9110) == [TWO]


def test_the_earliest_deadline_decides_whether_any_is_due(deadlines: Deadlines) -> None:
    for name, began in ((TWO, 1500), (THREE, 2000), (ONE, 1000)):
        deadlines.begin(name, began)
    assert deadlines.any_by_clock(1100)
    assert by_clock(deadlines, 1599) == [ONE]
    assert by_clock(deadlines, 1600) == [TWO]
    assert by_clock(deadlines, 9999) == [THREE]


def test_a_second_start_that_came_late_takes_the_place_of_the_first(deadlines: Deadlines) -> None:
    deadlines.begin(ONE, 1000)
    deadlines.begin(ONE, 1010, arrived=9000)
    assert by_clock(deadlines, 1100) == []
    assert by_clock(deadlines, 9100) == [ONE]


def test_a_second_start_that_came_soon_takes_the_place_of_a_late_one(deadlines: Deadlines) -> None:
    deadlines.begin(ONE, 1000, arrived=9000)
    deadlines.begin(TWO, 1000, arrived=9005)
    deadlines.begin(ONE, 9050)
    assert by_clock(deadlines, 9105) == [TWO]
    assert by_clock(deadlines, 9150) == [ONE]


def test_an_evolution_that_has_ended_is_not_waited_for(deadlines: Deadlines) -> None:
    deadlines.begin(ONE, 1000, arrived=9000)
    deadlines.end(ONE)
    deadlines.end(TWO)
    assert not deadlines.any_by_clock(99_999)
    assert by_clock(deadlines, 99_999) == []
