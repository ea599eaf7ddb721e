"""Attempts and successes by window and step: each completion counts in five scopes' windows.

Counts are encoded in parts, one for each step of the last window, with all windows' steps that lie within it.
A busy scope holds hundreds of steps and a batch changes a few: a part's bytes are kept until one of its steps
changes. `window_counts.pyx` is the same in C, which packs without an object for each number: a change here is
one there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from evometrics.streams.formulas.windows import SECOND, Counts, Window

MOST_WINDOWS = 4
#: A part's bytes begin with: its step of the last window, bytes per number (1, 4 or 8), count of numbers.
HEAD = struct.Struct("<qBH")
MOST_NUMBERS = 65_535
#: By bytes per number, the type in a format of `struct`.
CODES = {1: "B", 4: "I", 8: "q"}


class Shape:
    """The geometry of the windows, shared by the counts of all scopes.

    Attributes:
        seconds: of each window, seconds per step.
        spans: steps per window.
        of_first: steps of the first window in one of its own.
        in_last: steps of its own in one of the last window.
    """

    def __init__(self, windows: tuple[Window, ...]) -> None:
        if not 0 < len(windows) <= MOST_WINDOWS:
            raise ValueError(f"{len(windows)} windows; 1 to {MOST_WINDOWS} are supported")
        self.size = len(windows)
        self.seconds = [window.step_seconds for window in windows]
        self.spans = [window.steps for window in windows]
        for i in range(1, self.size):
            if self.seconds[i] % self.seconds[i - 1]:
                raise ValueError("a window's steps must lie within those of the next")
        self.of_first = [seconds // self.seconds[0] for seconds in self.seconds]
        self.in_last = [self.seconds[self.size - 1] // seconds for seconds in self.seconds]


SHAPES: dict[tuple[Window, ...], Shape] = {}


def shape_of(windows: tuple[Window, ...]) -> Shape:
    """Return the windows' geometry."""
    shape = SHAPES.get(windows)
    if shape is None:
        shape = SHAPES[windows] = Shape(windows)
    return shape


