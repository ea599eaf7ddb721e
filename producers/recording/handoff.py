"""The bounded hand-off from callers to the recorder's thread: no caller ever waits in it.

A caller appends; the thread takes. What is beyond the bound is lost and counted. Callers may be threads,
signal handlers that interrupt a caller, and finalizers: the lock is reentrant, held for a few instructions
only, and never taken by the thread that empties the queue.
"""

from __future__ import annotations

import pickle
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
#: CPython has smaller values in pools of its own, among those of the caller, larger ones elsewhere
#: (SMALL_REQUEST_THRESHOLD, Objects/obmalloc.c).
LARGE_BYTES = 512


class Entry(NamedTuple):
    """One call.

    Attributes:
        method: the collector's method; or what records by calls of its own (`Recorder.later`).
        args: its arguments, a snapshot; or what a tuple of them is pickled to.
        weight: about how many bytes they take.
    """

    method: str | Callable[..., None]
    args: tuple[Any, ...] | bytes
    named: dict[str, Any]
    weight: int


class HandOff:
    """What was handed in and not taken yet.

    Attributes:
        lost: entries that found no room since the process began.
        asleep: the thread waits for an entry.
        pacing: the thread lets entries gather; many end that.
        entries: calls; or what calls left to the thread call, and behind it the arguments of each.
        given: what was left to the thread last.
        taken: the same of what was taken.
    """

    def __init__(self) -> None:
        self.entries: deque[Entry | Callable[..., None] | bytes] = deque()
        self.given: Callable[..., None] | None = None
        self.taken: Callable[..., None] | None = None
        self.lock = threading.RLock()
        self.given_bytes = 0
        self.taken_bytes = 0
        self.lost = 0
        self.asleep = self.pacing = False

    def put(self, entry: Entry) -> bool:
        """Append an entry; return whether the thread has to be woken. Without room for it, it is lost."""
        with self.lock:
            if not self.admits(entry.weight):
                return False
            self.given_bytes += entry.weight
            self.entries.append(entry)
            return self.wakes()

    def put_packed(self, record: Callable[..., None], args: tuple[object, ...]) -> bool:
        """Append a call with its arguments pickled, as `put` does. Raises what pickling them raises.

        Until it is taken it is one value, none of Python's small ones: those would be freed between what
        the caller allocates meanwhile and keeps, which would lie scattered in memory from then on.
        """
        packed = pickle.dumps(args, pickle.HIGHEST_PROTOCOL)
        packed = packed.ljust(LARGE_BYTES, b"\0")  # behind its end, which pickle does not read
        weight = EVENT_WEIGHT + len(packed)
        with self.lock:
            if not self.admits(weight):
                return False
            if self.given != record:
                self.given = record
                self.entries.append(record)
            self.given_bytes += weight
            self.entries.append(packed)
            return self.wakes()

    def admits(self, weight: int) -> bool:
        """Return whether there is room for a call; without, it is counted as lost."""
        if len(self.entries) < MOST_EVENTS and self.bytes + weight <= MOST_BYTES:
            return True
        self.lost += 1
        return False

    def wakes(self) -> bool:
        """Return whether the thread has to be woken for the call that was just appended; then it is awake."""
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
        """Return the calls of up to so many entries, oldest first; only the thread calls this."""
        calls: list[Entry] = []
        for _ in range(min(most, len(self.entries))):
            entry = self.entries.popleft()
            if isinstance(entry, bytes):
                assert self.taken is not None
                entry = Entry(self.taken, entry, {}, EVENT_WEIGHT + len(entry))
            elif not isinstance(entry, Entry):
                self.taken = entry
                continue
            self.taken_bytes += entry.weight
            calls.append(entry)
        return calls
