"""What an orchestrator meant to record and what it was told is recorded, on disk beside the product.

Two lines of fixed form per event: `i <number>` before the `record_*` call, `r <number>` after it returned.
An event without the second line may or may not have been recorded: the caller was killed in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Recorded:
    """What a journal says: event numbers whose call returned, and those whose call only began."""

    returned: frozenset[int]
    begun: frozenset[int]

    @property
    def next_number(self) -> int:
        """Return the first event that was never tried."""
        return max(self.begun | self.returned, default=-1) + 1


class Journal:
    """Appends to a journal; a line is in the page cache before `write` returns, so a SIGKILL keeps it."""

    def __init__(self, path: Path) -> None:
        self.file: IO[bytes] = path.open("ab", buffering=0)

    def begin(self, numbers: range) -> None:
        """Note that events are about to be recorded."""
        self.file.write(b"".join(b"i %d\n" % n for n in numbers))

    def returned(self, numbers: list[int]) -> None:
        """Note that the calls have returned."""
        self.file.write(b"".join(b"r %d\n" % n for n in numbers))


def read_journal(path: Path) -> Recorded:
    """Return what a journal says; a last line cut by a kill is ignored."""
    returned: set[int] = set()
    begun: set[int] = set()
    text = path.read_bytes() if path.exists() else b""
    for line in text[: text.rfind(b"\n") + 1].splitlines():
        kind, _, number = line.partition(b" ")
        (returned if kind == b"r" else begun).add(int(number))
    return Recorded(frozenset(returned), frozenset(begun - returned))