class WindowCounts:
    """Attempts and successes per step for each window of one scope.

    Args:
        windows: at most 4; each one's steps lie within those of the next.
        packed: the initial counts, as returned by `pack`.

    Raises ValueError if the windows are unsuitable, or the bytes do not belong to them.

    Attributes:
        counts: one `Counts` for each window, in their order; not to be changed from outside.
        newest: the newest step of each, -1 if there is none.
    """

    def __init__(self, windows: tuple[Window, ...], packed: bytes = b"") -> None:
        self.shape = shape_of(windows)
        self.counts: list[Counts] = [{} for _ in windows]
        self.newest = [-1 for _ in windows]
        self.parts: dict[int, bytes] = {}
        if packed:
            self.unpack(packed)
        self.tidied = self.newest[-1]

    def add(self, at_micros: int, success: bool, lateness_seconds: int) -> list[set[int]] | None:
        """Count an attempt; return the changed steps, by window, or None if it came too late.

        An attempt is too late if it lies further behind the newest one than `lateness_seconds` in any window:
        its rows are final, only a replay corrects them.
        """
        steps = [at_micros // (seconds * SECOND) for seconds in self.shape.seconds]
        for i, step in enumerate(steps):
            if step < self.newest[i] and step < self.open_from(i, self.newest[i], lateness_seconds):
                return None
        for i, step in enumerate(steps):
            self.change(i, step, 1, bool(success))
        return [{step} for step in steps]

    def takes(self, oldest: int, newest: int, lateness_seconds: int) -> bool:
        """Return whether no attempt is too late whose step of the first window is from `oldest` to `newest`.

        In whatever order.
        """
        for i, ratio in enumerate(self.shape.of_first):
            latest = max(self.newest[i], newest // ratio)
            if oldest // ratio < self.open_from(i, latest, lateness_seconds):
                return False
        return True

    def add_steps(self, added: dict[int, tuple[int, int]]) -> list[set[int]]:
        """Count attempts and successes by step of the first window, which `takes` allows.

        Equivalent to `add`, one attempt after the other in any order. Returns the same.
        """
        changed: list[set[int]] = [set() for _ in self.counts]
        for step, (attempts, successes) in added.items():
            for i, ratio in enumerate(self.shape.of_first):
                self.change(i, step // ratio, attempts, successes)
                changed[i].add(step // ratio)
        return changed

    def count(self, number: int, step: int, attempts: int, successes: int) -> None:
        """Add to one step of one window."""
        self.check(number)
        self.change(number, step, attempts, successes)

    def oldest_open(self, number: int, lateness_seconds: int) -> int:
        """Return the oldest step of a window whose row late events may still change."""
        self.check(number)
        return self.open_from(number, self.newest[number], lateness_seconds)

    def prune(self, lateness_seconds: int) -> list[list[int]]:
        """Drop the steps that no open window reaches back to; return them, by window."""
        forgotten = []
        for i, counts in enumerate(self.counts):
            limit = self.open_from(i, self.newest[i], lateness_seconds) - self.shape.spans[i]
            steps = [step for step in counts if step < limit]
            forgotten.append(steps)
            self.forget(i, steps)
        return forgotten

    def forget(self, number: int, steps: Iterable[int]) -> None:
        """Drop steps of a window. Raises KeyError if one is not there."""
        self.check(number)
        for step in steps:
            del self.counts[number][step]
            self.parts.pop(step // self.shape.in_last[number], None)

    def tidy(self, lateness_seconds: int) -> bool:
        """As `prune`, but only if the last window's newest step is a new one; return whether it pruned."""
        newest = self.newest[-1]
        if self.tidied == newest:
            return False
        self.prune(lateness_seconds)
        self.tidied = newest
        return True

    def pack(self) -> bytes:
        """Return the counts as bytes."""
        last = self.counts[-1]
        if len(last) == 1:
            (part,) = last
            return self.pack_part(part, True)
        found = []
        for part in last:
            packed = self.parts.get(part)
            if packed is None:
                packed = self.parts[part] = self.pack_part(part, False)
            found.append(packed)
        return b"".join(found)

    def check(self, number: int) -> None:
        """Raise IndexError where there is no such window."""
        if not 0 <= number < self.shape.size:
            raise IndexError(f"window {number}")

    def open_from(self, i: int, newest: int, lateness_seconds: int) -> int:
        """Return the oldest step whose row late events may still change."""
        return newest + -lateness_seconds // self.shape.seconds[i]

    def change(self, i: int, step: int, attempts: int, successes: int) -> None:
        """Add to one step of one window; invalidates its part's bytes."""
        counts = self.counts[i]
        known = counts.get(step)
        if known is not None:
            attempts += known[0]
            successes += known[1]
        elif step > self.newest[i]:
            self.newest[i] = step
        counts[step] = (attempts, successes)
        if self.parts:
            self.parts.pop(step // self.shape.in_last[i], None)

    def pack_part(self, part: int, alone: bool) -> bytes:
        """Return a part's bytes: for each window the number of steps, then each with attempts and successes.

        Steps count from the part's first. `alone` says that there are no other parts, which saves searching
        for this one's.
        """
        sizes = [
            len(counts) if alone else min(len(counts), steps)
            for counts, steps in zip(self.counts, self.shape.in_last, strict=True)
        ]
        room = self.shape.size + 3 * sum(sizes)
        if room > MOST_NUMBERS:
            raise OverflowError(f"{room} numbers in one part of counts; {MOST_NUMBERS} are supported")
        numbers: list[int] = []
        for counts, steps in zip(self.counts, self.shape.in_last, strict=True):
            first = part * steps
            there = counts if alone else [step for step in range(first, first + steps) if step in counts]
            numbers.append(len(there))
            for step in there:
                numbers.append(step - first)
                numbers.extend(counts[step])
        largest = max(numbers)
        width = 1 if largest < 256 else 4 if largest < 1 << 32 else 8
        n = len(numbers)
        return HEAD.pack(part, width, n) + struct.pack(f"<{n}{CODES[width]}", *numbers)

    def unpack(self, packed: bytes) -> None:
        """Load the bytes of parts."""
        place = 0
        while place < len(packed):
            if len(packed) - place < HEAD.size:
                raise ValueError("counts that end in the middle of a part")
            part, width, length = HEAD.unpack_from(packed, place)
            place += HEAD.size
            if width not in CODES or len(packed) - place < width * length:
                raise ValueError("counts that end in the middle of a part")
            self.add_part(part, struct.unpack_from(f"<{length}{CODES[width]}", packed, place))
            place += width * length

    def add_part(self, part: int, numbers: tuple[int, ...]) -> None:
        """Load the numbers of a part."""
        at = 0
        for i, counts in enumerate(self.counts):
            if at >= len(numbers):
                raise ValueError("counts of fewer windows")
            end = at + 1 + 3 * numbers[at]
            if end > len(numbers):
                raise ValueError("counts of more steps than there are")
            at += 1
            while at < end:
                step = part * self.shape.in_last[i] + numbers[at]
                counts[step] = numbers[at + 1], numbers[at + 2]
                self.newest[i] = max(self.newest[i], step)
                at += 3
