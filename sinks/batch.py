"""Collects messages into a batch: rows by table and writer schema, offsets by partition, unreadable ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from evometrics.schemas.catalog import WriterSchema
from evometrics.schemas.reading import Message as Message
from evometrics.schemas.reading import locate
from evometrics.schemas.topics import BY_NAME
from evometrics.schemas.wire import UnreadableMessage, WireFormat
from evometrics.sinks.blocks import block, block_end, varint


class Partition(NamedTuple):
    """A partition of a topic; equal to aiokafka's `TopicPartition`."""

    topic: str
    partition: int


class Row(NamedTuple):
    """One message on its way into a table: its Avro block, and where its datum begins in its value."""

    message: Message
    position: int
    block: bytes


class Rejected(NamedTuple):
    """A message that could not be read or stored, and why."""

    message: Message
    reason: str


@dataclass(slots=True)
class OffsetRange:
    """The offsets of one partition in a batch."""

    first: int
    last: int


@dataclass(slots=True)
class Group:
    """Rows for one insert: one table, one writer schema, any number of partitions."""

    topic: str
    table: str
    schema: WriterSchema
    rows: list[Row] = field(default_factory=list)


class Batch:
    """Messages that are inserted and committed together."""

    def __init__(self, generation: int = 0) -> None:
        self.generation = generation
        self.groups: dict[tuple[str, bytes], Group] = {}
        self.ranges: dict[Partition, OffsetRange] = {}
        self.rejected: list[Rejected] = []
        self.count = 0
        self.size = 0

    def add(self, fetched: Mapping[Partition, Sequence[Message]], wire: WireFormat) -> None:
        """Add what one poll fetched: messages by partition, in offset order.

        A message that can't be read is set aside in `rejected`; `RegistryUnavailable` of `wire` passes
        through, and then the batch is to be dropped.
        """
        for (topic_name, number), messages in fetched.items():
            if not messages:
                continue
            partition = Partition(topic_name, number)
            prefix, end = varint(number), block_end(topic_name)
            for message in messages:
                value = message.value
                self.count += 1
                self.size += len(value or b"")
                try:
                    schema, position = locate(wire, topic_name, value)
                except UnreadableMessage as error:
                    self.rejected.append(Rejected(message, str(error)))
                    continue
                assert value is not None
                group = self.groups.get((topic_name, schema.fingerprint))
                if group is None:
                    group = Group(topic_name, BY_NAME[topic_name].table, schema)
                    self.groups[topic_name, schema.fingerprint] = group
                encoded = block(prefix, message.offset, message.timestamp, value[position:], end)
                group.rows.append(Row(message, position, encoded))
            first, last = messages[0].offset, messages[-1].offset
            self.ranges.setdefault(partition, OffsetRange(first, last)).last = last

    def cover(self, partition: Partition, first: int, last: int) -> None:
        """Let the batch stand for a range of offsets, some of which hold no message."""
        self.ranges[partition] = OffsetRange(first, last)

    def begin_at(self, firsts: Mapping[Partition, int]) -> None:
        """Drop what lies before these offsets, from partitions that began before them."""
        late = {p: first for p, first in firsts.items() if p in self.ranges and self.ranges[p].first < first}
        if not late:
            return

        def wanted(message: Message) -> bool:
            return message.offset >= late.get(Partition(message.topic, message.partition), 0)

        self.rejected = [r for r in self.rejected if wanted(r.message)]
        for group in self.groups.values():
            group.rows = [r for r in group.rows if wanted(r.message)]
        for partition, first in late.items():
            known = self.ranges[partition]
            known.first = first
            if known.last < first:
                del self.ranges[partition]

    def leave_out(self, stored: Mapping[Partition, AbstractSet[int]]) -> None:
        """Drop the rows whose offsets are in a table already."""
        for group in self.groups.values():
            known = {p.partition: offsets for p, offsets in stored.items() if p.topic == group.topic}
            group.rows = [r for r in group.rows if r.message.offset not in known.get(r.message.partition, ())]
