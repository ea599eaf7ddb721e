"""The sink's cycle: collects batches from all topics and stores each in the order plan, insert, commit.

One loop polls Kafka and collects the next batch while one task flushes the last. A flush:

0. check the topics: messages fetched from a topic that was since deleted or recreated are dropped;
1. recover: finish what an earlier worker has planned and not committed;
2. plan: commit the batch's ranges as metadata of its first offsets; fails for a fenced worker;
3. insert: one insert per table and writer schema, under a token derived from the plan, retried until it is
   answered; then messages that can't be read or stored go to the dead letters;
4. commit: commit the next offsets; then count the events' metrics, those of a finished plan as well, whose
   worker did not come to count them.

A crash between any two steps leaves offsets uncommitted, so the same messages are delivered again. An answer
by ClickHouse is certain only once the commit after it has succeeded: only then has nobody else spent its
token meanwhile.

A batch with more dead letters than the limit allows (`schemas.letters.limit`) stops before they are sent: the
worker keeps its partitions, reads nothing more and says why, until it is stopped.

Long because a flush is here from its first step to its last: their order is what makes each event count once.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from aiokafka.errors import KafkaError

from evometrics.schemas.letters.letter import SINK
from evometrics.schemas.letters.limit import LetterCounts, TooManyLetters
from evometrics.schemas.metrics import MESSAGES_CONSUMED, REBALANCES, Instruments
from evometrics.schemas.service.backoff import backoff
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import end_tasks
from evometrics.schemas.topics import EVOLUTION_METRICS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.reading import Record
from evometrics.schemas.wire.registry import RegistryRefused, RegistryUnavailable
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.sinks.worker.batch import Batch, InsertGroup, Partition, Rejected, add_fetched, bad_messages
from evometrics.sinks.worker.dead_letters import DeadLetters
from evometrics.sinks.worker.plan import InsertPlan, deduplication_token, fitted
from evometrics.sinks.worker.progress import SinkProgress
from evometrics.sinks.worker.recovery import Recovery
from evometrics.sinks.worker.source import Fenced, KafkaSource, Position
from evometrics.sinks.worker.tally import MetricsTally
from evometrics.sinks.worker.writer import BadData, NextToken, TableWriter

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.5
BUSY_SECONDS = 0.05
#: The topics are checked with each flush, and at least this often.
LOOK_SECONDS = 10.0
#: How long a rebalance or a stop waits for the flush in progress before it is dropped.
FINISH_SECONDS = 15.0
HAND_OVER_SECONDS = 2.0


class FlushCancelled(RuntimeError):
    """A flush ended without a result; the worker's successor finds out what was stored."""


