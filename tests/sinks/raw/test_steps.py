"""Steps of republishing: never too large, never too far ahead of what the stream has read."""

from __future__ import annotations

import random

import pytest

from evometrics.sinks.raw.event import RawEvent
from evometrics.sinks.raw.steps import Ahead, steps

HOUR = 3600


def at(*times: int) -> list[RawEvent]:
    return [RawEvent(n, time, "t", b"%d" % n, b"k", b"v") for n, time in enumerate(times)]


def cut(times: list[int], watermark: int | None, limit: int, span: int) -> list[tuple[list[int], int]]:
    return [
        ([e.occurred_at for e in s.events], s.watermark) for s in steps(at(*times), watermark, limit, span)
    ]


def test_a_step_ends_where_event_time_has_gone_far_enough() -> None:
    assert cut([10, 20, 30, 31, 90], None, 100, 20) == [([10, 20, 30], 30), ([31], 31), ([90], 90)]
    assert cut([10, 20], 10, 100, 20) == [([10, 20], 20)]
    assert cut([31], 10, 100, 20) == [([31], 31)]
    assert cut([], 10, 100, 20) == []


def test_late_events_belong_to_the_step_in_which_they_come() -> None:
    assert cut([100, 5, 110, 6], 90, 100, 20) == [([100, 5, 110, 6], 110)]


def test_a_step_holds_no_more_events_than_its_limit() -> None:
    assert cut([1, 1, 1, 1, 1], None, 2, 20) == [([1, 1], 1), ([1, 1], 1), ([1], 1)]


def test_what_must_be_read_first_is_what_lies_further_back_than_the_span() -> None:
    ahead = Ahead[str](100)
    for watermark, ends in ((10, {"a": 1}), (20, {"a": 2, "b": 1}), (50, {"c": 1})):
        ahead.add(watermark, ends)
    assert ahead.to_read(110) == {}
    assert ahead.to_read(111) == {"a": 1}
    assert ahead.to_read(111) == {}, "it counts as read"
    assert ahead.to_read(150) == {"a": 2, "b": 1}
    assert ahead.to_read(1000) == {"c": 1}
    assert ahead.to_read(9999) == {}


@pytest.mark.parametrize("seed", range(20))
def test_the_stream_is_never_further_behind_in_event_time_than_span_and_step(seed: int) -> None:
    rng = random.Random(seed)
    times, now = [], 0
    for _ in range(500):
        now += rng.choice([0, 0, 1, HOUR // 10, 3 * HOUR])
        times.append(max(0, now - rng.choice([0, 0, 20 * HOUR])))
    span, ahead = 6 * HOUR, Ahead[int](6 * HOUR)
    sent: list[tuple[int, int]] = []
    read = 0
    total: list[RawEvent] = []
    for step in steps(at(*times), None, 50, span // 2):
        read = max(read, ahead.to_read(step.watermark).get(0, 0))
        unread = [watermark for end, watermark in sent if end > read]
        assert all(step.watermark - watermark <= span for watermark in unread)
        total += step.events
        sent.append((len(total), step.watermark))
        ahead.add(step.watermark, {0: len(total)})
    assert total == at(*times)
    assert 0 < read < len(times)
