"""When a partition's open evolutions count as abandoned: by event time, and by the broker's clock.

Both give the same moment if a start arrived soon after its own time. By the clock, a start that arrived late
has the whole time-out from its arrival: copied history is old when it arrives, and a node's clock may be
slow.

Entries may be out of date: an evolution that was completed stays until its deadline has passed. Callers check
the evolution's state.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

#: An agent and its evolution.
Name: TypeAlias = tuple[str, str]


class Deadline(NamedTuple):
    """An evolution, and the event time at which it counts as abandoned, in microseconds."""

    at: int
    agent_id: str
    evolution_id: str


class Deadlines:
    """The deadlines of one partition.

    Args:
        timeout: time after which a started evolution counts as abandoned, microseconds.

    Attributes:
        on_time, late: heaps of evolutions, by whether their starts arrived soon after their own time.
        arrivals: open evolutions that arrived late: arrival time and deadline; in order.
    """

    def __init__(self, timeout: int) -> None:
        self.timeout = timeout
        self.on_time: list[Deadline] = []
        self.late: list[Deadline] = []
        self.arrivals: dict[Name, tuple[int, Deadline]] = {}

    def begin(self, name: Name, began: int, arrived: int | None = None) -> None:
        """Add an open evolution; `arrived` is its start's arrival time if that was late."""
        if self.arrivals:
            self.end(name)
        deadline = Deadline(began + self.timeout, *name)
        if arrived is None:
            heapq.heappush(self.on_time, deadline)
        else:
            heapq.heappush(self.late, deadline)
            self.arrivals[name] = arrived, deadline

    def end(self, name: Name) -> None:
        """Note that an evolution is no longer open."""
        self.arrivals.pop(name, None)

    def by_events(self, watermark: int) -> Iterator[Deadline]:
        """Yield, and remove, the evolutions whose deadline event time has passed."""
        yield from passed(self.on_time, watermark)
        yield from passed(self.late, watermark)

    def by_clock(self, now: int) -> Iterator[Deadline]:
        """Yield, and remove, the evolutions whose time-out has passed at a time of the broker's clock."""
        for deadline in passed(self.on_time, now):
            # its second start may have arrived late
            if deadline[1:] not in self.arrivals:
                yield deadline
        while self.late_is_due(now):
            yield self.arrivals.pop(next(iter(self.arrivals)))[1]

    def any_by_clock(self, now: int) -> bool:
        """Return whether `by_clock` would yield anything."""
        return bool(self.on_time and self.on_time[0].at <= now) or self.late_is_due(now)

    def late_is_due(self, now: int) -> bool:
        """Return whether the late-arrived evolution at the head of the queue has timed out."""
        first = next(iter(self.arrivals.values()), None)
        return first is not None and first[0] + self.timeout <= now


def passed(heap: list[Deadline], now: int) -> Iterator[Deadline]:
    """Yield the deadlines up to `now`, and remove them from the heap."""
    while heap and heap[0].at <= now:
        yield heapq.heappop(heap)
