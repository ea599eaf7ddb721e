"""The Faust app: its agents, their tables, and which processor computes what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faust
from aiokafka.structs import ConsumerRecord, TopicPartition
from faust.types import TP

from evometrics.schemas.events import DeadLetter
from evometrics.schemas.metric_defs import Instruments
from evometrics.schemas.reading import read_event
from evometrics.schemas.settings import KafkaSettings
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from evometrics.schemas.wire import UnreadableMessage, WireFormat
from evometrics.streams.batches import Outcome, Sourced
from evometrics.streams.evolutions import EVOLUTIONS, PARTIALS, PROGRESS, EvolutionProcessor
from evometrics.streams.lane import Lane
from evometrics.streams.outputs import OutputProducer
from evometrics.streams.ownership import Ownership
from evometrics.streams.scopes import SCOPES, ScopeMessage, ScopeProcessor
from evometrics.streams.settings import StreamSettings
from evometrics.streams.snapshots import SNAPSHOTS, SnapshotProcessor
from evometrics.streams.sources import EVOLUTION_TOPICS, SCOPE_TOPICS, SNAPSHOT_TOPICS
from evometrics.streams.state import ScopeCounts, decode_state
from evometrics.streams.tables import StateTable
from evometrics.streams.transport import BatchConsumer, BatchTransport
from evometrics.streams.windows import Scope
from evometrics.streams.work import Work, dead_letter

TABLES = (EVOLUTIONS, PARTIALS, PROGRESS, SNAPSHOTS, SCOPES)


def changelog_name(group: str, table: str) -> str:
    """Return the name of a table's changelog topic."""
    return f"{group}-{table}-changelog"


class StreamApp(faust.App):
    """A Faust app on the record-batch transport."""

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)


