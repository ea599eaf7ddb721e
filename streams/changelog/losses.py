"""Records that Kafka deleted before the stream read them: logged, counted, and shown in the worker's health.

Derived rows lack their contribution. The raw tables usually have the events, and `evometrics replay` repairs
the rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition

from evometrics.schemas.metrics import OFFSETS_GONE, Instruments

log = logging.getLogger(__name__)

#: Observations of an unchanged committed offset after which nothing earlier can still be in memory.
STANDING_LOOKS = 4


class Losses:
    """Offsets deleted by Kafka before this worker's partitions were read.

    Attributes:
        spans: lost offsets by partition: the first, the one after the last, and the number lost.
    """

    def __init__(self, instruments: Instruments) -> None:
        self.instruments = instruments
        self.spans: dict[TopicPartition, tuple[int, int, int]] = {}
        self.told: dict[TopicPartition, int] = {}
        self.standing: dict[tuple[TopicPartition, int], int] = {}

    def begin(self) -> None:
        """Start over for topics that may have been recreated."""
        self.told, self.standing = {}, {}

    def report(self, partition: TopicPartition, first: int, end: int) -> None:
        """Record that offsets from `first` up to, but not including, `end` are lost; each counts once."""
        first = max(first, self.told.get(partition, 0))
        if first >= end:
            return
        self.told[partition] = end
        known = self.spans.get(partition, (first, end, 0))
        self.spans[partition] = min(known[0], first), max(known[1], end), known[2] + end - first
        self.instruments.counter(OFFSETS_GONE).labels(partition.topic).inc(end - first)
        log.error(
            "%s[%d] offsets %d to %d, %d records, were deleted by Kafka (retention) before the stream read "
            "them: derived rows lack their contribution; `evometrics replay` computes it from the raw "
            "tables",
            *partition,
            first,
            end - 1,
            end - first,
        )

    def observe(
        self, committed: Mapping[TopicPartition, int], beginnings: Mapping[TopicPartition, int]
    ) -> None:
        """Compare the group's committed offsets with the first ones that Kafka still holds.

        Called every few seconds: on an idle partition no batch reveals the gap. Records fetched before Kafka
        deleted them may still be in progress, hence the wait for `STANDING_LOOKS` observations.
        """
        behind = {tp: at for tp, at in committed.items() if at < beginnings.get(tp, 0)}
        self.standing = {(tp, at): self.standing.get((tp, at), 0) + 1 for tp, at in behind.items()}
        for (tp, at), looks in self.standing.items():
            if looks >= STANDING_LOOKS:
                self.report(tp, at, beginnings[tp])

    def notes(self) -> Iterable[str]:
        """Return a line for each partition that has lost records."""
        for partition, (first, end, number) in sorted(self.spans.items()):
            yield (
                f"{partition.topic}[{partition.partition}] offsets {first} to {end - 1}: {number} records "
                "were deleted by Kafka (retention) before the stream read them; `evometrics replay` "
                "corrects the derived rows"
            )
