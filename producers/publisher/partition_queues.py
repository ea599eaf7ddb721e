"""The publisher's rows in memory, by partition; at most one batch per partition is in flight.

So a failed batch has none of its partition behind it, and order is kept whatever happens to it; and a
partition without a leader blocks nothing but itself, until its rows fill the publisher's window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from evometrics.producers.outbox.row import Row, size_of
from evometrics.schemas.kafka.partitions import partition_of


@dataclass(slots=True)
class PartitionQueue:
    """One partition's rows: those that wait, in order, and those in flight."""

    partition: TopicPartition
    waiting: deque[Row] = field(default_factory=deque)
    sending: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class PartitionQueues:
    """All partitions, by topic and number; `rows` and `size` (bytes) are their totals."""

    lanes: dict[tuple[str, int], PartitionQueue] = field(default_factory=dict)
    rows: int = 0
    size: int = 0

    def add(self, rows: Sequence[Row], partitions: Mapping[str, int]) -> None:
        """Append rows to their partitions' queues; `partitions`: the number of partitions by topic."""
        for row in rows:
            where = row.topic, partition_of(row.key.encode(), partitions[row.topic])
            lane = self.lanes.get(where)
            if lane is None:
                lane = self.lanes[where] = PartitionQueue(TopicPartition(*where))
            lane.waiting.append(row)
        self.rows += len(rows)
        self.size += size_of(rows)

    def ready(self) -> list[PartitionQueue]:
        """Return the queues that have waiting rows and nothing in flight."""
        return [lane for lane in self.lanes.values() if lane.waiting and not lane.sending]

    def finish(self, lane: PartitionQueue) -> list[Row]:
        """Remove and return the rows in flight of a queue."""
        done, lane.sending = lane.sending, []
        self.rows -= len(done)
        self.size -= size_of(done)
        return done
