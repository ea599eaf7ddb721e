"""Kafka's raw topics as a replay's source: read without a group, up to their ends at the start.

Nothing is committed: to the broker this is a reader like any other. What lies before a partition's first
offset, because Kafka has deleted it or another beginning was requested, is not read; the comparison leaves
the rows derived from it alone (`sql`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import ConsumerRecord

from evometrics.schemas.kafka.ranges import range_reader
from evometrics.schemas.kafka.topics import BrokerUnavailable, answered, partitions_of, unavailable
from evometrics.schemas.service.settings import KafkaSettings, require
from evometrics.schemas.topics import EVOLUTION_COMPLETED, KPI_SNAPSHOTS, Topic
from evometrics.schemas.wire.binary import UNUSUAL
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.raw.event import RawEvent, read_head
from evometrics.sinks.replay.merge import Merge
from evometrics.sinks.replay.shadow import ShadowTables
from evometrics.sinks.replay.source import MAX_AHEAD, NOW

#: Messages of a partition that wait for other partitions' before no more of it is read; one fetch may exceed
#: it.
WAITING = 4096
POLL_MS = 500
#: Bytes fetched per partition at a time: for each record batch in a fetch aiokafka copies the rest of the
#: fetch, and nodes send small batches.
FETCH_BYTES = 512 * 1024
#: A broker that returns nothing for this long counts as unreachable.
STUCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where reading begins: in each partition at the later of the two.

    Attributes:
        since: messages' time in Kafka, milliseconds; 0 for the first message there is.
        offsets: the first offset to read by topic and partition; others begin at their first offset.
    """

    since: int = 0
    offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)


