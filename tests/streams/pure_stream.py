"""The stream without Kafka and Faust: processors over in-memory tables, with crashes between steps."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.wire import WireFormat
from evometrics.streams.batches import Outcome, Sourced
from evometrics.streams.evolutions import EvolutionProcessor
from evometrics.streams.scopes import ScopeMessage, ScopeProcessor
from evometrics.streams.settings import StreamSettings
from evometrics.streams.snapshots import SnapshotProcessor
from evometrics.streams.tables import PartitionView

SOURCES = (EvolutionStarted, EvolutionCompleted, KpiSnapshot)


@dataclass
class PureStream:
    """Logs per topic and partition, states per table and partition, and the derived events so far."""

    partitions: int
    settings: StreamSettings = field(default_factory=StreamSettings)
    logs: dict[tuple[str, int], list[Any]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    tables: dict[tuple[str, int], dict[bytes, bytes]] = field(default_factory=lambda: defaultdict(dict))
    derived: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what a worker keeps in memory."""
        wire = WireFormat()
        self.evolutions = EvolutionProcessor(self.settings, wire)
        self.snapshots = SnapshotProcessor(self.settings, wire)
        self.scopes = ScopeProcessor(self.settings)

    def partition_of(self, key: str) -> int:
        return crc32(key.encode()) % self.partitions

    def publish(self, event: Event) -> None:
        self.logs[event.record, self.partition_of(event.key)].append(event)

    def run(self, rng: random.Random, crash: float = 0.0) -> None:
        """Process all logs in batches of any size and order; after a crash, read from the last commit."""
        while behind := [k for k, log in self.logs.items() if self.committed[k] < len(log)]:
            self.step(rng.choice(sorted(behind)), rng, crash)

    def step(self, key: tuple[str, int], rng: random.Random, crash: float) -> None:
        topic, partition = key
        first = self.committed[key]
        last = min(len(self.logs[key]), first + rng.randrange(1, 200))
        outcome = self.compute(topic, partition, list(enumerate(self.logs[key]))[first:last])
        if rng.random() < crash:
            return self.restart()
        self.derived.extend(outcome.events)
        for scope, counts in outcome.counts:
            self.logs["scope_counts", self.partition_of(scope.key)].append((scope, counts))
        for name, number, writes in outcome.writes:
            if rng.random() < crash:
                return self.restart()
            self.tables[name, number].update(writes)
        if rng.random() < crash:
            return self.restart()
        self.committed[key] = last
        return None

    def compute(self, topic: str, partition: int, records: list[tuple[int, Any]]) -> Outcome:
        def view(name: str) -> PartitionView:
            return PartitionView(self.tables[name, partition])

        if topic == "scope_counts":
            messages = [ScopeMessage(offset, *value) for offset, value in records]
            return self.scopes.process(partition, messages, view("scopes"))
        batch = [Sourced(topic, partition, offset, event) for offset, event in records]
        if topic == KpiSnapshot.record:
            return self.snapshots.process(partition, batch, view("snapshots"))
        return self.evolutions.process(
            partition, batch, view("evolutions"), view("partials"), view("progress")
        )

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
