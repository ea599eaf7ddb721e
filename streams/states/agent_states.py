"""What the stream remembers, and the bytes it is kept as in changelog topics (see `tables`).

Every state knows the last source offsets applied to it, its fence: what it holds is not counted again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Self

from evometrics.schemas.wire.binary import read_length, read_long, read_text, write_long, write_text
from evometrics.streams.formulas.windows import Window
from evometrics.streams.states.window_counts import WindowCounts

#: Completions remembered per agent whose start has not come yet.
CLOSED_LIMIT = 256
MARK_BYTES = 8
NONE_APPLIED = -1


def closed_mark(evolution_id: str) -> bytes:
    """Return what a completed evolution is known by: its id may be long, and there may be many."""
    return hashlib.blake2b(evolution_id.encode(), digest_size=MARK_BYTES).digest()


@dataclass(slots=True)
class EvolutionState:
    """One agent's evolutions.

    Attributes:
        counts: attempts and successes of the agent, by window and step.
        started_applied, completed_applied: last offsets applied, by topic.
        open: evolutions begun and not completed: their EvolutionStarted as message values.
        closed: evolutions completed whose start has not come yet, as `closed_mark` has them.
        arrivals: when the starts of open evolutions came, by the broker's stamp, microseconds; of those that
            came late alone.
    """

    counts: WindowCounts
    started_applied: int = NONE_APPLIED
    completed_applied: int = NONE_APPLIED
    open: dict[str, bytes] = field(default_factory=dict)
    closed: list[bytes] = field(default_factory=list)
    arrivals: dict[str, int] = field(default_factory=dict)

    def encode(self) -> bytes:
        parts = [
            write_long(self.started_applied),
            write_long(self.completed_applied),
            write_long(len(self.closed)),
            *self.closed,
            write_long(len(self.open)),
        ]
        arrivals = self.arrivals
        for name, value in self.open.items():
            if arrivals and name in arrivals:
                # a length below 0 tells that an arrival follows: states without one are as they always were
                parts += (write_text(name), write_long(~len(value)), write_long(arrivals[name]), value)
            else:
                parts += (write_text(name), write_long(len(value)), value)
        return b"".join((*parts, self.counts.pack()))

    @classmethod
    def decode(cls, windows: tuple[Window, ...], value: bytes) -> Self:
        """Return the state of these bytes."""
        started, place = read_long(value, 0)
        completed, place = read_long(value, place)
        number, place = read_length(value, place)
        end = place + number * MARK_BYTES
        closed = [value[at : at + MARK_BYTES] for at in range(place, end, MARK_BYTES)]
        place = end
        number, place = read_length(value, place)
        opened: dict[str, bytes] = {}
        arrivals: dict[str, int] = {}
        for _ in range(number):
            name, place = read_text(value, place)
            length, place = read_long(value, place)
            if length < 0:
                length = ~length
                arrivals[name], place = read_long(value, place)
            opened[name] = value[place : place + length]
            place += length
        return cls(WindowCounts(windows, value[place:]), started, completed, opened, closed, arrivals)


@dataclass(slots=True)
class ProgressState:
    """How far event time has come in one partition, by topic, microseconds; 0 before the first event."""

    started: int = 0
    completed: int = 0

    @property
    def watermark(self) -> int:
        """Event time that both topics have reached: one that is read behind holds it back."""
        return min(self.started, self.completed)

    def encode(self) -> bytes:
        return write_long(self.started) + write_long(self.completed)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Return the state of these bytes."""
        started, place = read_long(value, 0)
        return cls(started, read_long(value, place)[0])


@dataclass(slots=True)
class PartialState:
    """Counts of one scope within one source partition.

    Attributes:
        counts: attempts and successes by window and step.
        applied: last offset applied: of the completions where they are counted, of the scope-counts topic
            where they are merged.
    """

    counts: WindowCounts
    applied: int = NONE_APPLIED

    def encode(self) -> bytes:
        return write_long(self.applied) + self.counts.pack()

    @classmethod
    def decode(cls, windows: tuple[Window, ...], value: bytes) -> Self:
        """Return the state of these bytes."""
        applied, place = read_long(value, 0)
        return cls(WindowCounts(windows, value[place:]), applied)


@dataclass(slots=True)
class LentState:
    """Counts of one scope within one source partition: of completions that came without the scope.

    Their start lends it, which may be read before or after them, so that no last offset says which are
    counted: they are known one by one, until their agents' states are sure to be written.

    Attributes:
        counts: attempts and successes by window and step.
        counted: offsets of completions that are counted, each with one that its start's is not above.
    """

    counts: WindowCounts
    counted: dict[int, int] = field(default_factory=dict)

    def forget(self, started: int, completed: int) -> None:
        """Forget the completions that are not looked at again: both topics were carried out beyond them."""
        self.counted = {c: s for c, s in self.counted.items() if c > completed or s > started}

    def encode(self) -> bytes:
        numbers = (number for pair in self.counted.items() for number in pair)
        return b"".join((write_long(len(self.counted)), *map(write_long, numbers), self.counts.pack()))

    @classmethod
    def decode(cls, windows: tuple[Window, ...], value: bytes) -> Self:
        """Return the state of these bytes."""
        number, place = read_length(value, 0)
        counted = {}
        for _ in range(number):
            offset, place = read_long(value, place)
            counted[offset], place = read_long(value, place)
        return cls(WindowCounts(windows, value[place:]), counted)


@dataclass(slots=True)
class SnapshotState:
    """What is known of one agent's snapshots as a whole.

    Attributes:
        applied: last offset applied.
        forgotten: whether older snapshots were dropped, so that a late one's predecessor may be unknown.
    """

    applied: int = NONE_APPLIED
    forgotten: bool = False

    def encode(self) -> bytes:
        return write_long(self.applied) + (b"\1" if self.forgotten else b"\0")

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Return the state of these bytes."""
        applied, place = read_long(value, 0)
        return cls(applied, value[place] == 1)
