"""From a partition's records to their results: one method per lane.

The steps that can fail because of a single record come first: it is read, and the results that depend on it
alone are computed and encoded. A record whose data are at fault (`AT_FAULT`) becomes a dead letter without
having touched a state. Then the processors combine the rest with the states. Any other exception is a fault
in the program, not in the record: it stops the worker before an offset moves.
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
#: All tables: those that hold the computations' states, and those that record which topics these belong to.
TABLES = (*EVOLUTION_TABLES, *SNAPSHOT_TABLES, SCOPES, *map(sources_table, LANES))


class Computations:
    """Reads records and passes them to the processors.

    `clock` gives the arrival time of a start, `places` a record's place in its topic.
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
        """Process starts and completions of one partition; starts first, so that completions find them."""
        # a stable sort: within a topic the order of offsets is kept
        records.sort(key=lambda record: record.topic == EVOLUTION_COMPLETED.name)
        batch, letters = self.each(records, self.evolution)
        stored = self.stored(EVOLUTION_TABLES, partition)
        return self.evolutions_processor.process(partition, batch, stored), letters

    def overdue(self, partition: int, now: int) -> bool:
        """Return whether evolutions of a partition may count as abandoned at a time of the broker's clock."""
        return self.evolutions_processor.overdue(partition, now, self.stored(EVOLUTION_TABLES, partition))

    def abandon(self, partition: int, now: int) -> Outcome:
        """Report a partition's evolutions that count as abandoned by the clock (`evolutions`)."""
        return self.evolutions_processor.abandon(partition, now, self.stored(EVOLUTION_TABLES, partition))

    def snapshots(self, partition: int, records: list[Record]) -> tuple[Outcome, list[DeadLetter]]:
        """Process KPI snapshots of one partition."""
        batch, letters = self.each(records, self.read)
        stored = self.stored(SNAPSHOT_TABLES, partition)
        return self.snapshots_processor.process(partition, batch, stored), letters

    def scopes(self, partition: int, records: list[Record]) -> tuple[Outcome, list[DeadLetter]]:
        """Process scope counts of one partition."""
        batch, letters = self.each(records, self.scope_message)
        stored = self.stored((SCOPES,), partition)
        return self.scopes_processor.process(partition, batch, stored[SCOPES]), letters

    def stored(self, names: tuple[str, ...], partition: int) -> Mapping[str, ReadStates]:
        """Return one partition of each of the named tables."""
        return {name: self.tables[name].partition(partition) for name in names}

    def each(self, records: list[Record], make: Callable[[Record], T]) -> tuple[list[T], list[DeadLetter]]:
        """Apply `make` to records; those whose data are at fault become dead letters."""
        batch: list[T] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                batch.append(make(record))
            except AT_FAULT as reason:
                letters.append(letter_of(record, reason, self.node_id))
        return batch, letters

    def read(self, record: Record) -> Sourced[Any]:
        event = read_event(self.wire, record)
        assert record.value is not None
        value = self.own_value(event, record.value)
        return Sourced(record.topic, record.partition, self.places.of(record), event, value)

    def evolution(self, record: Record) -> Sourced[Any]:
        """Return a start, or a completion with the results that depend on it alone."""
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
        """Decode a record of the scope-counts topic. Raises if another program wrote it."""
        if record.key is None or record.value is None:
            raise UnreadableMessage("counts without a key or a value")
        try:
            scope = Scope.from_key(record.key.decode())
            counts = ScopeCounts.decode(record.value)
            counts.check(self.scopes_processor.windows)
            if scope.kind not in SHARED_SCOPES:
                raise ValueError(f"a scope of kind {scope.kind:.100}")
        except Exception as error:  # any error that decoding arbitrary bytes can raise
            raise UnreadableMessage(f"not counts of a stream: {error!r}") from error
        return ScopeMessage(self.places.of(record), scope, counts)

    def own_value(self, event: Event, value: bytes) -> bytes:
        """Return an event's message value as this worker writes it, usually identical to the one received."""
        return value if value.startswith(self.wire.prefixes[event.record]) else self.wire.encode(event)


def snapshot_messages(agent_id: str, values: Iterable[bytes]) -> list[Message]:
    """Return the messages of an agent's snapshots."""
    return [Message(KPI_SNAPSHOTS.name, agent_id.encode(), value) for value in values]
