"""From a partition's records to what they lead to: one method per lane.

First what can fail because of one record: it is read, and what it leads to by itself is computed and
encoded. A record whose data are at fault (`AT_FAULT`) becomes a dead letter, and nothing of it has touched a
state. Then the processors bring the rest and the states together. Whatever else is raised is a fault of ours,
not the record's: it stops the worker before an offset moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from evometrics.schemas.events import DeadLetter, Event
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_METRICS, KPI_SNAPSHOTS
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat
from evometrics.schemas.wire.reading import Record, read_event
from evometrics.streams.formulas.windows import SHARED_SCOPES, Scope
from evometrics.streams.processors.evolutions import EVOLUTION_TABLES, EvolutionProcessor
from evometrics.streams.processors.scope_counts import ScopeCounts
from evometrics.streams.processors.scopes import SCOPES, ScopeMessage, ScopeProcessor
from evometrics.streams.processors.snapshots import SNAPSHOT_TABLES, SnapshotProcessor
from evometrics.streams.processors.work import AT_FAULT, letter_of
from evometrics.streams.producer import Message, check_size
from evometrics.streams.rows.metrics import MetricsRows
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources.clock import BrokerClock
from evometrics.streams.states.incarnations import Places, sources_table
from evometrics.streams.states.live import Outcome, ReadableTable, ReadStates, Sourced

T = TypeVar("T")

LANES = ("evolutions", "snapshots", "scopes")
#: All tables: those that the computations keep their states in, and which topics these are of.
TABLES = (*EVOLUTION_TABLES, *SNAPSHOT_TABLES, SCOPES, *map(sources_table, LANES))


class Computations:
    """Reads records and hands them to the processors.

    `clock` tells when a start came, `places` where in its topic a record is.
    """

    def __init__(
        self,
        settings: StreamSettings,
        wire: WireFormat,
        tables: Mapping[str, ReadableTable],
        clock: BrokerClock,
        places: Places,
    ) -> None:
        self.wire = wire
        self.clock = clock
        self.places = places
        self.tables = tables
        self.node_id = settings.instance or settings.group
        self.metrics = MetricsRows(wire)
        self.evolutions_processor = EvolutionProcessor(settings, wire)
        self.snapshots_processor = SnapshotProcessor(settings, wire)
        self.scopes_processor = ScopeProcessor(settings, wire)

    def evolutions(self, partition: int, records: list[Record]) -> tuple[Outcome, list[DeadLetter]]:
        """Starts and completions of one partition; starts first, so that completions find them."""
        # a stable sort: offsets stay in order within their topic
        records.sort(key=lambda record: record.topic == EVOLUTION_COMPLETED.name)
        batch, letters = self.each(records, self.evolution)
        stored = self.stored(EVOLUTION_TABLES, partition)
        return self.evolutions_processor.process(partition, batch, stored), letters

    def overdue(self, partition: int, now: int) -> bool:
        """Tell whether evolutions of a partition may count as abandoned at a time of the broker's clock."""
        return self.evolutions_processor.overdue(partition, now, self.stored(EVOLUTION_TABLES, partition))

    def abandon(self, partition: int, now: int) -> Outcome:
        """Report a partition's evolutions that count as abandoned by the clock (`evolutions`)."""
        return self.evolutions_processor.abandon(partition, now, self.stored(EVOLUTION_TABLES, partition))

    def snapshots(self, partition: int, records: list[Record]) -> tuple[Outcome, list[DeadLetter]]:
        """KPI snapshots of one partition."""
        batch, letters = self.each(records, self.read)
        stored = self.stored(SNAPSHOT_TABLES, partition)
        return self.snapshots_processor.process(partition, batch, stored), letters

    def scopes(self, partition: int, records: list[Record]) -> tuple[Outcome, list[DeadLetter]]:
        """Scope counts of one partition."""
        batch, letters = self.each(records, self.scope_message)
        stored = self.stored((SCOPES,), partition)
        return self.scopes_processor.process(partition, batch, stored[SCOPES]), letters

    def stored(self, names: tuple[str, ...], partition: int) -> Mapping[str, ReadStates]:
        """Return a partition of some tables."""
        return {name: self.tables[name].partition(partition) for name in names}

    def each(self, records: list[Record], make: Callable[[Record], T]) -> tuple[list[T], list[DeadLetter]]:
        """Return what is made of records; those whose data are at fault become dead letters."""
        batch: list[T] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                batch.append(make(record))
            except AT_FAULT as reason:
                letters.append(letter_of(record, reason, self.node_id))
        return batch, letters

    def read(self, record: Record) -> Sourced[Any]:
        """Return a record's event."""
        event = read_event(self.wire, record)
        assert record.value is not None
        value = self.own_value(event, record.value)
        return Sourced(record.topic, record.partition, self.places.of(record), event, value)

    def evolution(self, record: Record) -> Sourced[Any]:
        """Return a start, or a completion and what it leads to by itself."""
        if record.topic != EVOLUTION_COMPLETED.name:
            start = self.read(record)
            start.snapshots = snapshot_messages(
                start.event.agent_id, [self.wire.encode(each) for each in snapshots_of(start.event)]
            )
            start.arrived = self.clock.arrived(record)
            return start
        done = self.metrics.read(record)
        assert record.value is not None
        output = check_size(Message(EVOLUTION_METRICS.name, done.agent_id.encode(), done.row))
        snapshots = snapshot_messages(done.agent_id, done.snapshots)
        place = self.places.of(record)
        return Sourced(record.topic, record.partition, place, done, record.value, output, snapshots)

    def scope_message(self, record: Record) -> ScopeMessage:
        """Return a record of the scope-counts topic. Raises where somebody else wrote it."""
        if record.key is None or record.value is None:
            raise UnreadableMessage("counts without a key or a value")
        try:
            scope = Scope.from_key(record.key.decode())
            counts = ScopeCounts.decode(record.value)
            counts.check(self.scopes_processor.windows)
            if scope.kind not in SHARED_SCOPES:
                raise ValueError(f"a scope of the kind {scope.kind:.100}")
        except Exception as error:  # whatever decoding meets in bytes that no stream has written
            raise UnreadableMessage(f"no counts of a stream's: {error!r}") from error
        return ScopeMessage(self.places.of(record), scope, counts)

    def own_value(self, event: Event, value: bytes) -> bytes:
        """Return an event's message value as this worker writes it, which mostly is how it came."""
        return value if value.startswith(self.wire.prefixes[event.record]) else self.wire.encode(event)


def snapshot_messages(agent_id: str, values: Iterable[bytes]) -> list[Message]:
    """Return the messages of an agent's snapshots."""
    return [Message(KPI_SNAPSHOTS.name, agent_id.encode(), value) for value in values]
