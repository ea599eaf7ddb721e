"""How many dead letters are too many: beyond that the part, or whoever writes to the topic, is at fault.

A dead letter is for the occasional bad message among good ones. Where a whole topic would become dead letters
(a build that can't read what nodes now write, a foreign program that writes there) a part stops before the
letters of the current batch are sent and before its offsets move, and stays up to say why. Nothing is lost: a
start after the fault is corrected, or with a higher limit, resumes with the same batch.

Counts are kept in memory and begin at zero with each start, and with each worker that a partition moves to.
That is why a part that has stopped stays up and keeps its partitions: each restart could let as many letters
through as the limits allow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.service.settings import require, variable_of

#: The share of dead letters is taken over a topic's last messages, this many and at least the newest batch.
WINDOW_MESSAGES = 10_000
#: They are counted in groups of this many, or one batch at a time.
STEP_MESSAGES = WINDOW_MESSAGES // 100
REASON_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterLimit:
    """Settings that streams and sinks share: how many dead letters stop the part.

    Attributes:
        max_letter_ratio: share of dead letters (0-1) among a topic's last 10,000 messages above which the
            part stops; 1 = no limit.
        min_letters: number of dead letters among those messages from which on `max_letter_ratio` applies.
        max_consecutive_letters: number of dead letters in a row in one partition above which the part stops;
            0 = no limit.
    """

    max_letter_ratio: float = 0.5
    min_letters: int = 1000
    max_consecutive_letters: int = 1000

    def __post_init__(self) -> None:
        in_range = 0 <= self.max_letter_ratio <= 1
        require(in_range, "max_letter_ratio", self.max_letter_ratio, "must be from 0 to 1 (1 = no limit)")
        require(self.min_letters >= 1, "min_letters", self.min_letters, "must be at least 1")
        require(
            self.max_consecutive_letters >= 0,
            "max_consecutive_letters",
            self.max_consecutive_letters,
            "must not be negative (0 = no limit)",
        )


class BadMessage(NamedTuple):
    """A message that is to become a dead letter, and why."""

    topic: str
    partition: int
    offset: int
    reason: str


class TooManyLetters(EvometricsError):
    """A batch has more dead letters than the limit allows; the message names topic, reason and way out."""


class Streak(NamedTuple):
    """Consecutive dead letters of a partition: the offset of the last one, and their number."""

    last: int
    length: int


class Seen(NamedTuple):
    """Number of a topic's messages, and how many of them became dead letters."""

    messages: int
    letters: int


class LetterCounts:
    """A part's counts since its start; `after` returns what they will be after one more batch.

    Counts of a batch are kept once it is stored: a batch that is read again is counted once.

    Args:
        stage: whose settings `limit` belongs to, `stream` or `sink`.
    """

    def __init__(
        self,
        limit: LetterLimit,
        stage: str,
        runs: Mapping[tuple[str, int], Streak] | None = None,
        windows: Mapping[str, tuple[Seen, ...]] | None = None,
    ) -> None:
        self.limit = limit
        self.stage = stage
        self.runs = runs or {}
        self.windows = windows or {}

    def after(self, read: Mapping[str, int], bad: Iterable[BadMessage]) -> LetterCounts:
        """Return the counts after a batch: its messages by topic, the bad ones among them.

        Raises `TooManyLetters` where the batch is to be refused; the counts are then unchanged.
        """
        found = sorted(bad)
        runs = dict(self.runs)
        for message in found:
            place = message.topic, message.partition
            before = runs.get(place)
            follows = before is not None and before.last + 1 == message.offset
            runs[place] = run = Streak(message.offset, before.length + 1 if before and follows else 1)
            if 0 < self.limit.max_consecutive_letters < run.length:
                raise self.refusal(
                    message, f"{run.length} messages in a row of one partition", "max_consecutive_letters"
                )
        letters = Counter(message.topic for message in found)
        windows = dict(self.windows)
        for topic, number in read.items():
            windows[topic] = window = moved(windows.get(topic, ()), Seen(number, letters[topic]))
            total = Seen(*map(sum, zip(*window, strict=True)))
            above = total.letters > self.limit.max_letter_ratio * total.messages
            if letters[topic] and above and total.letters >= self.limit.min_letters:
                last = next(message for message in reversed(found) if message.topic == topic)
                share = f"{total.letters} of the last {total.messages} messages"
                raise self.refusal(last, share, "max_letter_ratio")
        return LetterCounts(self.limit, self.stage, runs, windows)

    def refusal(self, example: BadMessage, what: str, setting: str) -> TooManyLetters:
        """Return the error that says why the part stops, and the way out."""
        reason = " ".join(example.reason.split())
        if len(reason) > REASON_CHARACTERS:
            reason = reason[: REASON_CHARACTERS - 1] + "…"
        value = getattr(self.limit, setting)
        return TooManyLetters(
            f"{what} of {example.topic} would become dead letters ({setting}={value}), such as "
            f"[{example.partition}] offset {example.offset}: {reason}. Nothing is lost, no offset has moved "
            f"past them: fix what writes or what reads them and restart the {self.stage}, or let them "
            f"through with a higher {variable_of(self.stage, setting)}"
        )


def moved(window: tuple[Seen, ...], newest: Seen) -> tuple[Seen, ...]:
    """Return a window with the newest messages added and the oldest ones removed that it can do without."""
    if window and window[-1].messages + newest.messages <= STEP_MESSAGES:
        newest = Seen(window[-1].messages + newest.messages, window[-1].letters + newest.letters)
        window = window[:-1]
    total = newest.messages + sum(seen.messages for seen in window)
    oldest = 0
    while oldest < len(window) and total - window[oldest].messages >= WINDOW_MESSAGES:
        total -= window[oldest].messages
        oldest += 1
    return (*window[oldest:], newest)
