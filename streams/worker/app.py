"""The Faust app: its agents, their tables, and the computation each one runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust
from aiokafka.structs import TopicPartition
from faust.tables.manager import TableManager
from faust.types import TP

from evometrics.schemas.kafka.client_options import HEARTBEAT_SECONDS
from evometrics.schemas.kafka.offsets import committed_offsets
from evometrics.schemas.kafka.topics import answered
from evometrics.schemas.letters.letter import STREAM
from evometrics.schemas.letters.limit import LetterCounts
from evometrics.schemas.metrics import PUBLISH_ERRORS, REBALANCES, STREAM_STATES, Instruments
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.changelog.losses import Losses
from evometrics.streams.changelog.ownership import Ownership
from evometrics.streams.changelog.tables import StateTable
from evometrics.streams.processors.computations import TABLES, EvolutionWork, works_of
from evometrics.streams.producer import OutputProducer
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources.clock import BrokerClock
from evometrics.streams.sources.misplaced import Misplaced
from evometrics.streams.sources.topics import SourceTopics
from evometrics.streams.states.incarnations import Places, sources_table
from evometrics.streams.worker.credentials import broker_credentials
from evometrics.streams.worker.lane import Lane
from evometrics.streams.worker.membership import InstanceTaken, Membership
from evometrics.streams.worker.timer import AbandonedTimer
from evometrics.streams.worker.transport import BatchConsumer, BatchTransport

#: Bytes fetched per partition at a time, some 450 full completions: for each record batch in a fetch aiokafka
#: copies the rest of the fetch, twice.
FETCH_BYTES = 512 * 1024
#: Batches that Faust holds ready for a lane, in addition to those queued in it.
BUFFERED_BATCHES = 16


def changelog_name(group: str, table: str) -> str:
    """Return the name of a table's changelog topic."""
    return f"{group}-{table}-changelog"


class NoTables(TableManager):
    """Manages Faust's tables, of which the stream has none: its states are in tables of its own.

    Faust (0.15.3) waits a second at the start for tables to be declared, before the worker joins its group.
    """

    async def on_start(self) -> None:
        """Begin at once."""
        await self._update_channels()
        await self.recovery.start()


class StreamApp(faust.App):
    """A Faust app on the record-batch transport."""

    def __init__(
        self,
        group: str,
        kafka: KafkaSettings,
        sources: SourceTopics,
        membership: Membership | None,
        **options: Any,
    ) -> None:
        super().__init__(group, **options)
        self.kafka = kafka
        self.sources = sources
        self.membership = membership

    async def stale(self, partitions: Iterable[TP]) -> set[TP]:
        """Return the partitions without a committed offset, or with that of an earlier topic of the name."""
        group, wanted = str(self.conf.id), [TopicPartition(*tp) for tp in partitions]
        counting = await answered(
            self.kafka, lambda admin: committed_offsets(admin, group, wanted, self.sources.ids)
        )
        return {TP(*tp) for tp in wanted if tp not in counting}

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)


class FaustMember:
    """The app's worker as a member of its consumer group."""

    def __init__(self, app: StreamApp) -> None:
        self.app = app

    @property
    def generation(self) -> int:
        """The group's generation as of the last assignment."""
        return int(self.app.consumer_generation_id)

    async def confirm(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit offsets; return False if the group has moved on without this worker."""
        consumer = self.app.consumer
        assert isinstance(consumer, BatchConsumer)
        return await consumer.confirm(offsets)


@dataclass(slots=True)
class StreamParts:
    """A built app and what belongs to it."""

    app: StreamApp
    producer: OutputProducer
    misplaced: Misplaced
    lanes: list[Lane] = field(default_factory=list)


def build(
    kafka: KafkaSettings,
    settings: StreamSettings,
    wire: WireFormat,
    instruments: Instruments,
    failed: Callable[[BaseException], None],
    sources: SourceTopics,
    losses: Losses,
) -> StreamParts:
    """Build the app, its tables and agents; `failed` receives errors that only a restart can resolve."""
    brokers = [f"kafka://{address}" for address in kafka.addresses]
    data = Path(settings.data)
    data.mkdir(parents=True, exist_ok=True)
    membership = None
    if settings.instance:
        # with other topics the name differs: Kafka gives a returning member the assignment its name had
        # before
        name, loop = f"{settings.instance}-{sources.digest}", asyncio.get_running_loop()

        def taken(error: InstanceTaken) -> None:
            loop.call_soon_threadsafe(failed, error)

        membership = Membership(kafka, settings.group, settings.instance, name, taken)
    app = StreamApp(
        settings.group,
        kafka,
        sources,
        membership,
        broker=";".join(brokers),
        broker_client_id=kafka.client_id,
        broker_credentials=broker_credentials(kafka),
        datadir=str(data).replace("{", "{{").replace("}", "}}"),  # Faust formats it with its own settings
        topic_partitions=kafka.partitions,
        topic_replication_factor=kafka.replication,
        topic_disable_leader=True,
        topic_allow_declare=False,  # all topics exist by now
        web_enabled=False,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=HEARTBEAT_SECONDS,
        consumer_group_instance_id=membership.name if membership else None,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=1.0,
        # a backlog arrives thousands of events at a time, as few large messages
        consumer_max_fetch_size=FETCH_BYTES,
        stream_buffer_maxsize=BUFFERED_BATCHES,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        stream_publish_on_commit=False,
        TableManager=NoTables,
        producer_linger=0.0,
    )
    tables = {name: StateTable(name, changelog_name(settings.group, name)) for name in TABLES}
    clock = BrokerClock()
    places = Places()
    count_error = instruments.counter(PUBLISH_ERRORS).inc
    for table in tables.values():
        instruments.gauge(STREAM_STATES).labels(table.name).set_function(table.keys)
    parts = StreamParts(app, OutputProducer(kafka, clock, count_error), Misplaced(instruments))
    member = FaustMember(app)
    for work in works_of(settings, wire, tables, places, clock, sources.partitions):
        ownership = Ownership(
            kafka,
            settings.group,
            member,
            work.topics,
            tables[sources_table(work.name)],
            [tables[name] for name in work.tables],
            parts.producer,
            work.forget,
            sources,
            places,
            losses,
        )
        timer = AbandonedTimer(work, ownership) if isinstance(work, EvolutionWork) else None
        letters = LetterCounts(settings, STREAM)
        lane = Lane(
            work,
            tables,
            ownership,
            parts.producer,
            wire,
            instruments,
            failed,
            letters,
            parts.misplaced,
            timer,
        )
        parts.lanes.append(lane)
        add_agent(app, lane)

    async def assigned(_: Any, partitions: set[TP], **__: Any) -> None:
        instruments.counter(REBALANCES).inc()
        for lane in parts.lanes:
            # partitions beyond the configured number have no states, and are about to be refused
            lane.assigned(
                {
                    tp.partition
                    for tp in partitions
                    if tp.topic in lane.ownership.topics and tp.partition < sources.partitions
                }
            )

    app.on_partitions_assigned.connect(assigned)
    return parts


def add_agent(app: StreamApp, lane: Lane) -> None:
    """Add the Faust agent that feeds a lane."""
    channel = app.topic(
        *lane.work.topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )

    async def feed(stream: Any) -> None:
        async for event in stream.noack().events():
            await lane.put(event)

    app.agent(channel, name=lane.name)(feed)
