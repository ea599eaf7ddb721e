"""Partition ownership: a lane takes over the states of its partitions before computing their first batch.

Faust reports which partitions a worker has and delivers batches; around rebalances it delivers some twice and
skips others. So each batch is compared with the end of its partition's previous one, or with the committed
offset: records already read are dropped, skipped ones are read here, and those that Kafka has deleted are
counted (`losses`).

Long because taking over, reading on and reading late decide on the same offsets: apart, nothing would show
that each record counts once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.left_to_read import holds_message, left_to_read
from evometrics.schemas.kafka.offsets import AIOKafkaAdminClient, next_offsets
from evometrics.schemas.kafka.ranges import SHORT_RANGE, range_reader, read_page, read_range
from evometrics.schemas.service.backoff import SOON_SECONDS, backoff
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import cancelled
from evometrics.streams.changelog.losses import Losses
from evometrics.streams.changelog.tables import ChangelogReplay, StateTable, marker
from evometrics.streams.producer import OutputProducer
from evometrics.streams.sources.topics import SourceTopics
from evometrics.streams.states.incarnations import Incarnation, Places, present

log = logging.getLogger(__name__)

ANSWER_SECONDS = 30.0


class NotConfirmed(RuntimeError):
    """The group has moved on without this worker, or another worker has marked a changelog meanwhile."""


class GroupMember(Protocol):
    """This worker as a member of its group."""

    @property
    def generation(self) -> int:
        """The group's generation, as last seen by this worker."""

    async def confirm(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit offsets; return whether the broker accepted them (only from current members)."""


class Ownership:
    """The partitions of one lane.

    Args:
        kafka: the broker.
        group: the consumer group whose committed offsets count.
        member: this worker in the group.
        topics: the topics that the lane reads.
        incarnations: the table that records which incarnation of its topic each state belongs to
            (`incarnations`).
        tables: its other tables, in the order in which a batch's states are written.
        producer: writes the markers.
        forget: discards in-memory state of a partition, including that of a failed computation.
        sources: the source topics and their current ids.
        places: notified of where the partitions' places begin.
        losses: notified of records that Kafka has deleted.

    Attributes:
        tables: all its tables, starting with that of the incarnations, which is written before any state.
        mine, generation: the partitions of the last assignment, and the group's generation then.
        loaded: progress counter of taking over; a retry that repeats what earlier attempts read does not move
            it.
        loading: partitions whose states are being taken over.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        member: GroupMember,
        topics: Sequence[str],
        incarnations: StateTable,
        tables: Sequence[StateTable],
        producer: OutputProducer,
        forget: Callable[[int], None],
        sources: SourceTopics,
        places: Places,
        losses: Losses,
    ) -> None:
        self.kafka = kafka
        self.group = group
        self.member = member
        self.topics = topics
        self.incarnations = incarnations
        self.tables = (incarnations, *tables)
        self.producer = producer
        self.forget = forget
        self.sources = sources
        self.places = places
        self.losses = losses
        self.generations: dict[int, int] = {}
        self.next_offsets: dict[TopicPartition, int] = {}
        self.mine: frozenset[int] = frozenset()
        self.generation = -1
        self.loaded = 0
        # furthest offset that any attempt has read in the changelogs being taken over, and their ends at the
        # first attempt: progress adds up over attempts
        self.furthest: dict[TopicPartition, int] = {}
        self.first_ends: dict[TopicPartition, int] = {}
        self.loading: frozenset[int] = frozenset()

    def assigned(self, partitions: Iterable[int]) -> None:
        """Handle a new assignment: keep the partitions owned in the previous generation, drop the others."""
        self.mine, self.generation = mine, generation = frozenset(partitions), self.member.generation
        for tp in [tp for tp in self.first_ends if tp.partition not in mine]:
            self.forget_tries(tp)
        for partition, known in list(self.generations.items()):
            if partition in mine and known >= generation - 1:
                self.generations[partition] = generation
            else:
                self.drop(partition)

    def owns(self, partition: int) -> bool:
        """Return whether this worker holds the states of a partition."""
        return partition in self.generations

    def drop(self, partition: int) -> None:
        self.generations.pop(partition, None)
        for tp in self.sources_of([partition]):
            self.next_offsets.pop(tp, None)
            self.places.drop([tp])
        for table in self.tables:
            table.drop(partition)
        self.forget(partition)

    async def take_over(self) -> bool:
        """Take over the assigned partitions, retrying while the broker is unreachable.

        Those that are revoked meanwhile are not owned afterwards. Returns whether any had to be taken.
        """
        attempt, taken = 0, False
        # the client knows a new generation a little before this worker is told its partitions in it
        while self.generation == self.member.generation and (wanted := self.wanted()):
            taken, generation, self.loading = True, self.generation, frozenset(wanted)
            try:
                await self.load(wanted)
            except (KafkaError, OSError, TimeoutError, NotConfirmed, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and cancelled():
                    raise
                attempt += 1
                log.warning("can't take over the states of partitions %s yet: %r", wanted, error)
                await asyncio.sleep(backoff(attempt, SOON_SECONDS))
                continue
            if generation == self.generation == self.member.generation:
                self.generations |= dict.fromkeys(wanted, generation)
            else:
                for partition in wanted:
                    self.drop(partition)
        self.loading = frozenset()
        return taken

    def wanted(self) -> list[int]:
        """Return the assigned partitions that have still to be taken over."""
        return sorted(p for p in self.mine if self.generations.get(p) != self.generation)

    async def load(self, partitions: list[int]) -> None:
        """Read the changelogs, write this worker's markers, and note the committed offsets of the sources.

        The order matters. A worker confirmed as a member after the changelogs' ends were read either writes
        its markers before the next owner does, or with a term that is not higher than the next owner's, and
        then they do not count.
        """
        for partition in partitions:
            self.drop(partition)
        tps = [TopicPartition(table.topic, p) for table in self.tables for p in partitions]
        replays = {tp: ChangelogReplay() for tp in tps}
        async with range_reader(self.kafka) as consumer:
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            ends = await consumer.end_offsets(tps)
            self.first_ends = ends | self.first_ends
            await self.read_changelogs(consumer, replays, {tp: end for tp, end in ends.items() if end})
            committed = await self.committed(consumer, partitions)
            gone = await self.pass_over_gone(consumer, committed)
            if not await self.member.confirm(committed):
                raise NotConfirmed("the group has moved on without this worker")
            markers: dict[TopicPartition, int] = {}
            # The table that is written last is marked first: a reader then sees the beginning of an earlier
            # owner's batch of writes, never its end without its beginning.
            for table in reversed(self.tables):
                mine = [tp for tp in tps if tp.topic == table.topic]
                marks = [marker(tp.topic, replays[tp].term + 1, tp.partition) for tp in mine]
                markers |= dict(zip(mine, await self.producer.send_all(marks), strict=True))
            await self.read_changelogs(consumer, replays, {tp: at + 1 for tp, at in markers.items()})
        if any(replays[tp].marker != at for tp, at in markers.items()):
            raise NotConfirmed("another worker has marked a changelog meanwhile")
        for table in self.tables:
            for partition in partitions:
                await table.adopt(self.producer, partition, replays[TopicPartition(table.topic, partition)])
        await self.note_incarnations(partitions)
        self.next_offsets |= committed
        for tp in tps:
            self.forget_tries(tp)
        self.loaded += 1
        for tp, first, end in gone:
            self.losses.report(tp, first, end)

    def sources_of(self, partitions: Iterable[int]) -> list[TopicPartition]:
        """Return the source partitions with these numbers."""
        return [TopicPartition(topic, number) for topic in self.topics for number in partitions]

    async def note_incarnations(self, partitions: Iterable[int]) -> None:
        """Determine which incarnation of its topic each partition's places are of; store what has changed."""
        writes: dict[int, dict[bytes, bytes | None]] = {}
        for tp in self.sources_of(partitions):
            stored = self.incarnations.partition(tp.partition).get(tp.topic.encode())
            now = present(stored, self.sources.ids[tp.topic])
            if now.encode() != stored:
                writes.setdefault(tp.partition, {})[tp.topic.encode()] = now.encode()
            if stored is not None and now.number > Incarnation.decode(stored).number:
                log.error(
                    "%s[%d] was deleted and recreated (id %s): it is read from its beginning; unread "
                    "records of the old topic are lost",
                    *tp,
                    now.topic_id,
                )
            self.places.begin(tp, now.number)
        if writes:
            await self.incarnations.write(self.producer, list(writes.items()))

    async def pass_over_gone(
        self, consumer: AIOKafkaConsumer, committed: dict[TopicPartition, int]
    ) -> list[tuple[TopicPartition, int, int]]:
        """Skip to the first offset Kafka still holds; return the spans that were deleted before it."""
        beginnings = await consumer.beginning_offsets(list(committed))
        gone = [(tp, offset, beginnings[tp]) for tp, offset in committed.items() if offset < beginnings[tp]]
        committed |= {tp: end for tp, _, end in gone}
        return gone

    def note_read(self, changelog: TopicPartition, offset: int) -> None:
        """Note that a changelog was read up to an offset."""
        # 0 if the partition was revoked while its changelogs were still being read
        offset = min(offset, self.first_ends.get(changelog, 0))
        if offset > self.furthest.get(changelog, 0):
            self.furthest[changelog] = offset
            self.loaded += 1

    def forget_tries(self, changelog: TopicPartition) -> None:
        """Reset a changelog's progress, once it is taken over or belongs to another worker."""
        self.first_ends.pop(changelog, None)
        self.furthest.pop(changelog, None)

    async def read_changelogs(
        self,
        consumer: AIOKafkaConsumer,
        replays: dict[TopicPartition, ChangelogReplay],
        ends: dict[TopicPartition, int],
    ) -> None:
        """Read the changelogs up to, but not including, these offsets."""
        unread = {tp for tp, end in ends.items() if await consumer.position(tp) < end}
        while unread:
            for tp, records in (await consumer.getmany(*unread, timeout_ms=1000)).items():
                for record in records:
                    replays[tp].add(record.offset, record.key, record.value)
                self.note_read(tp, records[-1].offset + 1)
            unread = {tp for tp in unread if await consumer.position(tp) < ends[tp]}

    async def committed(
        self, consumer: AIOKafkaConsumer, partitions: Iterable[int]
    ) -> dict[TopicPartition, int]:
        """Return the offsets from which the group continues to read the sources of these partitions."""
        wanted = self.sources_of(partitions)
        admin = AIOKafkaAdminClient(**client_options(self.kafka))
        async with asyncio.timeout(ANSWER_SECONDS):
            await admin.start()
            try:
                return await next_offsets(admin, consumer, self.group, wanted, self.sources.ids)
            finally:
                await admin.close()

    async def read_to_the_end(self, partitions: Iterable[int]) -> list[int]:
        """Return those partitions of which everything the topics currently hold has been read.

        The list is empty if the group has moved on without this worker or the broker is unreachable. Records
        that have been read have also been carried out, provided the lane asks between two batches.
        """
        offsets = {
            tp: self.next_offsets[tp]
            for number in partitions
            for tp in (TopicPartition(topic, number) for topic in self.topics)
            if tp in self.next_offsets
        }
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                range_reader(self.kafka) as consumer,
            ):
                left = await left_to_read(consumer, offsets)
                behind = {
                    tp.partition for tp, span in left.items() if await holds_message(consumer, tp, span)
                }
            offsets = {tp: offset for tp, offset in offsets.items() if tp.partition not in behind}
            if not offsets or not await self.member.confirm(offsets):
                return []
        except (KafkaError, OSError, TimeoutError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and cancelled():
                raise
            log.warning("can't tell now whether partitions were read to their ends: %r", error)
            return []
        return sorted({tp.partition for tp in offsets if self.owns(tp.partition)})

    async def late(self, records: Sequence[ConsumerRecord]) -> AsyncIterator[list[ConsumerRecord]]:
        """Yield, page by page, the unread records before one partition's next records, while the gap is long.

        The remainder is left to `unread`. A page counts as read once the next one is requested.
        """
        tp = TopicPartition(records[0].topic, records[0].partition)
        while (following := self.next_offsets.get(tp)) is not None:
            if records[0].offset - following <= SHORT_RANGE:
                return
            async with range_reader(self.kafka) as consumer:
                page, end = await read_page(consumer, tp, following, records[0].offset)
                beginning = (await consumer.beginning_offsets([tp]))[tp]
            self.losses.report(tp, following, min(beginning, page[0].offset if page else end))
            # verified after reading, so that the records are known to be of this topic
            await self.sources.verify([tp.topic])
            log.warning(
                "%s[%s]: of %s offsets after %s, %s were read late",
                *tp,
                end - following,
                following,
                len(page),
            )
            if page and tp in self.next_offsets:
                yield page
            if tp in self.next_offsets:
                self.next_offsets[tp] = max(following, end)

    async def unread(self, records: Sequence[ConsumerRecord]) -> list[ConsumerRecord]:
        """Return one partition's next records, without those already read, with any skipped before them."""
        tp = TopicPartition(records[0].topic, records[0].partition)
        following = self.next_offsets.get(tp)
        if following is None:  # revoked while we waited
            return []
        between: list[ConsumerRecord] = []
        if records[0].offset > following:
            async with range_reader(self.kafka) as consumer:
                between = await read_range(consumer, tp, following, records[0].offset)
                beginning = (await consumer.beginning_offsets([tp]))[tp]
            gap = records[0].offset - following
            log.warning(
                "%s[%s]: of %s offsets after %s, %s were read late", *tp, gap, following, len(between)
            )
            read_from = between[0].offset if between else records[0].offset
            self.losses.report(tp, following, min(beginning, read_from))
            # verified after reading, so that the records are known to be of this topic
            await self.sources.verify([tp.topic])
        if tp in self.next_offsets:
            self.next_offsets[tp] = max(following, records[-1].offset + 1)
        return [*between, *(record for record in records if record.offset >= following)]
