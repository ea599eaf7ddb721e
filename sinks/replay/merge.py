"""Merges the messages of many partitions into one order. Pure.

Each partition's messages stay in offset order; among the partitions whose next message is known, the oldest
message comes next. That is the order of time as far as each partition is in it; in a partition that is not,
because a node delivered late, messages keep their order.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    """A message; `timestamp` is its time in Kafka, milliseconds."""

    @property
    def timestamp(self) -> int:
        """The message's time in Kafka, milliseconds."""


P = TypeVar("P", bound=Hashable)
M = TypeVar("M", bound=Timed)


class Merge(Generic[P, M]):
    """Messages of the partitions that are being read.

    Attributes:
        waiting: messages of each partition that has some left, or has not been read to its end.
        unread: partitions that have not been read to their end.
    """

    def __init__(self, partitions: Iterable[P]) -> None:
        self.waiting: dict[P, deque[M]] = {partition: deque() for partition in partitions}
        self.unread = set(self.waiting)
        self.numbers = {partition: number for number, partition in enumerate(self.waiting)}
        self.heap: list[tuple[int, int, P]] = []

    def add(self, partition: P, messages: Iterable[M]) -> None:
        """Add the next messages of a partition."""
        waiting = self.waiting[partition]
        was_empty = not waiting
        waiting.extend(messages)
        if was_empty and waiting:
            heapq.heappush(self.heap, (waiting[0].timestamp, self.numbers[partition], partition))

    def end(self, partition: P) -> None:
        """Note that a partition was read to its end."""
        self.unread.discard(partition)

    def short(self, limit: int) -> list[P]:
        """Return the partitions to read further: fewer than `limit` of their messages are waiting."""
        return [partition for partition in self.unread if len(self.waiting[partition]) < limit]

    def blocked(self) -> bool:
        """Return whether some partition's next message is not known yet."""
        return any(not self.waiting[partition] for partition in self.unread)

    def take(self, number: int) -> list[M]:
        """Return at most `number` of the next messages, up to where a partition's next one is unknown."""
        taken: list[M] = []
        if self.blocked():
            return taken
        while self.heap and len(taken) < number:
            _, rank, partition = heapq.heappop(self.heap)
            waiting = self.waiting[partition]
            limit = self.heap[0][0] if self.heap else None
            while waiting and len(taken) < number and (limit is None or waiting[0].timestamp <= limit):
                taken.append(waiting.popleft())
            if waiting:
                heapq.heappush(self.heap, (waiting[0].timestamp, rank, partition))
            elif partition in self.unread:
                break
        return taken
