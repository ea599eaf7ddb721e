"""Offsets that only ever grow, even if a source topic is deleted and recreated and begins at 0 again.

States hold the last source offset applied to them, and ids the offset they were seen at. What counts there is
a message's *place*: its offset, with the number of its topic in the upper bits, 0 for the first topic of that
name that a partition's states have met, 1 for the one recreated after it. States of a topic that was never
recreated are the same as without numbers.

Each lane keeps, in a table of its own, the number and the id (`topic_identity`) of each of its topics by
partition. A new owner compares the ids with the cluster's before it computes anything, and writes changes
before any other state. If nothing is stored, as by a version without ids, the present topic counts as the
first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiokafka import TopicPartition

from evometrics.schemas.wire.reading import Record

#: Bits of a place that hold the offset: a partition takes some thousand years to have as many messages.
OFFSET_BITS = 40


def sources_table(lane: str) -> str:
    """Return the name of the table in which a lane records which topics its partitions' states belong to."""
    return f"{lane}-sources"


@dataclass(frozen=True, slots=True)
class Incarnation:
    """The topic of a name that a partition's states last belonged to.

    Attributes:
        number: how many there were before it.
        topic_id: its id.
    """

    number: int
    topic_id: str

    def encode(self) -> bytes:
        return f"{self.number} {self.topic_id}".encode()

    @classmethod
    def decode(cls, value: bytes) -> Incarnation:
        number, _, topic_id = value.decode().partition(" ")
        return cls(int(number), topic_id)


def present(stored: bytes | None, topic_id: str) -> Incarnation:
    """Return the present topic's incarnation, from the stored last one."""
    if stored is None:
        return Incarnation(0, topic_id)
    known = Incarnation.decode(stored)
    if not topic_id or not known.topic_id or known.topic_id == topic_id:
        return Incarnation(known.number, topic_id or known.topic_id)
    return Incarnation(known.number + 1, topic_id)


class Places:
    """Where each partition's places begin; shared by those who take partitions over and those who compute."""

    def __init__(self) -> None:
        self.begins: dict[TopicPartition, int] = {}

    def begin(self, partition: TopicPartition, number: int) -> None:
        """Begin a partition's places at a topic's number."""
        self.begins.pop(partition, None)
        if number:
            self.begins[partition] = number << OFFSET_BITS

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self.begins.pop(partition, None)

    def of(self, record: Record) -> int:
        """Return a record's place."""
        begins: Mapping[tuple[str, int], int] = self.begins
        return record.offset + (begins.get((record.topic, record.partition), 0) if begins else 0)