class FaustMember:
    """The app's worker in its consumer group."""

    def __init__(self, app: StreamApp) -> None:
        self.app = app

    @property
    def generation(self) -> int:
        """The group's generation as of the last assignment."""
        return int(self.app.consumer_generation_id)

    async def confirm(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit offsets; False where the group has gone on without this worker."""
        consumer = self.app.consumer
        assert isinstance(consumer, BatchConsumer)
        return await consumer.confirm(offsets)


@dataclass(slots=True)
class StreamParts:
    """A built app and what belongs to it."""

    app: StreamApp
    producer: OutputProducer
    lanes: list[Lane] = field(default_factory=list)


class Computations:
    """Decodes records and hands them to the processors: one method per lane."""

    def __init__(self, settings: StreamSettings, wire: WireFormat, tables: dict[str, StateTable]) -> None:
        self.wire = wire
        self.tables = tables
        self.node_id = settings.instance or settings.group
        self.evolutions_processor = EvolutionProcessor(settings, wire)
        self.snapshots_processor = SnapshotProcessor(settings, wire)
        self.scopes_processor = ScopeProcessor(settings)

    def evolutions(self, partition: int, records: list[ConsumerRecord]) -> tuple[Outcome, list[DeadLetter]]:
        """Starts and completions of one partition; starts first, so that completions find them."""
        # a stable sort: offsets stay in order within their topic
        records.sort(key=lambda record: record.topic == EVOLUTION_COMPLETED.name)
        batch, letters = self.read(records)
        outcome = self.evolutions_processor.process(
            partition,
            batch,
            self.tables[EVOLUTIONS].partition(partition),
            self.tables[PARTIALS].partition(partition),
            self.tables[PROGRESS].partition(partition),
        )
        return outcome, letters

    def snapshots(self, partition: int, records: list[ConsumerRecord]) -> tuple[Outcome, list[DeadLetter]]:
        """KPI snapshots of one partition."""
        batch, letters = self.read(records)
        states = self.tables[SNAPSHOTS].partition(partition)
        return self.snapshots_processor.process(partition, batch, states), letters

    def scopes(self, partition: int, records: list[ConsumerRecord]) -> tuple[Outcome, list[DeadLetter]]:
        """Scope counts of one partition."""
        batch: list[ScopeMessage] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                scope = Scope.from_key(record.key.decode())
                counts = decode_state(ScopeCounts, record.value)
                batch.append(ScopeMessage(record.offset, scope, counts))
            except Exception as error:
                # whatever fastavro or the key's bytes led to: somebody else wrote to our internal topic
                letters.append(dead_letter(record, error, self.node_id))
        states = self.tables[SCOPES].partition(partition)
        return self.scopes_processor.process(partition, batch, states), letters

    def read(self, records: list[ConsumerRecord]) -> tuple[list[Sourced[Any]], list[DeadLetter]]:
        """Decode and validate records; what can't be computed with becomes a dead letter."""
        batch: list[Sourced[Any]] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                event = read_event(self.wire, record)
            except UnreadableMessage as reason:
                letters.append(dead_letter(record, reason, self.node_id))
                continue
            batch.append(Sourced(record.topic, record.partition, record.offset, event))
        return batch, letters


def build(
    kafka: KafkaSettings,
    settings: StreamSettings,
    wire: WireFormat,
    instruments: Instruments,
    failed: Callable[[BaseException], None],
) -> StreamParts:
    """Build the app, its tables and agents; `failed` hears of an error that a restart must mend."""
    brokers = [f"kafka://{broker.strip()}" for broker in kafka.brokers.split(",")]
    data = Path(settings.data)
    data.mkdir(parents=True, exist_ok=True)
    app = StreamApp(
        settings.group,
        broker=";".join(brokers),
        datadir=data,
        topic_partitions=kafka.partitions,
        topic_replication_factor=kafka.replication,
        topic_disable_leader=True,
        topic_allow_declare=True,
        web_enabled=False,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=settings.session_timeout_seconds / 5,
        consumer_group_instance_id=settings.instance or None,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=1.0,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        stream_publish_on_commit=False,
        producer_linger=0.0,
    )
    tables = {name: StateTable(name, changelog_name(settings.group, name)) for name in TABLES}
    computations = Computations(settings, wire, tables)
    parts = StreamParts(app, OutputProducer(kafka))
    member = FaustMember(app)
    # each lane with its tables in the order in which its processor lists their writes
    lanes: list[tuple[str, tuple[str, ...], tuple[str, ...], Callable[..., Any]]] = [
        ("evolutions", EVOLUTION_TOPICS, (PARTIALS, EVOLUTIONS, PROGRESS), computations.evolutions),
        ("snapshots", SNAPSHOT_TOPICS, (SNAPSHOTS,), computations.snapshots),
        ("scopes", SCOPE_TOPICS, (SCOPES,), computations.scopes),
    ]
    for name, topics, names, compute in lanes:
        own = [tables[table] for table in names]
        forget = computations.evolutions_processor.forget if name == "evolutions" else nothing_to_forget
        work = Work(compute, tables, computations.node_id)
        ownership = Ownership(kafka, settings.group, member, topics, own, parts.producer, forget)
        lane = Lane(name, work, ownership, parts.producer, wire, instruments, failed)
        parts.lanes.append(lane)
        add_agent(app, lane, topics)

    async def assigned(_: Any, partitions: set[TP], **__: Any) -> None:
        for lane in parts.lanes:
            mine = {tp.partition for tp in partitions if tp.topic in lane.ownership.topics}
            lane.ownership.assigned(mine)

    app.on_partitions_assigned.connect(assigned)
    return parts


def nothing_to_forget(partition: int) -> None:
    """Some computations keep nothing in memory about a partition."""


def add_agent(app: StreamApp, lane: Lane, topics: tuple[str, ...]) -> None:
    """Add the Faust agent that feeds a lane."""
    channel = app.topic(
        *topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )

    async def feed(stream: Any) -> None:
        async for event in stream.noack().events():
            await lane.put(event)

    app.agent(channel, name=lane.name)(feed)
