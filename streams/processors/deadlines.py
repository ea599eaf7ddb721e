"""When open evolutions of a partition count as abandoned: by event time, and by the broker's clock.

Both are the same moment where a start came soon after its time. By the clock, one that came late has the
whole time-out from its arrival: history that is copied is old when it comes, and a node's clock may be slow.

What is here may be out of date: an evolution that was completed stays until its deadline has passed. Whoever
asks looks at the evolution's state.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

#: An agent and its evolution.
Name: TypeAlias = tuple[str, str]


class Deadline(NamedTuple):
    """An evolution, and the time by its events at which it counts as abandoned, microseconds."""

    at: int
    agent_id: str
    evolution_id: str


class Deadlines:
    """The deadlines of one partition.

    Args:
        timeout: time after which a started evolution counts as abandoned, microseconds.

    Attributes:
        on_time, late: evolutions by whether their starts came soon after their time; heaps.
        arrivals: of evolutions that are open and came late: when that was, and their deadlines; in order.
    """

    def __init__(self, timeout: int) -> None:
        self.timeout = timeout
        self.on_time: list[Deadline] = []
        self.late: list[Deadline] = []
        self.arrivals: dict[Name, tuple[int, Deadline]] = {}

    def begin(self, name: Name, began: int, arrived: int | None = None) -> None:
        """Note that an evolution is open; `arrived` is when its start came, where that was late."""
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
        """Yield, and forget, the evolutions whose deadline event time has passed."""
        yield from passed(self.on_time, watermark)
        yield from passed(self.late, watermark)

    def by_clock(self, now: int) -> Iterator[Deadline]:
        """Yield, and forget, the evolutions whose time has run out at a time of the broker's."""
        for deadline in passed(self.on_time, now):
            # its second start may have come late
            if deadline[1:] not in self.arrivals:
                yield deadline
        while self.late_is_due(now):
            yield self.arrivals.pop(next(iter(self.arrivals)))[1]

    def any_by_clock(self, now: int) -> bool:
        """Tell whether `by_clock` would yield anything."""
        return bool(self.on_time and self.on_time[0].at <= now) or self.late_is_due(now)

    def late_is_due(self, now: int) -> bool:
        """Tell whether the time of the evolution that came late first has run out."""
        first = next(iter(self.arrivals.values()), None)
        return first is not None and first[0] + self.timeout <= now


def passed(heap: list[Deadline], now: int) -> Iterator[Deadline]:
    """Yield the deadlines up to `now`, and take them from the heap."""
    while heap and heap[0].at <= now:
        yield heapq.heappop(heap)
