"""The progress of republishing, read from the topics: no other record of it is kept.

Each message has a header that names the run it belongs to (one source, one selection) and a mark: a time in
Kafka before which every event of the run had been acknowledged when the message was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.events import KpiSnapshot
from evometrics.schemas.kafka.ranges import range_reader, read_page, read_range
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import KPI_SNAPSHOTS
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat
from evometrics.sinks.raw.event import RawEvent

HEADER = "evometrics-republished"
#: The ends of the topics count as final once they have been unchanged for this long: everything that a killed
#: process had handed to the network has arrived by then.
SETTLE_SECONDS = 1.0
SETTLE_ROUNDS = 10
#: Messages read at a time when looking for this run's among others.
MOST_READ = 4096


class RepublishError(EvometricsError, RuntimeError):
    """Republishing can't begin or continue; the message says what was done and the way out."""


class OtherEvents(RepublishError):
    """Topics hold messages that this run did not send; the error names one."""


class ProgressMark(NamedTuple):
    """A message's header: its run, and a time (milliseconds) before which everything was acknowledged."""

    run: str
    time: int

    def header(self) -> tuple[str, bytes]:
        return HEADER, f"{self.run}:{self.time}".encode()

    @classmethod
    def of(cls, record: ConsumerRecord) -> ProgressMark | None:
        """Return a message's mark, None if it has none."""
        for name, value in record.headers:
            run, separator, at = (value or b"").decode(errors="replace").partition(":")
            if name == HEADER and separator and at.isdecimal():
                return cls(run, int(at))
        return None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        time: every event whose original time in Kafka is before this is there, milliseconds.
        there: ids of the events from then on that are there, by topic.
        ends: the offsets after the messages that are there.
    """

    time: int = 0
    there: dict[str, set[bytes]] = field(default_factory=dict)
    ends: dict[TopicPartition, int] = field(default_factory=dict)

    def missing(self, events: Sequence[RawEvent]) -> list[RawEvent]:
        """Return those of the events, all from `time` on, that are not there."""
        return [event for event in events if event.event_id not in self.there.get(event.topic, ())]


class ProgressReader:
    """Reads how far a run has come.

    Args:
        run: its name, as in the headers.
        partitions: the number of partitions of each of its topics.
        among_others: whether the topics may hold other events.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        wire: WireFormat,
        run: str,
        partitions: Mapping[str, int],
        among_others: bool,
    ) -> None:
        self.kafka = kafka
        self.wire = wire
        self.run = run
        self.partitions = partitions
        self.among_others = among_others

    async def read(self) -> Progress:
        """Return how far the run has come; may take seconds.

        Of the run's newest messages in each partition, the one with the latest mark shows from where on an
        event may be missing, in whatever partition: all earlier ones were acknowledged. From there on the
        topics are read, event by event, so an event is sent again only if it is missing. Partitions are
        filled in the order of time, so this position is found at their ends.

        Raises `OtherEvents` if a newest message is not of this run, unless `among_others`: in that case this
        run's are looked for before it.
        """
        async with range_reader(self.kafka) as consumer:
            own: dict[TopicPartition, int] = {}
            bounds = await self.final_bounds(consumer)
            for partition, (first, end) in bounds.items():
                mark = await self.newest_mark(consumer, partition, first, end)
                if mark is not None:
                    own[partition] = mark.time
            if not own:
                return Progress()
            progress = Progress(max(own.values()), ends={place: bounds[place][1] for place in own})
            places = await consumer.offsets_for_times(dict.fromkeys(own, progress.time))
            for partition, place in places.items():
                if place is None:
                    continue
                first, end = place.offset, bounds[partition][1]
                while first < end:
                    page, first = await read_page(consumer, partition, first, end)
                    ours = [
                        record
                        for record in page
                        if (mark := ProgressMark.of(record)) and mark.run == self.run
                    ]
                    if ours:
                        there = progress.there.setdefault(partition.topic, set())
                        there |= {self.event_id(record) for record in ours}
            return progress

    async def final_bounds(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, tuple[int, int]]:
        """Return the first offset and the end of each partition, once the ends stay the same.

        Raises `OtherEvents` if they do not, unless `among_others`.
        """
        partitions = [TopicPartition(t, n) for t, number in self.partitions.items() for n in range(number)]
        ends: dict[TopicPartition, int] = {}
        for _ in range(SETTLE_ROUNDS):
            before, ends = ends, await consumer.end_offsets(partitions)
            if before and all(ends[place] == before[place] for place in self.settling(partitions)):
                break
            await asyncio.sleep(SETTLE_SECONDS)
        else:
            if not self.among_others:
                settling = self.settling(partitions)
                growing = next(place for place in settling if ends[place] != before[place])
                raise OtherEvents(
                    f"topic {growing.topic} at {self.kafka.brokers} is being written to: partition "
                    f"{growing.partition} is growing. Stop whatever writes to it, including another "
                    "`evometrics republish`; to send anyway, after the existing messages, give "
                    "--among-others. Nothing was sent"
                )
        firsts = await consumer.beginning_offsets(partitions)
        return {partition: (firsts[partition], ends[partition]) for partition in partitions}

    def settling(self, partitions: Sequence[TopicPartition]) -> Sequence[TopicPartition]:
        """Return those of the partitions that show whether a killed process's messages have arrived.

        The stream may still be writing to the snapshots' partitions.
        """
        return [place for place in partitions if place.topic != KPI_SNAPSHOTS.name] or partitions

    async def newest_mark(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, first: int, end: int
    ) -> ProgressMark | None:
        """Return the mark of this run's newest message in a partition; None if it has sent none there.

        Snapshots that the stream makes from what it reads do not count as other messages.
        """
        number = 1
        while end > first:
            begin = max(first, end - number)
            for record in reversed(await read_range(consumer, partition, begin, end)):
                mark = ProgressMark.of(record)
                if mark is not None and mark.run == self.run:
                    return mark
                if not (self.among_others or self.is_made(record)):
                    raise OtherEvents(self.other_events(record, mark))
            end, number = begin, min(number * 8, MOST_READ)
        return None

    def other_events(self, record: ConsumerRecord, mark: ProgressMark | None) -> str:
        """Return the error text for a topic that holds other messages."""
        sender = (
            "that a producer recorded"
            if mark is None
            else "that was republished from another source or selection"
        )
        return (
            f"topic {record.topic} at {self.kafka.brokers} holds other events: partition {record.partition}, "
            f"offset {record.offset} is one {sender}. If they are the events that ClickHouse has, as in the "
            "cluster that filled it, all would be counted twice. Republish into empty topics; to send "
            "anyway, after the existing messages, give --among-others. Nothing was sent"
        )

    def is_made(self, record: ConsumerRecord) -> bool:
        """Return whether the stream has made a message from another one."""
        try:
            event = self.wire.decode(record.value)
        except UnreadableMessage:
            return False
        return isinstance(event, KpiSnapshot) and event.source_event_id is not None

    def event_id(self, record: ConsumerRecord) -> bytes:
        try:
            return self.wire.decode(record.value).event_id.encode()
        except UnreadableMessage as error:
            place = f"{record.topic}[{record.partition}] offset {record.offset}"
            raise RepublishError(f"{place} was republished, but can't be read: {error}") from error
