"""What Kafka has deleted before the stream read it: named, counted, and shown in the worker's health.

Derived rows lack what came of it. The raw tables mostly have it, and `evometrics replay` puts the rows right.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition

from evometrics.schemas.metrics import OFFSETS_GONE, Instruments

log = logging.getLogger(__name__)

#: A group that stands at the same offset for so many looks has nothing from before in its hands.
STANDING_LOOKS = 4


class Losses:
    """The offsets that a worker's partitions lack.

    Attributes:
        spans: what is lacking by partition: the first offset, the one after the last, and how many in all.
    """

    def __init__(self, instruments: Instruments) -> None:
        self.instruments = instruments
        self.spans: dict[TopicPartition, tuple[int, int, int]] = {}
        self.told: dict[TopicPartition, int] = {}
        self.standing: dict[tuple[TopicPartition, int], int] = {}

    def begin(self) -> None:
        """Begin anew with topics that may be others than before."""
        self.told, self.standing = {}, {}

    def report(self, partition: TopicPartition, first: int, end: int) -> None:
        """Take in that offsets from `first` up to but without `end` are gone; those reported count once."""
        first = max(first, self.told.get(partition, 0))
        if first >= end:
            return
        self.told[partition] = end
        known = self.spans.get(partition, (first, end, 0))
        self.spans[partition] = min(known[0], first), max(known[1], end), known[2] + end - first
        labels = (partition.topic, str(partition.partition))
        self.instruments.counter(OFFSETS_GONE).labels(*labels).inc(end - first)
        log.error(
            "%s[%d] offsets %d to %d, %d records, were deleted by Kafka (retention) before the stream read "
            "them: derived rows lack what comes of them; `evometrics replay` makes it from the raw tables",
            *partition,
            first,
            end - 1,
            end - first,
        )

    def observe(
        self, committed: Mapping[TopicPartition, int], beginnings: Mapping[TopicPartition, int]
    ) -> None:
        """Take in where the group stands and where Kafka's partitions begin, every few seconds.

        Where nothing new comes no batch tells that something was passed over. What was fetched before Kafka
        deleted it is still being computed for some time.
        """
        behind = {tp: at for tp, at in committed.items() if at < beginnings.get(tp, 0)}
        self.standing = {(tp, at): self.standing.get((tp, at), 0) + 1 for tp, at in behind.items()}
        for (tp, at), looks in self.standing.items():
            if looks >= STANDING_LOOKS:
                self.report(tp, at, beginnings[tp])

    def notes(self) -> Iterable[str]:
        """Return a line for each partition that lacks something."""
        for partition, (first, end, number) in sorted(self.spans.items()):
            yield (
                f"{partition.topic}[{partition.partition}] offsets {first} to {end - 1}: {number} records "
                "were deleted by Kafka (retention) before the stream read them; `evometrics replay` puts "
                "derived rows right"
            )
