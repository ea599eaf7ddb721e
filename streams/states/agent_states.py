"""The stream's states, and their encodings in changelog topics (see `tables`).

Every state holds the last source offsets applied to it, its fence: events up to there are not counted again.
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
    """Return the mark that identifies a completed evolution: its id may be long, and there may be many."""
    return hashlib.blake2b(evolution_id.encode(), digest_size=MARK_BYTES).digest()


@dataclass(slots=True)
class EvolutionState:
    """One agent's evolutions.

    Attributes:
        counts: attempts and successes of the agent, by window and step.
        started_applied, completed_applied: last offsets applied, by topic.
        open: evolutions started and not completed: their EvolutionStarted as message values.
        closed: evolutions completed whose start has not come yet, by `closed_mark`.
        arrivals: when the starts of open evolutions arrived, by the broker's stamp, microseconds; only of
            those that arrived late.
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
                # a negative length announces an arrival: the encoding of states without one is unchanged
                parts += (write_text(name), write_long(~len(value)), write_long(arrivals[name]), value)
            else:
                parts += (write_text(name), write_long(len(value)), value)
        return b"".join((*parts, self.counts.pack()))

    @classmethod
    def decode(cls, windows: tuple[Window, ...], value: bytes) -> Self:
        """Return the state in these bytes."""
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
    """Progress of event time in one partition, by topic, microseconds; 0 before the first event.

    Attributes:
        started: not beyond the broker's time, whatever the nodes' clocks say.
    """

    started: int = 0
    completed: int = 0

    @property
    def watermark(self) -> int:
        """Event time that both topics have reached: the one that is behind holds it back."""
        return min(self.started, self.completed)

    def encode(self) -> bytes:
        return write_long(self.started) + write_long(self.completed)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Return the state in these bytes."""
        started, place = read_long(value, 0)
        return cls(started, read_long(value, place)[0])


@dataclass(slots=True)
class PartialState:
    """Counts of one scope within one source partition.

    Attributes:
        counts: attempts and successes by window and step.
        applied: last offset applied: of the completions while counting, of the scope-counts topic while
            merging.
    """

    counts: WindowCounts
    applied: int = NONE_APPLIED

    def encode(self) -> bytes:
        return write_long(self.applied) + self.counts.pack()

    @classmethod
    def decode(cls, windows: tuple[Window, ...], value: bytes) -> Self:
        """Return the state in these bytes."""
        applied, place = read_long(value, 0)
        return cls(WindowCounts(windows, value[place:]), applied)


@dataclass(slots=True)
class LentState:
    """Counts of one scope within one source partition, for completions that came without the scope.

    Their start lends it, and may be read before or after them, so that no last offset tells which are
    counted: they are remembered one by one, until their agents' states are certainly written.

    Attributes:
        counts: attempts and successes by window and step.
        counted: offsets of counted completions, each with an offset at or above its start's.
    """

    counts: WindowCounts
    counted: dict[int, int] = field(default_factory=dict)

    def forget(self, started: int, completed: int) -> None:
        """Forget completions that are not read again: both topics were carried out beyond them."""
        self.counted = {c: s for c, s in self.counted.items() if c > completed or s > started}

    def encode(self) -> bytes:
        numbers = (number for pair in self.counted.items() for number in pair)
        return b"".join((write_long(len(self.counted)), *map(write_long, numbers), self.counts.pack()))

    @classmethod
    def decode(cls, windows: tuple[Window, ...], value: bytes) -> Self:
        """Return the state in these bytes."""
        number, place = read_length(value, 0)
        counted = {}
        for _ in range(number):
            offset, place = read_long(value, place)
            counted[offset], place = read_long(value, place)
        return cls(WindowCounts(windows, value[place:]), counted)


@dataclass(slots=True)
class SnapshotState:
    """The state of one agent's snapshots as a whole.

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
        """Return the state in these bytes."""
        applied, place = read_long(value, 0)
        return cls(applied, value[place] == 1)
