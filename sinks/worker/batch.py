"""Collects messages into a batch: rows by table and schema, offsets by partition, unreadable ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import NamedTuple

from evometrics.schemas.letters.limit import BadMessage
from evometrics.schemas.topics import BY_NAME
from evometrics.schemas.wire.catalog import WriterSchema
from evometrics.schemas.wire.framing import SINGLE_OBJECT_LENGTH, UnreadableMessage, WireFormat
from evometrics.schemas.wire.reading import Record, locate

#: The first field of every event, a UUID as text.
EVENT_ID = "event_id"
ID_CHARACTERS = 36


class Partition(NamedTuple):
    """A partition of a topic; equal to aiokafka's `TopicPartition`."""

    topic: str
    partition: int


class InsertRow(NamedTuple):
    """One message to insert into a table: what holds its datum, usually its value, and where that begins."""

    value: bytes
    position: int
    message: Record

    @property
    def event_id(self) -> bytes:
        """Its event_id as text: the first field of every event, after its length."""
        begin = self.position + 1
        return self.value[begin : begin + ID_CHARACTERS].lower()


class Rejected(NamedTuple):
    """A message that could not be read or stored, and why."""

    message: Record
    reason: str


class Gap(NamedTuple):
    """Offsets of a partition that were not fetched: from `first` up to, but not including, `end`."""

    partition: Partition
    first: int
    end: int


@dataclass(slots=True)
class OffsetRange:
    """The offsets of one partition in a batch."""

    first: int
    last: int


@dataclass(slots=True)
class InsertGroup:
    """Rows for one insert: one table, one writer schema, any number of partitions."""

    topic: str
    table: str
    schema: WriterSchema
    rows: list[InsertRow] = field(default_factory=list)


