"""Fills topics: encoded events in batches as large as the broker takes, each on its agent's partition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_STARTED, KPI_SNAPSHOTS
from tests.benchmarks.events import CHUNK, SECOND, Events, Made, event_id, start_of

BATCH_BYTES = 900_000
#: One completion in this many has its start in the topic of starts, one is sent twice.
STARTED_EVERY, TWICE_EVERY = 20, 1000
#: One evolution in this many has a snapshot after it.
SNAPSHOT_EVERY = 5
#: Starts whose evolution never completes, long enough before the first event to count as abandoned.
ABANDONED, ABANDONED_SECONDS = 12, 2 * 86_400


class Filler:
    """Sends key and value to partitions, in order; made by `filling`."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self.producer = producer
        self.partitions = partitions
        self.of_key: dict[bytes, int] = {}

    def partition(self, key: bytes) -> int:
        """Return a key's partition."""
        found = self.of_key.get(key)
        if found is None:
            found = self.of_key[key] = partition_of(key, self.partitions)
        return found

    async def send(self, topic: str, messages: Iterable[tuple[bytes, bytes]]) -> int:
        """Send messages and return how many once the broker has all of them."""
        batches = [self.producer.create_batch() for _ in range(self.partitions)]
        sent: list[asyncio.Future[object]] = []
        count = 0
        for key, value in messages:
            partition = self.partition(key)
            if batches[partition].append(key=key, value=value, timestamp=None) is None:
                sent.append(await self.producer.send_batch(batches[partition], topic, partition=partition))
                batches[partition] = self.producer.create_batch()
                batches[partition].append(key=key, value=value, timestamp=None)
            count += 1
        for partition, batch in enumerate(batches):
            if batch.record_count():
                sent.append(await self.producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*sent)
        return count


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that Kafka's default partitioner gives a key."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


@asynccontextmanager
async def filling(kafka: KafkaSettings) -> AsyncIterator[Filler]:
    """Open a producer for filling topics."""
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.brokers, max_batch_size=BATCH_BYTES, max_request_size=2 * BATCH_BYTES
    )
    await producer.start()
    try:
        yield Filler(producer, kafka.partitions)
    finally:
        await producer.stop()


async def fill_completed(filler: Filler, events: Events, first: int, count: int) -> None:
    """Send completions by number, each once."""
    for begin in range(first, first + count, 4 * CHUNK):
        part = events.made(begin, min(4 * CHUNK, first + count - begin))
        await filler.send(EVOLUTION_COMPLETED.name, ((event.key, event.value) for event in part))


@dataclass(frozen=True)
class StreamFill:
    """What a stream has to work on.

    Attributes:
        completed: completions, each counted once.
        twice: of these, sent a second time.
        started: starts of some of the completions.
        abandoned: starts that no completion follows.
    """

    completed: int
    twice: int
    started: int
    abandoned: int

    @property
    def metrics(self) -> int:
        """How many messages of evolution metrics must come of it."""
        return self.completed + self.abandoned


async def fill_stream(filler: Filler, events: Events, count: int) -> StreamFill:
    """Send starts, then completions, a few of them twice."""
    some = events.completed(0, min(count, ABANDONED))
    lost = [start_of(done, event_id(done.started_at, n, 1).decode()) for n, done in enumerate(some)]
    for start in lost:
        start.occurred_at -= ABANDONED_SECONDS * SECOND
        start.evolution_id += "-lost"
    await filler.send(EVOLUTION_STARTED.name, (encoded(events, start) for start in lost))
    twice = started = 0
    for begin in range(0, count, 4 * CHUNK):
        made = list(events.made(begin, min(4 * CHUNK, count - begin)))
        starts = []
        for event in made[::STARTED_EVERY]:
            done = events.wire.decode(event.value)
            assert isinstance(done, EvolutionCompleted)
            starts.append(start_of(done, event_id(done.started_at, event.number, 2).decode()))
        started += await filler.send(EVOLUTION_STARTED.name, (encoded(events, start) for start in starts))
        again = [event for event in made if event.number % TWICE_EVERY == 0]
        twice += len(again)
        await filler.send(EVOLUTION_COMPLETED.name, ((event.key, event.value) for event in [*made, *again]))
    return StreamFill(count, twice, started, len(lost))


async def fill_snapshots(filler: Filler, events: Events, count: int) -> int:
    """Send the KPIs after some of the evolutions as snapshots; return how many."""
    sent = 0
    for begin in range(0, count, 4 * CHUNK):
        made = list(events.made(begin, min(4 * CHUNK, count - begin)))
        sent += await filler.send(
            KPI_SNAPSHOTS.name, (snapshot_after(events, event) for event in made[::SNAPSHOT_EVERY])
        )
    return sent


def snapshot_after(events: Events, made: Made) -> tuple[bytes, bytes]:
    """Return key and value of the snapshot after an evolution."""
    done = events.wire.decode(made.value)
    assert isinstance(done, EvolutionCompleted)
    snapshot = KpiSnapshot(
        event_id=event_id(done.occurred_at, made.number, 3).decode(),
        agent_id=done.agent_id,
        node_id=done.node_id,
        occurred_at=done.occurred_at,
        evolution_id=done.evolution_id,
        phase="post_evolution",
        evaluation_count=made.number % 1000,
        **done.post_kpis,
    )
    return made.key, events.wire.encode(snapshot)


def encoded(events: Events, start: EvolutionStarted) -> tuple[bytes, bytes]:
    """Return a start's key and value."""
    return start.key.encode(), events.wire.encode(start)
