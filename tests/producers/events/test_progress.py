"""Which of an iteration's reports become events."""

from __future__ import annotations

import pytest

from evometrics.producers.events.progress import ProgressSampling
from evometrics.schemas.service.settings import SettingsError


@pytest.mark.parametrize(
    ("interval", "every", "seconds"),
    [
        ("", 1, 0.0),
        ("  ", 1, 0.0),
        ("0", 1, 0.0),
        ("2.5", 1, 2.5),
        (" 999999999 ", 1, 999_999_999.0),
        ("every 1", 1, 0.0),
        ("Every  10", 10, 0.0),
    ],
)
def test_an_interval_is_seconds_or_a_number_of_iterations(interval: str, every: int, seconds: float) -> None:
    assert ProgressSampling.of(interval) == ProgressSampling(every, seconds)


@pytest.mark.parametrize("interval", ["-1", "1e9", "nan", "inf", "often", "every 0", "every -2"])
def test_an_interval_that_cannot_be_is_refused_with_the_way_out(interval: str) -> None:
    with pytest.raises(SettingsError, match=f"progress_interval='{interval}'"):
        ProgressSampling.of(interval)


def test_of_iterations_the_first_and_every_so_many_after_it_are_due() -> None:
    sampling = ProgressSampling(every=3)
    assert [n for n in range(8) if sampling.due(n, 0.0)] == [0, 3, 6]


def test_of_seconds_the_first_and_those_that_long_after_the_last_event_are_due() -> None:
    sampling = ProgressSampling(seconds=2.0)
    assert sampling.due(0, 0.0)
    assert not sampling.due(1, 1.9)
    assert sampling.due(1, 2.0)
    assert sampling.due(5, 3.0)
