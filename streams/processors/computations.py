"""From a partition's records to their results: one class per lane.

The steps that can fail because of a single record come first: it is read, and the results that depend on it
alone are computed and encoded. A record whose data are at fault (`AT_FAULT`) becomes a dead letter without
having touched a state. Then the processors combine the rest with the states. Any other exception is a fault
in the program, not in the record: it stops the worker before an offset moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from evometrics.schemas.events import DeadLetter
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.kafka.partitions import partition_of
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_METRICS, KPI_SNAPSHOTS
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat
from evometrics.schemas.wire.reading import Record
from evometrics.streams.formulas.windows import SHARED_SCOPES, Scope
from evometrics.streams.processors.evolutions import EVOLUTION_TABLES, EvolutionProcessor
from evometrics.streams.processors.scope_counts import ScopeCounts
from evometrics.streams.processors.scopes import SCOPES, ScopeMessage, ScopeProcessor
from evometrics.streams.processors.snapshots import SNAPSHOT_TABLES, SnapshotProcessor
from evometrics.streams.processors.work import Work
from evometrics.streams.producer import Message, check_size
from evometrics.streams.rows.metrics import MetricsRows
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources.clock import BrokerClock
from evometrics.streams.sources.misplaced import MisplacedEvent
from evometrics.streams.sources.topics import EVOLUTION_TOPICS, SCOPE_TOPICS, SNAPSHOT_TOPICS
from evometrics.streams.states.incarnations import Places, sources_table
from evometrics.streams.states.live import Outcome, Sourced, Tables


class AgentWork(Work):
    """The computation of events that each belong to an agent, and into that agent's partition."""

    processor: EvolutionProcessor | SnapshotProcessor

    def of_agents(
        self, partition: int, records: list[Record], make: Callable[[Record], Sourced[Any]]
    ) -> tuple[Outcome, list[DeadLetter]]:
        """Process records, except for events that belong into another one of the topic's `partitions`.

        With None all are taken where they are.
        """
        made, letters = self.each(records, lambda record: (make(record), record))
        batch: list[Sourced[Any]] = []
        misplaced: list[MisplacedEvent] = []
        for item, record in made:
            agent = item.event.agent_id
            home = record.partition
            if self.partitions is not None:
                home = partition_of(agent.encode(), self.partitions)
            if home == record.partition:
                batch.append(item)
            else:
                value = record.value or b""
                found = MisplacedEvent(record.topic, record.partition, home, agent, record.key, value)
                misplaced.append(found)
        outcome = self.processor.process(partition, batch, self.stored(partition))
        outcome.misplaced = misplaced
        return outcome, letters


class EvolutionWork(AgentWork):
    """Starts and completions become metrics, success rates, snapshots and partial counts."""

    name = "evolutions"
    topics = EVOLUTION_TOPICS
    tables = EVOLUTION_TABLES
    makes = EvolutionProcessor
    processor: EvolutionProcessor

    def __init__(
        self,
        settings: StreamSettings,
        wire: WireFormat,
        states: Tables,
        places: Places,
        clock: BrokerClock,
        partitions: int | None = None,
    ) -> None:
        """`clock`: gives the arrival time of a start."""
        super().__init__(settings, wire, states, places, partitions)
        self.clock = clock
        self.metrics = MetricsRows(wire)

    def compute(self, partition: int, records: list[Record]) -> tuple[Outcome, list[DeadLetter]]:
        """Process starts and completions of one partition; starts first, so that completions find them."""
        # a stable sort: within a topic the order of offsets is kept
        records.sort(key=lambda record: record.topic == EVOLUTION_COMPLETED.name)
        return self.of_agents(partition, records, self.evolution)

    def overdue(self, partition: int, now: int) -> bool:
        """Return whether evolutions of a partition may count as abandoned at a time of the broker's clock."""
        return self.processor.overdue(partition, now, self.stored(partition))

    def abandon(self, partition: int, now: int) -> Outcome:
        """Report a partition's evolutions that count as abandoned by the clock (`evolutions`)."""
        return self.processor.abandon(partition, now, self.stored(partition))

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


class SnapshotWork(AgentWork):
    """KPI snapshots become KPI deltas."""

    name = "snapshots"
    topics = SNAPSHOT_TOPICS
    tables = SNAPSHOT_TABLES
    makes = SnapshotProcessor
    processor: SnapshotProcessor

    def compute(self, partition: int, records: list[Record]) -> tuple[Outcome, list[DeadLetter]]:
        """Process KPI snapshots of one partition."""
        return self.of_agents(partition, records, self.snapshot)

    def snapshot(self, record: Record) -> Sourced[Any]:
        """Return a snapshot. Raises as `read_event` does."""
        found = self.processor.rows.read(record)
        return Sourced(record.topic, record.partition, self.places.of(record), found, found.value)


class ScopeWork(Work):
    """Partial counts of all partitions become the success rates of the scopes that agents share."""

    name = "scopes"
    topics = SCOPE_TOPICS
    tables = (SCOPES,)
    makes = ScopeProcessor
    processor: ScopeProcessor

    def compute(self, partition: int, records: list[Record]) -> tuple[Outcome, list[DeadLetter]]:
        """Process scope counts of one partition."""
        batch, letters = self.each(records, self.scope_message)
        return self.processor.process(partition, batch, self.stored(partition)[SCOPES]), letters

    def scope_message(self, record: Record) -> ScopeMessage:
        """Decode a record of the scope-counts topic. Raises if another program wrote it."""
        if record.key is None or record.value is None:
            raise UnreadableMessage("counts without a key or a value")
        try:
            scope = Scope.from_key(record.key.decode())
            counts = ScopeCounts.decode(record.value)
            counts.check(self.processor.windows)
            if scope.kind not in SHARED_SCOPES:
                raise ValueError(f"a scope of kind {scope.kind:.100}")
        except Exception as error:  # any error that decoding arbitrary bytes can raise
            raise UnreadableMessage(f"not counts of a stream: {error!r}") from error
        return ScopeMessage(self.places.of(record), scope, counts)


#: One for each lane.
WORKS: tuple[type[Work], ...] = (EvolutionWork, SnapshotWork, ScopeWork)
#: All tables: those that hold the computations' states, and those that record which topics these belong to.
TABLES = (
    *(table for work in WORKS for table in work.tables),
    *(sources_table(work.name) for work in WORKS),
)


def works_of(
    settings: StreamSettings,
    wire: WireFormat,
    states: Tables,
    places: Places,
    clock: BrokerClock,
    partitions: int | None = None,
) -> tuple[EvolutionWork, SnapshotWork, ScopeWork]:
    """Return the work of each lane; `partitions`: of each topic, None to take events where they are."""
    return (
        EvolutionWork(settings, wire, states, places, clock, partitions),
        SnapshotWork(settings, wire, states, places, partitions),
        ScopeWork(settings, wire, states, places),
    )


def snapshot_messages(agent_id: str, values: Iterable[bytes]) -> list[Message]:
    """Return the messages of an agent's snapshots."""
    return [Message(KPI_SNAPSHOTS.name, agent_id.encode(), value) for value in values]
