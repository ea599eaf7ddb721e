"""The pauses between tries: they double up to the longest, and parts that fail together spread out."""

from __future__ import annotations

import pytest

from evometrics.schemas.service.backoff import backoff


def test_pauses_double_up_to_the_longest() -> None:
    for attempt, whole in ((1, 0.2), (2, 0.4), (3, 0.8), (6, 6.4), (8, 25.6), (9, 30.0), (5000, 30.0)):
        assert all(whole / 2 <= backoff(attempt, 30.0) <= whole for _ in range(50)), attempt


def test_two_parts_that_failed_at_once_do_not_try_again_at_once() -> None:
    assert len({backoff(4) for _ in range(50)}) > 40


def test_half_of_a_pause_is_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    for jitter, pause in ((0.0, 0.8), (0.5, 1.2), (1.0, 1.6)):
        monkeypatch.setattr("random.random", lambda jitter=jitter: jitter)
        assert backoff(4) == pytest.approx(pause)
