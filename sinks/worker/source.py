"""The sink's side of Kafka: polling, plans and offsets in the consumer group, and handling of rebalances."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, UnknownTopicOrPartitionError
from aiokafka.structs import OffsetAndMetadata

from evometrics.schemas.kafka.client_options import HEARTBEAT_SECONDS, client_options
from evometrics.schemas.kafka.offsets import AIOKafkaAdminClient
from evometrics.schemas.kafka.ranges import range_reader, read_page, read_range
from evometrics.schemas.kafka.topic_identity import UNKNOWN, TopicWatch
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import ended_within
from evometrics.schemas.topics import TOPICS
from evometrics.schemas.wire.reading import Record
from evometrics.sinks.settings import SinkSettings
from evometrics.sinks.worker.batch import Partition
from evometrics.sinks.worker.plan import NOTHING, Carried, InsertPlan, metadata, read_metadata
from evometrics.sinks.worker.progress import SinkProgress

log = logging.getLogger(__name__)

FETCH_BYTES = 32_000_000
#: For each record batch in a partition's fetch aiokafka copies the rest of the fetch, twice.
PARTITION_FETCH_BYTES = 524_288
METADATA_AGE_MS = 10_000
#: A client has this long to close; a broker that hangs would hold it for 40 s.
STOP_SECONDS = 3.0


class Fenced(RuntimeError):
    """The group gave the partitions to another worker, which now inserts whatever was not committed."""


class Position(NamedTuple):
    """What is committed for a partition.

    Attributes:
        offset: the next offset.
        plan: the plan that begins there, if any.
        carried: what the next owner is told besides.
        ours: whether a sink committed it; otherwise somebody has reset the group.
    """

    offset: int
    plan: InsertPlan | None
    carried: Carried = NOTHING
    ours: bool = True


class KafkaSource:
    """Reads all topics as one member of the sink's consumer group.

    Attributes:
        progress: notes which partitions this worker has.
        ids: the id of each topic when it was last checked.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        sink: SinkSettings,
        progress: SinkProgress,
        on_revoked: Callable[[], Awaitable[None]],
        on_assigned: Callable[[Collection[Partition]], None],
    ) -> None:
        """`on_revoked`: awaited before partitions are reassigned; `on_assigned`: called with the new ones."""
        self.kafka = kafka
        self.sink = sink
        self.progress = progress
        self.listener = Rebalances(sink.group, progress, on_revoked, on_assigned)
        self.watch = TopicWatch(kafka, [t.name for t in TOPICS])
        self.ids: dict[str, str] = {}
        self.missing: set[str] = set()
        self.consumer: Any = None
        self.admin: Any = None

    async def start(self) -> None:
        """Connect and join the group. Raises `KafkaError` or `OSError` if no broker answers."""
        self.admin = AIOKafkaAdminClient(**client_options(self.kafka))
        self.consumer = AIOKafkaConsumer(
            **client_options(self.kafka),
            group_id=self.sink.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            heartbeat_interval_ms=int(HEARTBEAT_SECONDS * 1000),
            fetch_max_bytes=FETCH_BYTES,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            metadata_max_age_ms=METADATA_AGE_MS,
        )
        try:
            await self.admin.start()
            await self.look()
            self.consumer.subscribe([t.name for t in TOPICS], listener=self.listener)
            await self.consumer.start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Leave the group and disconnect."""
        consumer, admin, self.consumer, self.admin = self.consumer, self.admin, None, None
        if consumer is not None:
            await ended_within(STOP_SECONDS, "the sink's consumer", consumer.stop())
        if admin is not None:
            await ended_within(STOP_SECONDS, "the sink's Kafka client", admin.close())
        await self.watch.close()

    async def poll(self, seconds: float, rows: int) -> Mapping[Partition, list[Record]]:
        """Return up to `rows` messages by partition, waiting at most `seconds` for the first.

        With `rows` 0 nothing is fetched, but the group sees that this worker is alive.
        """
        if rows > 0:
            self.consumer.resume(*self.consumer.paused())
        else:
            self.consumer.pause(*self.consumer.assignment())
        fetched: Mapping[Partition, list[Record]] = await self.consumer.getmany(
            timeout_ms=max(1, int(seconds * 1000)), max_records=max(1, rows)
        )
        return fetched

    async def positions(self, partitions: Iterable[Partition]) -> dict[Partition, Position]:
        """Return the committed positions of these partitions; those without a commit are left out."""
        wanted = [TopicPartition(*p) for p in partitions]
        found = await self.admin.list_consumer_group_offsets(self.sink.group, partitions=wanted)
        return {
            Partition(*tp): Position(
                entry.offset, InsertPlan.from_fields(fields), Carried.from_fields(fields), bool(fields)
            )
            for tp, entry, fields in (
                (tp, entry, read_metadata(entry.metadata)) for tp, entry in found.items() if entry.offset >= 0
            )
            if self.is_of_the_topic(tp.topic, fields)
        }

    def is_of_the_topic(self, name: str, fields: Mapping[str, Any]) -> bool:
        """Return whether committed metadata belongs to the present topic, as far as both name its id.

        Kafka accepts commits by name, including late ones for a topic that was deleted and recreated.
        """
        committed, known = fields.get("topic"), self.ids.get(name)
        return not committed or not known or committed == known

    async def look(self) -> set[str]:
        """Return the topics that have been recreated or deleted since the last call.

        Messages of all other topics that were fetched before the call are of the present topics. Raises
        `KafkaError` or `OSError` if no broker answers.
        """
        found = await self.watch.look()
        missing = self.ids.keys() - found.keys()
        changed, self.missing = missing - self.missing, missing
        for name in changed:
            log.error("topic %s no longer exists; it is read once it is recreated", name)
        for name, each in found.items():
            before = self.ids.get(name, UNKNOWN)
            if each.is_other_than(before):
                changed.add(name)
                log.error(
                    "topic %s was deleted and recreated (id %s): read from its beginning", name, each[0]
                )
            self.ids[name] = each.topic_id or before
        self.rewind({p: 0 for p in self.progress.assigned or () if p.topic in changed & found.keys()})
        return changed

    async def page(self, partition: Partition, first: int, end: int) -> tuple[list[Record], int]:
        """Return the beginning of what Kafka has from `first` on, and where to continue (`read_page`)."""
        async with range_reader(self.kafka) as reader:
            return await read_page(reader, TopicPartition(*partition), first, end)

    async def read(self, partition: Partition, first: int, end: int) -> list[Record]:
        """Return Kafka's records from `first` up to, but not including, `end`, without the group."""
        async with range_reader(self.kafka) as reader:
            return await read_range(reader, TopicPartition(*partition), first, end)

    async def beginnings(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the first offset that Kafka still holds, by partition."""
        async with range_reader(self.kafka) as reader:  # the group's consumer may be waiting for records
            found = await reader.beginning_offsets([TopicPartition(*p) for p in partitions])
        return {Partition(*tp): offset for tp, offset in found.items()}

    async def commit(self, positions: Mapping[Partition, Position]) -> None:
        """Commit offsets with their plans.

        Raises `Fenced` if the partitions now belong to another worker, or no longer exist.
        """
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(
                p.offset, metadata(p.plan, self.ids.get(partition.topic, UNKNOWN), p.carried)
            )
            for partition, p in positions.items()
        }
        try:
            await self.consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError, UnknownTopicOrPartitionError) as error:
            raise Fenced(str(error)) from error

    def rewind(self, offsets: Mapping[Partition, int]) -> None:
        """Read these partitions again from these offsets, as far as they are still ours."""
        for partition, offset in offsets.items():
            if partition in (self.progress.assigned or ()):
                self.consumer.seek(TopicPartition(*partition), offset)


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Lets the worker finish or drop work in progress before partitions are reassigned."""

    def __init__(
        self,
        group: str,
        progress: SinkProgress,
        on_revoked: Callable[[], Awaitable[None]],
        on_assigned: Callable[[Collection[Partition]], None],
    ) -> None:
        self.group = group
        self.progress = progress
        self.on_revoked = on_revoked
        self.on_assigned = on_assigned

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Called before the group rebalances; heartbeats continue meanwhile."""
        await self.on_revoked()
        self.progress.revoke()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Called when this worker learns its partitions."""
        mine = [Partition(*tp) for tp in assigned]
        self.progress.assign(mine)
        self.on_assigned(mine)
        log.info("assigned %d partitions of group %s", len(assigned), self.group)
