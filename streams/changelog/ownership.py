"""Which partitions a lane owns: their states are taken over before its first batch is computed.

Faust tells which partitions a worker has, and brings batches; around rebalances it brings some twice and
passes over others. So each batch is held against where its partition's last one ended, or the committed
offset: what was read before is dropped, what lies between is read here, and what Kafka has no more of it is
counted (`losses`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

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
    """The group has gone on without this worker, or another one has marked a changelog meanwhile."""


class GroupMember(Protocol):
    """This worker as a member of its group."""

    @property
    def generation(self) -> int:
        """The group's generation, as far as the worker knows."""

    async def confirm(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit offsets; tell whether the broker took them, which it does from present members alone."""


class Ownership:
    """The partitions of one lane.

    Args:
        kafka: the broker.
        group: the consumer group whose committed offsets count.
        member: this worker in the group.
        topics: what the lane reads.
        incarnations: the table of which topics the states are of (`incarnations`).
        tables: its other tables, in the order in which a batch's states are written.
        producer: writes the markers.
        forget: drops what a computation, one that failed too, has left in memory about a partition.
        sources: the topics as they are.
        places: is told where the partitions' places begin.
        losses: is told what Kafka has no more.

    Attributes:
        tables: all its tables, that of the incarnations first: it is written before any state.
        mine: partitions that the worker was assigned last.
        loaded: moves while partitions are taken over, but not where a try only repeats the one before.
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
        self.loaded = 0
        # how far some try has read the changelogs of partitions that are not taken over yet, and where they
        # ended at the first: each try adds to them
        self.furthest: dict[TopicPartition, int] = {}
        self.first_ends: dict[TopicPartition, int] = {}
        self.loading: frozenset[int] = frozenset()

    def assigned(self, partitions: Iterable[int]) -> None:
        """Called when the worker learns its partitions: keep those that it had in the generation before."""
        mine, generation = frozenset(partitions), self.member.generation
        self.mine = mine
        for tp in [tp for tp in self.first_ends if tp.partition not in mine]:
            self.forget_tries(tp)
        for partition, known in list(self.generations.items()):
            if partition in mine and known >= generation - 1:
                self.generations[partition] = generation
            else:
                self.drop(partition)

    def owns(self, partition: int) -> bool:
        """Tell whether the states of a partition are here."""
        return partition in self.generations

    def drop(self, partition: int) -> None:
        """Forget a partition."""
        self.generations.pop(partition, None)
        for tp in self.sources_of([partition]):
            self.next_offsets.pop(tp, None)
            self.places.drop([tp])
        for table in self.tables:
            table.drop(partition)
        self.forget(partition)

    async def take_over(self, partitions: Iterable[int]) -> None:
        """Own partitions that the worker was assigned; a broker that is away is waited for.

        Should the worker lose them meanwhile, it does not own them afterwards.
        """
        generation = self.member.generation
        wanted = sorted({p for p in partitions if self.generations.get(p) != generation})
        self.loading = frozenset(wanted)
        attempt = 0
        while wanted and generation == self.member.generation:
            try:
                await self.load(wanted)
            except (KafkaError, OSError, TimeoutError, NotConfirmed, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and cancelled():
                    raise
                attempt += 1
                log.warning("states of partitions %s can't be taken over yet: %r", wanted, error)
                await asyncio.sleep(backoff(attempt, SOON_SECONDS))
                continue
            if generation == self.member.generation:
                self.generations |= dict.fromkeys(wanted, generation)
            break
        self.loading = frozenset()

    async def load(self, partitions: list[int]) -> None:
        """Read the changelogs, mark them as ours, and note where the sources were committed.

        The order matters. Whoever is a member after the changelogs' ends were read marks them before the
        next owner does, or with a term that is not above that one's, and does not count then.
        """
        for partition in partitions:
            self.drop(partition)
        tps = [TopicPartition(table.topic, p) for table in self.tables for p in partitions]
        replays = {tp: ChangelogReplay() for tp in tps}
        async with range_reader(self.kafka, f"{self.kafka.client_id}-state") as consumer:
            consumer.assign(tps)
            await consumer.seek_to_beginning(*tps)
            ends = await consumer.end_offsets(tps)
            self.first_ends = ends | self.first_ends
            await self.read_changelogs(consumer, replays, {tp: end for tp, end in ends.items() if end})
            committed = await self.committed(consumer, partitions)
            gone = await self.pass_over_gone(consumer, committed)
            if not await self.member.confirm(committed):
                raise NotConfirmed("the group has gone on without this worker")
            markers: dict[TopicPartition, int] = {}
            # The last table written is marked first: of an earlier owner's batch a reader then takes a
            # beginning of its writes, never an end without the beginning.
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
        """Return the sources of some partitions."""
        return [TopicPartition(topic, number) for topic in self.topics for number in partitions]

    async def note_incarnations(self, partitions: Iterable[int]) -> None:
        """Find out which topics the partitions' places are of; write what has changed of it."""
        writes: dict[int, dict[bytes, bytes | None]] = {}
        for tp in self.sources_of(partitions):
            stored = self.incarnations.partition(tp.partition).get(tp.topic.encode())
            now = present(stored, self.sources.ids[tp.topic])
            if now.encode() != stored:
                writes.setdefault(tp.partition, {})[tp.topic.encode()] = now.encode()
            if stored is not None and now.number > Incarnation.decode(stored).number:
                log.error(
                    "%s[%d] was deleted and made anew (id %s): it is read from its beginning; what was not "
                    "read of the old topic is gone with it",
                    *tp,
                    now.topic_id,
                )
            self.places.begin(tp, now.number)
        if writes:
            await self.incarnations.write(self.producer, list(writes.items()))

    async def pass_over_gone(
        self, consumer: AIOKafkaConsumer, committed: dict[TopicPartition, int]
    ) -> list[tuple[TopicPartition, int, int]]:
        """Let reading go on where Kafka still has something; return what lies before and is gone."""
        beginnings = await consumer.beginning_offsets(list(committed))
        gone = [(tp, offset, beginnings[tp]) for tp, offset in committed.items() if offset < beginnings[tp]]
        committed |= {tp: end for tp, _, end in gone}
        return gone

    def note_read(self, changelog: TopicPartition, offset: int) -> None:
        """Take in that a changelog was read up to an offset."""
        # 0 where the partition was given away while its changelogs are still being read
        offset = min(offset, self.first_ends.get(changelog, 0))
        if offset > self.furthest.get(changelog, 0):
            self.furthest[changelog] = offset
            self.loaded += 1

    def forget_tries(self, changelog: TopicPartition) -> None:
        """Forget how far a changelog was read: it is taken over, or another worker's."""
        self.first_ends.pop(changelog, None)
        self.furthest.pop(changelog, None)

    async def read_changelogs(
        self,
        consumer: AIOKafkaConsumer,
        replays: dict[TopicPartition, ChangelogReplay],
        ends: dict[TopicPartition, int],
    ) -> None:
        """Read on in changelogs, up to but without these offsets."""
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
        """Return where the group goes on reading the sources of these partitions."""
        wanted = self.sources_of(partitions)
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.brokers, client_id=self.kafka.client_id)
        async with asyncio.timeout(ANSWER_SECONDS):
            await admin.start()
            try:
                return await next_offsets(admin, consumer, self.group, wanted, self.sources.ids)
            finally:
                await admin.close()

    async def read_to_the_end(self, partitions: Iterable[int]) -> list[int]:
        """Return those partitions of which everything was read that the topics hold at this moment.

        None where the group has gone on without this worker, or the broker is away. What is read here was
        carried out, as long as the lane asks between two batches.
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
                range_reader(self.kafka, f"{self.kafka.client_id}-state") as consumer,
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
            log.warning("whether partitions were read to their ends can't be told now: %r", error)
            return []
        return sorted({tp.partition for tp in offsets if self.owns(tp.partition)})

    async def late(self, records: Sequence[ConsumerRecord]) -> AsyncIterator[list[ConsumerRecord]]:
        """Yield by pages what lies before one partition's next records, while it is a long gap.

        What is left is for `unread`. A page counts as read once the next one is asked for.
        """
        tp = TopicPartition(records[0].topic, records[0].partition)
        while (following := self.next_offsets.get(tp)) is not None:
            if records[0].offset - following <= SHORT_RANGE:
                return
            async with range_reader(self.kafka, f"{self.kafka.client_id}-state") as consumer:
                page, end = await read_page(consumer, tp, following, records[0].offset)
                beginning = (await consumer.beginning_offsets([tp]))[tp]
            self.losses.report(tp, following, min(beginning, page[0].offset if page else end))
            # what was read here was so after the topic was looked at
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
        """Return what one partition's next records are: these, less what was read, with what lies before."""
        tp = TopicPartition(records[0].topic, records[0].partition)
        following = self.next_offsets.get(tp)
        if following is None:  # given away while we waited
            return []
        between: list[ConsumerRecord] = []
        if records[0].offset > following:
            async with range_reader(self.kafka, f"{self.kafka.client_id}-state") as consumer:
                between = await read_range(consumer, tp, following, records[0].offset)
                beginning = (await consumer.beginning_offsets([tp]))[tp]
            gap = records[0].offset - following
            log.warning(
                "%s[%s]: of %s offsets after %s, %s were read late", *tp, gap, following, len(between)
            )
            read_from = between[0].offset if between else records[0].offset
            self.losses.report(tp, following, min(beginning, read_from))
            # what was read here was so after the topic was looked at
            await self.sources.verify([tp.topic])
        if tp in self.next_offsets:
            self.next_offsets[tp] = max(following, records[-1].offset + 1)
        return [*between, *(record for record in records if record.offset >= following)]
