"""The stream without Kafka and Faust: the same computations over states in memory.

Given a partition's events in their order, it returns the rows that the stream makes of them, including ids
and versions. Partial counts are fed back immediately and merged in a single partition, which changes no sum.
States take as much memory as in a stream worker that has all partitions.

The composition of batches does not matter for metrics, KPI deltas and the agents' success rates. Where
partial counts are merged, a batch that spans more event time than `allowed_lateness_seconds` would close
windows before their rows are written: feed less at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aiokafka.structs import ConsumerRecord

from evometrics.schemas.topics import DEAD_LETTERS, KPI_SNAPSHOTS, SCOPE_COUNTS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.reading import Record
from evometrics.streams.changelog.tables import StateTable
from evometrics.streams.processors.computations import TABLES, works_of
from evometrics.streams.processors.evolutions import EVOLUTIONS
from evometrics.streams.processors.work import AT_FAULT, Work
from evometrics.streams.producer import Message, check_size
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources.clock import HistoryClock
from evometrics.streams.states.incarnations import Places
from evometrics.streams.states.live import Outcome

#: Topics that a recomputed history contains itself: letters, and the snapshots made from evolutions' KPIs.
NOT_DERIVED = frozenset({DEAD_LETTERS.name, KPI_SNAPSHOTS.name})


#: The `Change.table` of how far topics were read.
ENDS = "ends"


class Change(NamedTuple):
    """New values of a state table's partition by key; None where a key was deleted."""

    table: str
    partition: int
    values: Mapping[bytes, bytes | None]


def record_of(
    topic: str, partition: int, offset: int, key: bytes, value: bytes, stamp: int
) -> ConsumerRecord:
    """Return a message as a consumer would receive it; `stamp` is its time in Kafka, milliseconds."""
    return ConsumerRecord(
        topic, partition, offset, stamp, 0, key, value, None, len(key), len(value or b""), ()
    )


class OfflineStream:
    """The stream's computations, states in memory, and offsets of its own.

    Offsets are assigned here, replacing those of the records, so that a partition's only ever grow, wherever
    its events come from: several clusters one after the other, or tables that kept the later one of an
    event's messages.

    Attributes:
        unreadable: events that the stream would have turned into dead letters.
        ends: how many records of each topic and partition were read.
    """

    def __init__(self, settings: StreamSettings, wire: WireFormat) -> None:
        self.settings = settings
        self.wire = wire
        self.tables = {name: StateTable(name, name) for name in TABLES}
        for table in self.tables.values():
            table.data = defaultdict(dict)
        self.ends: dict[tuple[str, int], int] = defaultdict(int)
        self.unreadable = 0
        self.changed: dict[tuple[str, int], dict[bytes, bytes | None]] | None = None
        self.restart()

    def restart(self) -> None:
        """Drop what a worker keeps in memory besides its tables."""
        works = works_of(self.settings, self.wire, self.tables, Places(), HistoryClock())
        self.evolutions = works[0]
        self.works: dict[str, Work] = {topic: work for work in works for topic in work.topics}

    def feed(self, records: Iterable[Record]) -> list[Message]:
        """Return the derived events of records, each partition's in order."""
        derived, counts = self.by_partition(records)
        return derived + self.merge(counts)

    def by_partition(self, records: Iterable[Record]) -> tuple[list[Message], list[Message]]:
        """Return each partition's own results: derived events, and partial counts."""
        lanes: dict[tuple[Work, int], list[Record]] = {}
        queues: dict[tuple[str, int], list[Record]] = {}
        ends = self.ends
        for record in records:
            place = record.topic, record.partition
            queue = queues.get(place)
            if queue is None:
                queue = lanes.setdefault((self.work_of(record.topic), record.partition), [])
                queues[place] = queue
            record.offset = ends[place]
            ends[place] += 1
            queue.append(record)
        derived: list[Message] = []
        counts: list[Message] = []
        for (work, partition), batch in lanes.items():
            for message in self.settle(work, partition, batch):
                (counts if message.topic == SCOPE_COUNTS else derived).append(message)
        return derived, counts

    def snapshots(self, record: Record) -> list[Message]:
        """Return the snapshots made from the KPIs of a start or a completion; none for a dead letter."""
        try:
            return [check_size(message) for message in self.evolutions.evolution(record).snapshots]
        except AT_FAULT:
            return []

    def abandon(self, now: int) -> list[Message]:
        """Return the reports of evolutions that are abandoned by the clock at a time, microseconds."""
        derived: list[Message] = []
        for partition in sorted(self.tables[EVOLUTIONS].data):
            if self.evolutions.overdue(partition, now):
                outcome = self.evolutions.abandon(partition, now)
                self.write(outcome)
                derived += outcome.messages
        return derived

    def merge(self, counts: Iterable[Message]) -> list[Message]:
        """Return the derived events of partial counts."""
        records = [record_of(SCOPE_COUNTS, 0, 0, each.key, each.value or b"", 0) for each in counts]
        return self.by_partition(records)[0]

    def work_of(self, topic: str) -> Work:
        """Return the computation that reads a topic. Raises KeyError where none does."""
        try:
            return self.works[topic]
        except KeyError:
            raise KeyError(f"the stream reads no topic {topic}") from None

    def settle(self, work: Work, partition: int, records: list[Record]) -> list[Message]:
        """Return the results of records of one partition, and write the states; as a lane does (`lane`)."""
        try:
            done = work.do(partition, records)
        except AT_FAULT:
            work.forget(partition)
            if len(records) == 1:
                self.unreadable += 1
                return []
            middle = len(records) // 2
            first = self.settle(work, partition, records[:middle])
            return first + self.settle(work, partition, records[middle:])
        self.unreadable += len(done.letters)
        self.write(done.outcome)
        return [message for message in done.messages if message.topic not in NOT_DERIVED]

    def write(self, outcome: Outcome) -> None:
        for name, number, values in outcome.writes:
            put(self.tables[name].data[number], values)
            if self.changed is not None:
                self.changed[name, number].update(values)

    def changes(self) -> list[Change]:
        """Return what has changed since the last call; the first time, all that there is.

        Another stream that is given all changes in their order (`restore`) goes on as this one.
        """
        if self.changed is None:
            found = [
                Change(name, number, dict(values))
                for name, table in self.tables.items()
                for number, values in table.data.items()
            ]
        else:
            found = [Change(name, number, values) for (name, number), values in self.changed.items()]
        self.changed = defaultdict(dict)
        read = (Change(ENDS, n, {topic.encode(): b"%d" % end}) for (topic, n), end in self.ends.items())
        return [*found, *read]

    def restore(self, changes: Iterable[Change]) -> None:
        """Apply the changes of another stream."""
        for name, number, values in changes:
            if name == ENDS:
                for topic, end in values.items():
                    self.ends[topic.decode(), number] = int(end or b"0")
            else:
                put(self.tables[name].data[number], values)


def put(data: dict[bytes, bytes], values: Mapping[bytes, bytes | None]) -> None:
    """Apply values by key; None deletes a key."""
    for key, value in values.items():
        if value is None:
            data.pop(key, None)
        else:
            data[key] = value
