"""Offsets that only ever grow, though a source topic is deleted and made anew and begins at 0 again.

States know the last source offset applied to them, and ids the offset they were seen at. What counts there is
a message's *place*: its offset, with the number of its topic in the upper bits, 0 for the first topic of that
name that a partition's states have met, 1 for the one made anew after it. States of a topic that was never
made anew are what they would be without numbers.

Each lane keeps, in a table of its own, the number and the id (`topic_identity`) of each of its topics by
partition. A new owner compares the ids with those that the cluster has, before it computes anything, and
writes what has changed before any other state. Where nothing is written, as by a version that knew no ids,
the topic that is there counts as the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiokafka import TopicPartition

from evometrics.schemas.wire.reading import Record

#: Bits of a place that are the offset: a partition takes some thousand years to have as many messages.
OFFSET_BITS = 40


def sources_table(lane: str) -> str:
    """Return the name of the table in which a lane keeps which topics its partitions' states are of."""
    return f"{lane}-sources"


@dataclass(frozen=True, slots=True)
class Incarnation:
    """Which topic of its name a partition's states are of last.

    Attributes:
        number: how many were there before.
        topic_id: its id.
    """

    number: int
    topic_id: str

    def encode(self) -> bytes:
        return f"{self.number} {self.topic_id}".encode()

    @classmethod
    def decode(cls, value: bytes) -> Incarnation:
        """Return what bytes stand for."""
        number, _, topic_id = value.decode().partition(" ")
        return cls(int(number), topic_id)


def present(stored: bytes | None, topic_id: str) -> Incarnation:
    """Return the incarnation of the topic that is there now, from what is kept of the last one."""
    if stored is None:
        return Incarnation(0, topic_id)
    known = Incarnation.decode(stored)
    if not topic_id or not known.topic_id or known.topic_id == topic_id:
        return Incarnation(known.number, topic_id or known.topic_id)
    return Incarnation(known.number + 1, topic_id)


class Places:
    """Where each partition's places begin; shared by whoever takes partitions over and whoever computes."""

    def __init__(self) -> None:
        self.begins: dict[TopicPartition, int] = {}

    def begin(self, partition: TopicPartition, number: int) -> None:
        """Let a partition's places be those of a topic's number."""
        self.begins.pop(partition, None)
        if number:
            self.begins[partition] = number << OFFSET_BITS

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions."""
        for partition in partitions:
            self.begins.pop(partition, None)

    def of(self, record: Record) -> int:
        """Return a record's place."""
        begins: Mapping[tuple[str, int], int] = self.begins
        return record.offset + (begins.get((record.topic, record.partition), 0) if begins else 0)
