"""A topic that turns into dead letters is refused; the odd bad message never is."""

from __future__ import annotations

import dataclasses

import pytest

from evometrics.schemas.letters.limit import (
    WINDOW_MESSAGES,
    BadMessage,
    LetterCounts,
    LetterLimit,
    Seen,
    TooManyLetters,
    moved,
)
from evometrics.schemas.service.settings import SettingsError
from evometrics.sinks.settings import SinkSettings
from evometrics.streams.settings import StreamSettings

STARTED, PROGRESSED = "evometrics.evolution.started", "evometrics.evolution.progressed"
ROW_OF_TEN = LetterLimit(max_letter_ratio=1, max_consecutive_letters=10)
A_QUARTER = LetterLimit(max_letter_ratio=0.25, min_letters=20, max_consecutive_letters=0)


def bad(*offsets: int, topic: str = STARTED, partition: int = 0) -> list[BadMessage]:
    return [BadMessage(topic, partition, offset, "no framing") for offset in offsets]


def test_messages_in_a_row_are_counted_across_batches_and_a_good_one_ends_the_row() -> None:
    counts = LetterCounts(ROW_OF_TEN, "sink")
    counts = counts.after({STARTED: 6}, bad(*range(6)))
    counts = counts.after({STARTED: 5}, bad(6, 7, 8, 9))  # 10 is a good one
    counts = counts.after({STARTED: 10}, bad(*range(11, 21)))
    with pytest.raises(TooManyLetters, match="11 messages in a row of one partition") as refused:
        counts.after({STARTED: 1}, bad(21))
    said = str(refused.value)
    assert "evometrics.evolution.started" in said and "[0] offset 21: no framing" in said
    assert (
        "Nothing is lost" in said and "EVOMETRICS_SINK_MAX_CONSECUTIVE_LETTERS" in said and "\n" not in said
    )


def test_a_row_is_one_of_a_single_partition_and_comes_in_any_order() -> None:
    counts = LetterCounts(ROW_OF_TEN, "sink")
    elsewhere = bad(*range(6, 11), partition=1) + bad(*range(6, 11), topic=PROGRESSED)
    counts = counts.after({STARTED: 11, PROGRESSED: 5}, bad(*range(6)) + elsewhere)
    with pytest.raises(TooManyLetters):
        counts.after({STARTED: 5}, bad(10, 9, 8, 7, 6))


def test_a_batch_that_was_not_stored_is_counted_once_however_often_it_is_read() -> None:
    counts = LetterCounts(A_QUARTER, "stream")
    for _ in range(9):
        after = counts.after({STARTED: 19}, bad(*range(19)))
    assert after.after({STARTED: 100}, []).windows[STARTED][-1].messages == 100
    with pytest.raises(
        TooManyLetters, match=r"20 of the last 20 messages .*EVOMETRICS_STREAM_MAX_LETTER_RATIO"
    ):
        after.after({STARTED: 1}, bad(19))


def test_the_share_is_that_of_one_topic_and_counts_from_the_least_number_of_letters_on() -> None:
    counts = LetterCounts(A_QUARTER, "sink").after({STARTED: 80, PROGRESSED: 10_000}, bad(*range(19)))
    with pytest.raises(TooManyLetters, match="21 of the last 82 messages"):
        counts.after({STARTED: 2, PROGRESSED: 50}, bad(100, 200))
    assert counts.after({STARTED: 4}, bad(100, 200))


def test_what_was_read_long_ago_does_not_make_up_for_letters_of_today() -> None:
    counts = LetterCounts(A_QUARTER, "sink")
    for _ in range(50):
        counts = counts.after({STARTED: 1000}, [])
    offset, letters = 50_000, 0
    with pytest.raises(TooManyLetters):
        for _ in range(WINDOW_MESSAGES):
            counts = counts.after({STARTED: 2}, bad(offset))
            offset, letters = offset + 2, letters + 1
    assert WINDOW_MESSAGES / 4 - 20 <= letters <= WINDOW_MESSAGES / 4 + 1020
    assert len(counts.windows[STARTED]) < 250


def test_good_messages_alone_are_never_refused_whatever_came_before() -> None:
    counts = LetterCounts(A_QUARTER, "sink").after({STARTED: 1000}, bad(*range(240)))
    assert counts.after({STARTED: 1}, []).after({PROGRESSED: 1}, [])


@pytest.mark.parametrize("settings", [SinkSettings, StreamSettings])
def test_the_limits_are_settings_of_both_parts_and_can_be_taken_away(settings: type[LetterLimit]) -> None:
    none = settings(max_letter_ratio=1, max_consecutive_letters=0)
    assert LetterCounts(none, "sink").after({STARTED: 90_000}, bad(*range(90_000)))
    with pytest.raises(TooManyLetters):
        LetterCounts(settings(), "sink").after({STARTED: 90_000}, bad(*range(90_000)))
    for wrong in ({"max_letter_ratio": 1.5}, {"min_letters": 0}, {"max_consecutive_letters": -1}):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            dataclasses.replace(none, **wrong)  # type: ignore[arg-type]


def test_the_share_is_too_large_above_the_ratio_not_at_it() -> None:
    counts = LetterCounts(A_QUARTER, "sink")
    assert counts.after({STARTED: 80}, bad(*range(20)))
    with pytest.raises(TooManyLetters, match="20 of the last 79 messages"):
        counts.after({STARTED: 79}, bad(*range(20)))


@pytest.mark.parametrize("ends", [{"max_letter_ratio": 0}, {"max_letter_ratio": 1}, {"min_letters": 1}])
def test_limits_may_be_at_the_ends_of_their_ranges(ends: dict[str, float]) -> None:
    assert LetterLimit(**ends)  # type: ignore[arg-type]


def test_a_limit_of_one_in_a_row_lets_one_through() -> None:
    counts = LetterCounts(LetterLimit(max_letter_ratio=1, max_consecutive_letters=1), "sink")
    counts = counts.after({STARTED: 2}, bad(0))
    with pytest.raises(TooManyLetters, match="2 messages in a row"):
        counts.after({STARTED: 1}, bad(1))
    assert counts.after({STARTED: 1}, bad(2)), "1 is a good one"


def test_the_reason_of_a_letter_is_shown_whole_up_to_200_characters() -> None:
    counts = LetterCounts(LetterLimit(max_letter_ratio=0, min_letters=1), "sink")
    for length, shown in ((200, "x" * 200 + "."), (201, "x" * 199 + "….")):
        with pytest.raises(TooManyLetters) as refused:
            counts.after({STARTED: 1}, [BadMessage(STARTED, 3, 7, "x" * length)])
        assert f"such as [3] offset 7: {shown} Nothing is lost" in str(refused.value)


def test_small_batches_are_counted_together_up_to_a_hundredth_of_the_window() -> None:
    window: tuple[Seen, ...] = ()
    for number, letters in ((60, 1), (40, 2), (1, 0), (99, 4), (100, 0), (100, 5)):
        window = moved(window, Seen(number, letters))
    assert window == (Seen(100, 3), Seen(100, 4), Seen(100, 0), Seen(100, 5))


def test_a_window_holds_what_makes_up_its_length_and_no_more() -> None:
    window = moved((Seen(4000, 1), Seen(6000, 2)), Seen(3999, 3))
    assert window == (Seen(4000, 1), Seen(6000, 2), Seen(3999, 3))
    assert moved(window, Seen(4000, 4)) == (Seen(6000, 2), Seen(3999, 3), Seen(4000, 4))
    assert moved(window, Seen(10_000, 4)) == (Seen(10_000, 4),)
