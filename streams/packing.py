"""Counts by window and step as bytes, of which a change rewrites only its own part.

A busy scope holds hundreds of steps, a batch changes a few. So the bytes come in parts, one for each step
of the last window, with all windows' steps that lie within it; a part is kept until one of its steps
changes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from evometrics.streams.windows import Counts, Window, WindowCounts

#: The part's step of the last window, bytes of a number (1, 4 or 8), and how many numbers there are.
HEAD = struct.Struct("<qBH")
FORMS = {1: "B", 4: "I", 8: "Q"}


class PackedCounts(WindowCounts):
    """`WindowCounts` that knows its bytes.

    Attributes:
        parts: the bytes of parts that have not changed since they were packed.
        pruned: the newest step of the last window when old steps were last forgotten.
    """

    __slots__ = ("parts", "pruned")

    def __init__(self, windows: tuple[Window, ...], packed: bytes = b"") -> None:
        super().__init__(windows, unpack(windows, packed) if packed else None)
        self.parts: dict[int, bytes] = {}
        self.pruned = self.newest[-1]

    def count(self, number: int, step: int, attempts: int, successes: int) -> None:
        """Add to one step of one window; its part's bytes no longer hold."""
        super().count(number, step, attempts, successes)
        if self.parts:
            ratio = self.windows[-1].step_seconds // self.windows[number].step_seconds
            self.parts.pop(step // ratio, None)

    def tidy(self, lateness_seconds: int) -> None:
        """Forget old steps where the newest part is a new one: seldom, for it goes through all of them."""
        if self.pruned != self.newest[-1]:
            for number, steps in enumerate(self.prune(lateness_seconds)):
                self.unpack_parts(number, steps)
            self.pruned = self.newest[-1]

    def unpack_parts(self, number: int, steps: Iterable[int]) -> None:
        """Forget the bytes of the parts that hold these steps of a window."""
        ratio = self.windows[-1].step_seconds // self.windows[number].step_seconds
        for step in steps:
            self.parts.pop(step // ratio, None)

    def pack(self) -> bytes:
        """Return the counts as bytes."""
        last = self.counts[-1]
        if len(last) == 1:
            (part,) = last
            return pack_part(part, [list(counts.items()) for counts in self.counts], self.windows)
        found = []
        for part in last:
            packed = self.parts.get(part)
            if packed is None:
                packed = self.parts[part] = self.pack_part(part)
            found.append(packed)
        return b"".join(found)

    def pack_part(self, part: int) -> bytes:
        """Return the bytes of one part."""
        inside = []
        for window, counts in zip(self.windows, self.counts, strict=True):
            ratio = self.windows[-1].step_seconds // window.step_seconds
            steps = range(part * ratio, (part + 1) * ratio)
            inside.append([(step, counts[step]) for step in steps if step in counts])
        return pack_part(part, inside, self.windows)


def pack_part(
    part: int, inside: Iterable[list[tuple[int, tuple[int, int]]]], windows: tuple[Window, ...]
) -> bytes:
    """Return the bytes of one part: for each window how many steps, then each with attempts and successes."""
    numbers: list[int] = []
    for window, steps in zip(windows, inside, strict=True):
        first = part * (windows[-1].step_seconds // window.step_seconds)
        numbers.append(len(steps))
        for step, (attempts, successes) in steps:
            numbers += (step - first, attempts, successes)
    largest = max(numbers)
    width = 1 if largest < 256 else 4 if largest < 2**32 else 8
    body = bytes(numbers) if width == 1 else struct.pack(f"<{len(numbers)}{FORMS[width]}", *numbers)
    return HEAD.pack(part, width, len(numbers)) + body


def unpack(windows: tuple[Window, ...], packed: bytes) -> list[Counts]:
    """Return the counts of packed parts."""
    counts: list[Counts] = [{} for _ in windows]
    place = 0
    while place < len(packed):
        part, width, length = HEAD.unpack_from(packed, place)
        numbers = struct.unpack_from(f"<{length}{FORMS[width]}", packed, place + HEAD.size)
        place += HEAD.size + width * length
        at = 0
        for window, found in zip(windows, counts, strict=True):
            first = part * (windows[-1].step_seconds // window.step_seconds)
            end = at + 1 + 3 * numbers[at]
            for i in range(at + 1, end, 3):
                found[first + numbers[i]] = (numbers[i + 1], numbers[i + 2])
            at = end
    return counts
