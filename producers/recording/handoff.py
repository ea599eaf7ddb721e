"""The bounded hand-off from callers to the recorder's thread: no caller ever waits in it.

A caller appends; the thread takes. What is beyond the bound is lost and counted. Callers may be threads,
signal handlers that interrupt a caller, and finalizers: the lock is reentrant, held for a few instructions
only, and never taken by the thread that empties the queue.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

#: Most events that wait, and most bytes of them (an estimate from the lengths of their values).
MOST_EVENTS = 50_000
MOST_BYTES = 64_000_000
#: From so many on, the thread lets no more gather.
MANY_EVENTS = 1000
MANY_BYTES = MOST_BYTES // 8
#: What an event takes besides its values, bytes; an estimate.
EVENT_WEIGHT = 1000


class Entry(NamedTuple):
    """One call.

    Attributes:
        method: the collector's method; or what records by calls of its own (`Recorder.later`).
        args: its arguments, a snapshot; of the latter one value: the arguments, or what they are pickled to.
        weight: about how many bytes they take.
    """

    method: str | Callable[..., None]
    args: tuple[Any, ...]
    named: dict[str, Any]
    weight: int


class HandOff:
    """What was handed in and not taken yet.

    Attributes:
        lost: entries that found no room since the process began.
        asleep: the thread waits for an entry.
        pacing: the thread lets entries gather; many end that.
    """

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.lock = threading.RLock()
        self.given_bytes = 0
        self.taken_bytes = 0
        self.lost = 0
        self.asleep = self.pacing = False

    def put(self, entry: Entry) -> bool:
        """Append an entry; return whether the thread has to be woken. Without room for it, it is lost."""
        with self.lock:
            if len(self.entries) >= MOST_EVENTS or self.bytes + entry.weight > MOST_BYTES:
                self.lost += 1
                return False
            self.given_bytes += entry.weight
            self.entries.append(entry)
            many = len(self.entries) >= MANY_EVENTS or self.bytes >= MANY_BYTES
            due = self.asleep or (self.pacing and many)
            if due:
                self.asleep = self.pacing = False
        return due

    @property
    def bytes(self) -> int:
        """About how many bytes wait."""
        return self.given_bytes - self.taken_bytes

    def lose(self, events: int = 1) -> None:
        """Count entries that were never appended."""
        with self.lock:
            self.lost += events

    def take(self, most: int) -> list[Entry]:
        """Return up to so many entries, oldest first; only the thread calls this."""
        taken: list[Entry] = []
        while self.entries and len(taken) < most:
            entry = self.entries.popleft()
            self.taken_bytes += entry.weight
            taken.append(entry)
        return taken