class TopicSource:
    """The raw topics of one cluster, as of the moment it is entered.

    Entering raises `BrokerUnavailable` or `KafkaError` if the cluster does not answer, `SettingsError` if
    topics or offsets do not exist; reading raises the first two.

    Attributes:
        bounds: by partition, the first offset to read, and the one after the last.
        cut: partitions of completions that begin later than they once did; their first message, not read yet,
            shows the age of what was lost.
    """

    def __init__(
        self, kafka: KafkaSettings, wire: WireFormat, topics: Sequence[Topic], beginning: Beginning
    ) -> None:
        self.kafka = kafka
        self.wire = wire
        self.topics = {topic.name: topic for topic in topics}
        self.beginning = beginning
        self.bounds: dict[TopicPartition, tuple[int, int]] = {}
        self.stack = AsyncExitStack()
        self.cut: set[TopicPartition] = set()
        self.events = self.complete_from = 0
        self.reached = NOW
        self.all_snapshots = True
        self.passed: int | None = None

    async def __aenter__(self) -> TopicSource:
        numbers = await answered(self.kafka, lambda admin: partitions_of(admin, self.topics))
        missing = [name for name in self.topics if name not in numbers]
        require(not missing, "--brokers", self.kafka.brokers, f"it has no topics {', '.join(missing)}")
        partitions = [TopicPartition(name, n) for name, number in numbers.items() for n in range(number)]
        for place, first in self.beginning.offsets.items():
            there = TopicPartition(*place) in partitions
            reason = (
                f"the partitions are {', '.join(f'{name} (0 to {n - 1})' for name, n in numbers.items())}"
            )
            require(there, "--offsets", f"{place[0]}:{place[1]}={first}", reason)
        try:
            self.consumer = await self.stack.enter_async_context(range_reader(self.kafka, FETCH_BYTES))
            await self.look(partitions)
        except (TimeoutError, KafkaConnectionError) as error:
            await self.stack.aclose()
            raise await unavailable(self.kafka, error) from error
        except BaseException:
            await self.stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    async def identity(self) -> list[Any] | None:
        """Return None: Kafka may have deleted meanwhile what is left to read."""
        return None

    async def prepare(self, run: ShadowTables) -> None:
        """Do nothing: entering has determined what there is to read."""

    def known(self) -> dict[str, Any]:
        """Return nothing: there is no going on."""
        return {}

    async def resume(self, run: ShadowTables, known: Mapping[str, Any], passed: int) -> None:
        """Raise `NotImplementedError`."""
        raise NotImplementedError("a replay from Kafka begins again")

    async def look(self, partitions: list[TopicPartition]) -> None:
        """Determine where to begin and to end."""
        since, asked = self.beginning.since, self.beginning.offsets
        ends = await self.consumer.end_offsets(partitions)
        there = await self.consumer.beginning_offsets(partitions)
        timed = await self.consumer.offsets_for_times(dict.fromkeys(partitions, since)) if since else {}
        for partition, end in ends.items():
            given = asked.get((partition.topic, partition.partition), 0)
            place = f"{partition.topic}:{partition.partition}={given}"
            require(given <= end, "--offsets", place, f"the partition ends at {end}")
            by_time = 0
            if since:
                by_time = end if timed[partition] is None else timed[partition].offset
            first = max(there[partition], by_time, given)
            self.bounds[partition] = first, end
            if first and partition.topic == KPI_SNAPSHOTS.name:
                self.all_snapshots = False
            if first and partition.topic == EVOLUTION_COMPLETED.name:
                if by_time > max(there[partition], given):
                    self.complete_from = max(self.complete_from, since * 1000 + MAX_AHEAD)
                else:
                    self.cut.add(partition)
        self.events = sum(end - first for first, end in self.bounds.values())

    async def slices(self, number: int) -> AsyncGenerator[list[RawEvent], None]:
        """Yield the events, as the protocol says; messages that are not events have no id."""
        left = {partition: end for partition, (first, end) in self.bounds.items() if first < end}
        if not left:
            return
        merge: Merge[TopicPartition, ConsumerRecord] = Merge(left)
        self.consumer.assign(list(left))
        for partition in left:
            self.consumer.seek(partition, self.bounds[partition][0])
        events: list[RawEvent] = []
        while merge.unread or merge.heap:
            if merge.blocked():
                await self.fetch(merge, left)
            taken = merge.take(number - len(events))
            events += map(self.event, taken)
            if len(events) >= number:
                yield events
                events = []
        if events:
            yield events

    async def fetch(
        self, merge: Merge[TopicPartition, ConsumerRecord], ends: dict[TopicPartition, int]
    ) -> None:
        """Read on, until something has come or a partition has ended."""
        deadline = time.monotonic() + STUCK_SECONDS
        while True:
            wanted = merge.short(WAITING)
            fetched = await self.consumer.getmany(*wanted, timeout_ms=POLL_MS)
            for partition, records in fetched.items():
                self.note_first(partition, records)
                merge.add(partition, (record for record in records if record.offset < ends[partition]))
            moved = bool(fetched)
            for partition in wanted:
                # a transaction marker may lie between the last message and the end
                if await self.consumer.position(partition) >= ends[partition]:
                    merge.end(partition)
                    moved = True
            if moved:
                return
            if time.monotonic() > deadline:
                raise BrokerUnavailable(
                    f"Kafka at {self.kafka.brokers} has returned nothing for {STUCK_SECONDS:.0f} s, with "
                    f"{len(merge.unread)} partitions not read to their end. Nothing was changed; run the "
                    "same command again once it answers"
                )

    def note_first(self, partition: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        """Take into account what is missing before a partition's first message."""
        if partition in self.cut and records:
            self.cut.discard(partition)
            self.complete_from = max(self.complete_from, records[0].timestamp * 1000 + MAX_AHEAD)

    def event(self, record: ConsumerRecord) -> RawEvent:
        """Return a message's event, without an id if the message is not an event."""
        value = record.value or b""
        try:
            _, position = self.wire.locate(value)
            event_id, key, occurred_at = read_head(value, position)
        except UNUSUAL:  # an `UnreadableMessage` is a ValueError
            event_id, key, occurred_at = b"", record.key or b"", 0
        return RawEvent(record.timestamp, occurred_at, record.topic, event_id, key, value, record.partition)