class SinkCycle:
    """One member of the sink's consumer group; `run` returns when `stop` is set, or raises what ended it.

    Attributes:
        progress: which partitions it has, and how far each is stored.
        stopped: why nothing is read any more although the worker is up; None while it works.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        clickhouse: ClickHouseSettings,
        sink: SinkSettings,
        wire: WireFormat,
        node_id: str,
        instruments: Instruments,
        tally: MetricsTally,
    ) -> None:
        self.sink = sink
        self.wire = wire
        self.instruments = instruments
        self.tally = tally
        self.epoch = uuid.uuid4().hex
        self.progress = SinkProgress()
        self.source = KafkaSource(kafka, sink, self.progress, self.let_go, self.assigned)
        self.number = 0
        self.writer = TableWriter(clickhouse, instruments)
        self.dead_letters = DeadLetters(kafka, wire, node_id, instruments)
        self.recovery = Recovery(self.source, self.progress, self.writer, wire, instruments)
        self.batch = Batch()
        self.born = 0.0
        self.looked = time.monotonic()
        self.changed: set[str] = set()
        self.flushing: asyncio.Task[None] | None = None
        self.registry_failures = 0
        self.letters = LetterCounts(sink, SINK)
        self.stopped: str | None = None
        self.registry_trouble: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then flush the collected batch, as far as `FINISH_SECONDS` allow."""
        self.batch = Batch(self.progress.generation)
        try:
            while not stop.is_set():
                await self.step()
        except TooManyLetters as error:
            await self.hold(error, stop)
        else:
            if self.flushing is None and self.batch.count:
                self.start_flush()
            await self.finish_flush()
        await self.hand_over()

    async def hand_over(self) -> None:
        """Commit, with an offset, what was counted and no scrape has shown: a successor counts it."""
        counts = self.tally.hand_over()
        if not counts:
            return
        mine = sorted(self.progress.assigned or (), key=lambda p: p.topic != EVOLUTION_METRICS.name)
        why: object = "the group is rebalancing"
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                found = await self.source.positions(mine) if mine else {}
                # not where a plan is unfinished: it must stay
                free = [
                    p for p in mine if p in found and found[p].plan is None and not found[p].carried.counts
                ]
                if free:
                    offset, _, carried, _ = found[free[0]]
                    told = replace(carried, counts=fitted(counts))
                    await self.source.commit({free[0]: Position(offset, None, told)})
                    return
        except (KafkaError, OSError, TimeoutError, Fenced) as error:
            why = repr(error)
        if any(counts.values()):
            log.warning("evolutions that no scrape has shown are missing from the metrics: %s", why)

    async def hold(self, reason: TooManyLetters, stop: asyncio.Event) -> None:
        """Read nothing until `stop` is set, but stay in the group: its next member would send the letters."""
        self.stopped = str(reason)
        log.error("the sink has stopped: %s", reason)
        self.batch = Batch(self.progress.generation)
        while not stop.is_set():
            await self.source.poll(IDLE_SECONDS, 0)

    async def close(self) -> None:
        """Leave the group and close all resources, dropping a flush in progress."""
        await self.drop_flush()
        await self.source.close()
        await self.dead_letters.close()
        await self.writer.close()

    async def step(self) -> None:
        """Poll once, add to the batch, start or reap a flush."""
        if self.flushing is not None and self.flushing.done():
            done, self.flushing = self.flushing, None
            if done.cancelled():
                raise FlushCancelled("a flush was cancelled by a library")
            done.result()
        full = self.batch.size >= self.sink.batch_bytes
        room = 0 if full else max(0, self.sink.batch_rows - self.batch.count)
        fetched = await self.source.poll(self.patience(), room)
        if fetched:
            await self.collect(fetched)
        if self.changed:
            self.batch.without(self.changed)
            self.changed = set()
        if self.flushing is None and self.due():
            self.start_flush()

    def patience(self) -> float:
        """Return how many seconds a poll may wait."""
        if self.flushing is not None:
            return BUSY_SECONDS
        if not self.batch.count:
            return IDLE_SECONDS
        return max(0.0, self.born + self.sink.batch_seconds - time.monotonic())

    def due(self) -> bool:
        """Return whether the batch is due, by age or size, or the topics need checking."""
        batch = self.batch
        if not batch.count:
            # also when nothing arrives: the reason may be that a topic was recreated
            return time.monotonic() - self.looked >= LOOK_SECONDS
        large = batch.count >= self.sink.batch_rows or batch.size >= self.sink.batch_bytes
        return large or time.monotonic() - self.born >= self.sink.batch_seconds

    async def collect(self, fetched: Mapping[Partition, list[Record]]) -> None:
        """Add fetched messages to the batch."""
        batch = self.batch
        if batch.generation != self.progress.generation:
            batch = self.batch = Batch(self.progress.generation)
        if not batch.count:
            self.born = time.monotonic()
        try:
            await add_fetched(batch, fetched, self.wire)
        except RegistryUnavailable as error:
            firsts = {p: batch.ranges[p].first for p in batch.ranges}
            firsts |= {Partition(*p): m[0].offset for p, m in fetched.items() if p not in firsts}
            if batch.generation == self.progress.generation:  # otherwise the group has said where to read
                self.source.rewind(firsts)
            self.batch = Batch(self.progress.generation)
            self.registry_failures += 1
            refused = isinstance(error, RegistryRefused)
            self.registry_trouble = (
                str(error) if refused else f"the schema registry does not answer ({error})"
            )
            pause = backoff(self.registry_failures)
            log.warning("schema registry: %s; the same messages are read again in %.1f s", error, pause)
            await asyncio.sleep(pause)
            return
        self.registry_failures, self.registry_trouble = 0, None
        for (topic, number), messages in fetched.items():
            self.instruments.counter(MESSAGES_CONSUMED).labels(topic).inc(len(messages))
            self.progress.committed.setdefault(Partition(topic, number), messages[0].offset)

    def assigned(self, partitions: Collection[Partition]) -> None:
        """Called with the partitions of each new assignment."""
        self.instruments.counter(REBALANCES).inc()
        self.tally.keep(partitions)

    def start_flush(self) -> None:
        """Start flushing the batch and collect a new one."""
        batch, self.batch = self.batch, Batch(self.progress.generation)
        self.flushing = asyncio.create_task(self.flush(batch), name="flush")

    async def flush(self, batch: Batch) -> None:
        """Take a batch through the steps."""
        try:
            await self.mind_topics(batch)
            async for earlier in self.recovery.prepare(batch):
                await self.store(earlier)
            await self.store(batch)
        except Fenced as error:
            log.warning(
                "a batch of %d messages is dropped, because another worker owns it: %s", batch.count, error
            )
            self.start_over(batch)

    async def mind_topics(self, batch: Batch) -> None:
        """Drop messages of topics that have changed; the new topics are read from their beginning."""
        changed = await self.recovery.answered(self.source.look)
        self.looked = time.monotonic()
        if not changed:
            return
        # `step` drops what is collected meanwhile as well: another thread may be working on it
        self.changed |= changed
        dropped = batch.without(changed)
        self.progress.forget_topics(changed)
        log.error(
            "%d messages fetched from %s before these topics were deleted are not stored",
            dropped,
            ", ".join(sorted(changed)),
        )

    async def store(self, batch: Batch) -> None:
        """Plan, insert, send letters, commit, count.

        Raises `Fenced`, and `TooManyLetters` before a letter is sent.
        """
        if not batch.ranges:
            return
        read = batch.read()
        self.letters.after(read, bad_messages(batch.rejected))
        groups = [group for group in batch.groups.values() if group.rows]
        if groups:
            await self.plan(batch, batch.ranges)
        before = await self.recovery.counted_before(batch)
        rejected = batch.rejected + await self.insert(batch)
        letters = self.letters.after(read, bad_messages(rejected))
        await self.dead_letters.send(rejected)
        after = {partition: r.last + 1 for partition, r in batch.ranges.items()}
        carried = {p: self.progress.use_up(p, offset) for p, offset in after.items()}
        await self.source.commit({p: Position(offset, None, carried[p]) for p, offset in after.items()})
        counts = [self.progress.carry(p).counts for p in after]
        self.progress.stored(after)
        self.progress.carried |= carried
        self.letters = letters
        for each in counts:
            self.tally.take(each)
        await self.tally.count([*groups, *batch.left_over], before)

    async def plan(self, batch: Batch, partitions: Iterable[Partition]) -> None:
        """Commit the plan of the next insert of rows of these partitions. Raises `Fenced`."""
        self.number += 1
        ranges = {partition: batch.ranges[partition] for partition in partitions}
        await self.source.commit(
            {
                p: Position(
                    r.first, InsertPlan(r.first, r.last, self.epoch, self.number), self.progress.carry(p)
                )
                for p, r in ranges.items()
            }
        )

    def token(self, group: InsertGroup) -> str:
        """Return the token for inserting a group's rows under the plan committed last."""
        return deduplication_token(group.table, group.schema, self.epoch, self.number)

    async def insert(self, batch: Batch) -> list[Rejected]:
        """Insert each group; remove from its rows, and return, what ClickHouse refuses. Raises `Fenced`."""
        refused: list[tuple[InsertGroup, BadData]] = []

        async def first_try(group: InsertGroup) -> None:
            try:
                await self.writer.insert(group, group.rows, self.token(group))
            except BadData as reason:
                refused.append((group, reason))

        async with asyncio.TaskGroup() as tasks:
            for group in batch.groups.values():
                tasks.create_task(first_try(group))
        # one after the other: a plan names one insert, and no other may be in flight when it changes
        rejected = []
        for group, reason in refused:
            bad = await self.writer.sift(group, reason, self.next_token(batch, group))
            leave_out(group, bad)
            rejected += bad
        return rejected

    def next_token(self, batch: Batch, group: InsertGroup) -> NextToken:
        """Return the function that plans the next insert of some of a group's rows."""

        async def planned() -> str:
            await self.plan(batch, [p for p in batch.ranges if p.topic == group.topic])
            return self.token(group)

        return planned

    def start_over(self, batch: Batch) -> None:
        """After a fenced flush without a rebalance so far: read the same messages again if they stay ours."""
        self.progress.forget()
        if batch.generation == self.progress.generation:
            # drops what was collected meanwhile as well, which may be of other partitions
            collected, self.batch = self.batch, Batch(self.progress.generation)
            firsts = {p: r.first for p, r in collected.ranges.items()}
            self.source.rewind(firsts | {p: r.first for p, r in batch.ranges.items()})

    async def let_go(self) -> None:
        """Called before partitions are reassigned: finish the flush in progress, drop the collected batch."""
        await self.finish_flush()
        self.batch = Batch(self.progress.generation + 1)
        self.progress.committed.clear()
        self.registry_trouble = None

    async def finish_flush(self) -> None:
        """Wait for the flush in progress, up to `FINISH_SECONDS`, then drop it."""
        if (flushing := self.flushing) is not None:
            await asyncio.wait({flushing}, timeout=FINISH_SECONDS)
            if self.flushing is not flushing:  # another call, such as that of a rebalance, has dropped it
                return
            if not flushing.done():
                log.warning("the flush in progress is dropped; its messages stay uncommitted")
            await self.drop_flush()

    async def drop_flush(self) -> None:
        """Cancel the flush in progress; its plan tells the next worker what may be stored."""
        task, self.flushing = self.flushing, None
        if task is not None:
            await end_tasks([task])

    def moved(self) -> object:
        """Return a value that changes as batches make progress: offsets, and inserts that were answered."""
        return tuple(sorted(self.progress.committed.items())), self.writer.answered

    def ready(self) -> str | None:
        """Return None while messages can be read and stored, otherwise what is wrong."""
        if trouble := self.writer.trouble or self.dead_letters.trouble or self.registry_trouble:
            return trouble
        if self.progress.assigned is None:
            return f"not yet a member of group {self.sink.group}"
        return None


def leave_out(group: InsertGroup, rejected: Iterable[Rejected]) -> None:
    """Remove bad messages from a group's rows."""
    bad = {(r.message.partition, r.message.offset) for r in rejected}
    group.rows = [r for r in group.rows if (r.message.partition, r.message.offset) not in bad]
