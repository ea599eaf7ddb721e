"""The stream without Kafka and Faust, with logs to read again, and crashes between any two writes."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from evometrics.schemas.events import DeadLetter, Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.topics import BY_RECORD, KPI_SNAPSHOTS, SCOPE_COUNTS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.reading import Record
from evometrics.streams.offline import OfflineStream, record_of
from evometrics.streams.producer import Message
from evometrics.streams.settings import StreamSettings
from evometrics.streams.states.live import Outcome

SOURCES = (EvolutionStarted, EvolutionCompleted, KpiSnapshot)
WIRE = WireFormat()


@dataclass
class PureStream:
    """Logs per topic and partition, states per table and partition, and the derived events so far."""

    partitions: int
    settings: StreamSettings = field(default_factory=StreamSettings)
    logs: dict[tuple[str, int], list[Record]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    derived: list[Event] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.offline = OfflineStream(self.settings, WIRE)
        self.tables = self.offline.tables

    def restart(self) -> None:
        """Forget what a worker keeps in memory."""
        self.offline.restart()

    def partition_of(self, key: str) -> int:
        return crc32(key.encode()) % self.partitions

    def publish(self, event: Event) -> None:
        topic = BY_RECORD[event.record].name
        self.append(Message(topic, event.key.encode(), WIRE.encode(event)), event.occurred_at // 1000)

    def append(self, message: Message, stamp: int = 0) -> None:
        assert message.value is not None
        partition = self.partition_of(message.key.decode())
        log = self.logs[message.topic, partition]
        log.append(record_of(message.topic, partition, len(log), message.key, message.value, stamp))

    def run(self, rng: random.Random, crash: float = 0.0) -> None:
        """Process all logs in batches of any size and order; after a crash, read from the last commit."""
        while behind := [k for k, log in self.logs.items() if self.committed[k] < len(log)]:
            self.step(rng.choice(sorted(behind)), rng, crash)

    def step(self, key: tuple[str, int], rng: random.Random, crash: float) -> None:
        first = self.committed[key]
        last = min(len(self.logs[key]), first + rng.randrange(1, 200))
        outcome = self.compute(*key, self.logs[key][first:last])
        if rng.random() < crash:
            return self.restart()
        self.produce(outcome)
        if not self.write(outcome, rng, crash):
            return self.restart()
        if rng.random() < crash:
            return self.restart()
        self.committed[key] = last
        return None

    def produce(self, outcome: Outcome) -> None:
        """Take an outcome's messages as acknowledged."""
        self.outcomes.append(outcome)
        for message in outcome.messages:
            if message.topic == SCOPE_COUNTS:
                self.append(message)
            elif message.topic == KPI_SNAPSHOTS.name:
                self.publish(WIRE.decode(message.value))
            else:
                self.derived.append(WIRE.decode(message.value))

    def write(self, outcome: Outcome, rng: random.Random, crash: float) -> bool:
        """Write an outcome's states; False where a crash came between any two of them."""
        crashes = rng.random() < crash
        keys = sum(len(values) for _, _, values in outcome.writes)
        left = rng.randrange(keys) if crashes and keys else keys + 1
        for name, number, values in outcome.writes:
            data = self.tables[name].data[number]
            for key, value in values.items():
                if not left:
                    return False
                left -= 1
                if value is None:
                    data.pop(key, None)
                else:
                    data[key] = value
        return not crashes

    def compute(self, topic: str, partition: int, records: list[Record]) -> Outcome:
        outcome, letters = self.offline.work_of(topic).compute(partition, records)
        self.letters += letters
        return outcome

    def rows(self, record: str) -> dict[str, dict[str, Any]]:
        """What analysts would see: per event_id the row with the highest version, the newest of equals."""
        found: dict[str, dict[str, Any]] = {}
        for event in self.derived:
            row = event.to_record()
            if event.record == record and (
                event.event_id not in found
                or row.get("version", 0) >= found[event.event_id].get("version", 0)
            ):
                found[event.event_id] = row
        return found
