"""Of a long run's fitness the first, the last and the best value stay, and others evenly spaced."""

from __future__ import annotations

import pytest

from evometrics.producers.events import trajectory
from evometrics.producers.events.left_out import LeftOut
from evometrics.producers.events.trajectory import Trajectory, thinned

MOST_POINTS = 64


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trajectory, "MOST_POINTS", MOST_POINTS)


def collected(values: list[float]) -> tuple[Trajectory, list[float], LeftOut]:
    found, left_out = Trajectory(), LeftOut()
    for value in values:
        found.append(value)
    return found, found.points(left_out), left_out


@pytest.mark.parametrize("number", [0, 1, MOST_POINTS])
def test_a_run_of_bounded_length_is_kept_whole(number: int) -> None:
    values = [n / 2 for n in range(number)]
    found, points, left_out = collected(values)
    assert (points, found.count, left_out.count) == (values, number, 0)


@pytest.mark.parametrize("more", [1, 2, 3, MOST_POINTS, MOST_POINTS + 1, 5 * MOST_POINTS])
@pytest.mark.parametrize("best_at", [0, 1, 2, 43, MOST_POINTS, -1])
def test_of_a_longer_one_every_second_or_fourth_or_eighth_with_best_and_last(more: int, best_at: int) -> None:
    values = [float(n) for n in range(MOST_POINTS + more, 0, -1)]
    values[best_at] = 1e9
    found, points, left_out = collected(values)
    assert found.best_after == range(1, len(values) + 1)[best_at]
    every = found.every
    assert MOST_POINTS / 2 < len(values[::every]) <= MOST_POINTS
    at = sorted({*range(0, len(values), every), found.best_after - 1, len(values) - 1})
    assert points == [values[n] for n in at]
    assert left_out.named == {"fitness_trajectory": f"{len(values)} points: thinned to {len(points)}"}


def test_of_equal_values_the_first_is_the_best_and_values_may_be_below_0() -> None:
    assert collected([-3.0, -1.0, -1.0, -2.0])[0].best_after == 2
    assert collected([0.0, 0.0])[0].best_after == 1
    assert collected([])[0].best_after == 0


@pytest.mark.parametrize(
    ("number", "most", "kept"),
    [
        (3, 3, [0, 1, 2]),
        (4, 4, [0, 1, 2, 3]),
        (4, 3, [0, 3]),
        (10, 4, [0, 5, 9]),
        (11, 4, [0, 6, 10]),
        (10, 2, [0, 9]),
        (10, 12, list(range(10))),
        (0, 3, []),
    ],
)
def test_points_are_thinned_to_about_as_many(number: int, most: int, kept: list[int]) -> None:
    assert thinned([float(n) for n in range(number)], most) == [float(n) for n in kept]


def test_the_best_point_stays_when_points_are_thinned() -> None:
    assert thinned([0.0, 9.0, 1.0, 2.0, 3.0, 9.0, 4.0, 5.0], 4) == [0.0, 9.0, 3.0, 5.0]
