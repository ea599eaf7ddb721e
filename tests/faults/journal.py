"""What an orchestrator meant to record and what it was told is recorded, on disk beside the product.

Lines of fixed form: `i <number>` before a `record_*` call, and after it returned
`r <number> <Unix time of the call> <seconds it took>`. An event without the second line may or may not have
been recorded: the caller was killed in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple


class Call(NamedTuple):
    """A `record_*` call that returned: which event, when (Unix time), how long it took (seconds)."""

    number: int
    at: float
    seconds: float


@dataclass(frozen=True)
class Recorded:
    """What a journal says: calls that returned, and numbers of events whose call only began."""

    calls: list[Call]
    begun: frozenset[int]

    @property
    def next_number(self) -> int:
        """Return the first event that was never tried."""
        return max([*self.begun, *(call.number for call in self.calls)], default=-1) + 1


class Journal:
    """Appends to a journal; a line is in the page cache before `write` returns, so a SIGKILL keeps it."""

    def __init__(self, path: Path) -> None:
        self.file: IO[bytes] = path.open("ab", buffering=0)

    def begin(self, numbers: range) -> None:
        """Note that events are about to be recorded."""
        self.file.write(b"".join(b"i %d\n" % n for n in numbers))

    def returned(self, calls: Iterable[Call]) -> None:
        """Note that the calls have returned."""
        self.file.write(b"".join(b"r %d %.6f %.6f\n" % call for call in calls))


def read_journal(path: Path) -> Recorded:
    """Return what a journal says; a last line cut by a kill is ignored."""
    calls: list[Call] = []
    begun: set[int] = set()
    text = path.read_bytes() if path.exists() else b""
    for line in text[: text.rfind(b"\n") + 1].splitlines():
        kind, number, *more = line.split()
        if kind == b"r":
            calls.append(Call(int(number), float(more[0]), float(more[1])))
        else:
            begun.add(int(number))
    return Recorded(calls, frozenset(begun - {call.number for call in calls}))
