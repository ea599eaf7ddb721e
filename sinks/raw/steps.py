"""How far republishing runs ahead: events in steps, and what the stream must have read before each.

The stream closes a window once it has seen events of its scope that are `allowed_lateness_seconds` younger.
It reads each partition at its own pace: with all of a long history before it, it may be days of event time
further in one partition than in another, and count what it reads in the latter as too late. Nodes that
recorded the events were never further apart than their outages. So a step is sent only when the stream has
read everything that is more than a few hours of event time older.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from evometrics.sinks.raw.event import RawEvent

P = TypeVar("P", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Step:
    """Events that are sent together.

    Attributes:
        watermark: the largest event time among them and all before them, microseconds.
    """

    events: Sequence[RawEvent]
    watermark: int


def steps(events: Sequence[RawEvent], watermark: int | None, limit: int, span: int) -> Iterator[Step]:
    """Cut events, in their order, into steps of at most `limit` events.

    A step ends before an event that moves the watermark more than `span` beyond its value at the step's
    beginning; `watermark` is that of the events before, None if there are none.
    """
    first = 0
    began = reached = watermark
    for number, event in enumerate(events):
        further = event.occurred_at if reached is None else max(reached, event.occurred_at)
        if began is None:
            began = further
        if number > first and (number - first == limit or further - began > span):
            assert reached is not None
            yield Step(events[first:number], reached)
            first, began = number, reached
        reached = further
    if first < len(events):
        assert reached is not None
        yield Step(events[first:], reached)


@dataclass(slots=True)
class Ahead(Generic[P]):
    """What was sent and is not known to have been read.

    Attributes:
        span: event time that may be sent ahead of the reader, microseconds.
        sent: watermark of each step, and the offsets after its messages by partition.
    """

    span: int
    sent: deque[tuple[int, Mapping[P, int]]] = field(default_factory=deque)

    def add(self, watermark: int, ends: Mapping[P, int]) -> None:
        """Note a step that was sent."""
        self.sent.append((watermark, ends))

    def to_read(self, watermark: int) -> dict[P, int]:
        """Return the ends to be read before a step with a watermark is sent; they then count as read."""
        wanted: dict[P, int] = {}
        while self.sent and self.sent[0][0] < watermark - self.span:
            wanted |= self.sent.popleft()[1]
        return wanted