class Batch:
    """Messages that are inserted and committed together.

    Attributes:
        gaps: offsets skipped between two fetches of the batch.
        left_out: number of messages, by topic, that are in their tables already.
        left_over: the rows of those: a worker before this one stored them and did not come to count them.
    """

    def __init__(self, generation: int = 0) -> None:
        self.generation = generation
        self.groups: dict[tuple[str, bytes], InsertGroup] = {}
        self.ranges: dict[Partition, OffsetRange] = {}
        self.rejected: list[Rejected] = []
        self.gaps: list[Gap] = []
        self.left_out: Counter[str] = Counter()
        self.left_over: list[InsertGroup] = []
        self.count = 0
        self.size = 0

    def add(self, fetched: Mapping[Partition, Sequence[Record]], wire: WireFormat) -> None:
        """Add the messages of one poll, by partition, in offset order.

        A message that can't be read is set aside in `rejected`; `RegistryUnavailable` raised by `wire` passes
        through, and the batch must then be dropped.
        """
        for (topic_name, number), messages in fetched.items():
            if not messages:
                continue
            groups: dict[bytes, InsertGroup] = {}
            for message in messages:
                value = message.value or b""
                self.size += len(value)
                framing = value[:SINGLE_OBJECT_LENGTH]
                group = groups.get(framing)
                if group is None:
                    try:
                        schema, position = locate(wire, topic_name, message.value)
                    except UnreadableMessage as error:
                        self.rejected.append(Rejected(message, str(error)))
                        continue
                    group = self.group(topic_name, schema)
                    if position == SINGLE_OBJECT_LENGTH:
                        groups[framing] = group
                else:
                    position = SINGLE_OBJECT_LENGTH
                group.rows.append(InsertRow(value, position, message))
            self.count += len(messages)
            self.extend(Partition(topic_name, number), messages[0].offset, messages[-1].offset)

    def extend(self, partition: Partition, first: int, last: int) -> None:
        """Extend the batch's range of a partition to these offsets, some of which may hold no message."""
        known = self.ranges.setdefault(partition, OffsetRange(first, last))
        if first > known.last + 1:
            self.gaps.append(Gap(partition, known.last + 1, first))
        known.first = min(known.first, first)
        known.last = max(known.last, last)

    def group(self, topic: str, schema: WriterSchema) -> InsertGroup:
        """Return the group of a topic's messages of one schema."""
        group = self.groups.get((topic, schema.fingerprint))
        if group is None:
            group = self.groups[topic, schema.fingerprint] = InsertGroup(topic, BY_NAME[topic].table, schema)
        return group

    def join(self, other: Batch) -> None:
        """Merge another batch into this one."""
        for (topic, _), group in other.groups.items():
            self.group(topic, group.schema).rows += group.rows
        self.rejected += other.rejected
        self.left_out += other.left_out
        for partition, known in other.ranges.items():
            self.extend(partition, known.first, known.last)

    def begin_at(self, firsts: Mapping[Partition, int]) -> None:
        """Drop everything before these offsets, in partitions whose range begins before them."""
        late = {p: first for p, first in firsts.items() if p in self.ranges and self.ranges[p].first < first}
        if not late:
            return

        def wanted(message: Record) -> bool:
            return message.offset >= late.get(Partition(message.topic, message.partition), 0)

        self.rejected = [r for r in self.rejected if wanted(r.message)]
        for group in self.groups.values():
            group.rows = [r for r in group.rows if wanted(r.message)]
        for partition, first in late.items():
            known = self.ranges[partition]
            known.first = first
            if known.last < first:
                del self.ranges[partition]

    def without(self, topics: AbstractSet[str]) -> int:
        """Drop everything that belongs to some topics; return the number of messages dropped."""
        before = self.count
        self.groups = {key: group for key, group in self.groups.items() if group.topic not in topics}
        self.ranges = {p: known for p, known in self.ranges.items() if p.topic not in topics}
        self.rejected = [r for r in self.rejected if r.message.topic not in topics]
        self.gaps = [gap for gap in self.gaps if gap.partition.topic not in topics]
        self.count = sum(len(group.rows) for group in self.groups.values()) + len(self.rejected)
        self.size = self.size if self.count else 0
        return before - self.count

    def take_before(self, partition: Partition, offset: int) -> Batch:
        """Split off, as a batch, whatever lies before an offset of one of the partitions."""
        taken = Batch(self.generation)

        def goes(message: Record) -> bool:
            return (message.topic, message.partition) == partition and message.offset < offset

        for group in self.groups.values():
            if group.topic == partition.topic:
                taken.group(group.topic, group.schema).rows = [r for r in group.rows if goes(r.message)]
                group.rows = [r for r in group.rows if not goes(r.message)]
        taken.rejected = [r for r in self.rejected if goes(r.message)]
        self.rejected = [r for r in self.rejected if not goes(r.message)]
        known = self.ranges[partition]
        taken.extend(partition, known.first, offset - 1)
        known.first = offset
        return taken

    def leave_out(self, partition: Partition, stored: AbstractSet[tuple[int, bytes]]) -> None:
        """Drop the rows of a partition that are already in its table, by their offsets and event_ids.

        Offsets alone are not enough: an earlier topic of that name may have used them.
        """
        offsets = {offset for offset, _ in stored}
        for group in self.groups.values():
            if group.topic == partition.topic:
                by_id = group.schema.source["fields"][0]["name"] == EVENT_ID
                rows, there = list[InsertRow](), list[InsertRow]()
                for r in group.rows:
                    is_new = (
                        r.message.partition != partition.partition
                        or r.message.offset not in offsets
                        or (by_id and (r.message.offset, r.event_id) not in stored)
                    )
                    (rows if is_new else there).append(r)
                self.left_out[group.topic] += len(there)
                self.left_over.append(InsertGroup(group.topic, group.table, group.schema, there))
                group.rows = rows

    def read(self) -> Counter[str]:
        """Return the number of the batch's messages, by topic."""
        read = self.left_out + Counter(rejected.message.topic for rejected in self.rejected)
        for group in self.groups.values():
            read[group.topic] += len(group.rows)
        return read


def bad_messages(rejected: Iterable[Rejected]) -> list[BadMessage]:
    """Return rejected messages in the form in which they are counted."""
    return [BadMessage(m.topic, m.partition, m.offset, reason) for m, reason in rejected]


async def add_fetched(batch: Batch, fetched: Mapping[Partition, Sequence[Record]], wire: WireFormat) -> None:
    """As `Batch.add`, without blocking the event loop: a registry may take seconds for each unknown id."""
    if wire.registry is None:
        batch.add(fetched, wire)
    else:
        await asyncio.to_thread(batch.add, fetched, wire)
