"""Finishes what a worker before this one has planned and not committed, so that each row is stored once.

That worker may be dead, or only paused: in that case its insert, whose rows may be of partitions that several
successors have now, can still reach ClickHouse at any later moment. So for each of its partitions a successor

1. reads the plan's range again, and leaves out the rows that the table has;
2. inserts the rest under the plan's own token. ClickHouse keeps tokens by partition of the table (a month):
   if the paused worker's insert came first, ours is dropped; if ours came first, all of the other is dropped.
   Either way the token is spent, and nothing can arrive late any more;
3. asks the table once more, and stores what is still missing in the ordinary steps, under a plan of its own.

Should step 2 be dropped because of another successor's rows, step 3 inserts them. A crash between the steps
leaves the same plan, and the next successor does the same.

In addition, each batch is compared with the end of its partitions' previous ones: offsets skipped in between,
for whatever reason, are read here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar

from aiokafka.errors import KafkaError

from evometrics.schemas.kafka.ranges import SHORT_RANGE
from evometrics.schemas.metrics import OFFSETS_GONE, Instruments
from evometrics.schemas.service.backoff import backoff
from evometrics.schemas.topics import BY_NAME, EVOLUTION_METRICS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.registry import RegistryUnavailable
from evometrics.sinks.worker.batch import Batch, Gap, InsertGroup, Partition, add_fetched
from evometrics.sinks.worker.plan import Carried, InsertPlan, deduplication_token
from evometrics.sinks.worker.progress import SinkProgress
from evometrics.sinks.worker.source import KafkaSource
from evometrics.sinks.worker.writer import BadData, TableWriter

log = logging.getLogger(__name__)

T = TypeVar("T")


class Recovery:
    """Finds out where each partition resumes, and what is to be stored before a batch.

    Args:
        progress: where the partitions stand.
    """

    def __init__(
        self,
        source: KafkaSource,
        progress: SinkProgress,
        writer: TableWriter,
        wire: WireFormat,
        instruments: Instruments,
    ) -> None:
        self.source = source
        self.progress = progress
        self.writer = writer
        self.wire = wire
        self.instruments = instruments

    async def prepare(self, batch: Batch) -> AsyncIterator[Batch]:
        """Give, as batches, what is to be stored before a batch; leave out of it what is stored already.

        That is what plans encountered for the first time left unfinished, and what lies in long gaps and
        before them; short gaps are read into the batch. Each must be stored before the next is asked for.
        """
        self.progress.begin(batch.generation)
        unknown = batch.ranges.keys() - self.progress.starts.keys()
        if unknown:
            found = await self.answered(lambda: self.source.positions(unknown))
            fresh = unknown - found.keys()
            if fresh:
                self.progress.starts |= await self.answered(lambda: self.source.beginnings(fresh))
            self.progress.carried |= {p: position.carried for p, position in found.items() if position.ours}
            for partition in unknown:
                if partition.topic == EVOLUTION_METRICS.name and partition not in self.progress.carried:
                    self.progress.carried[partition] = Carried(known=await self.end_of_stored(partition))
            for partition, position in found.items():
                if position.plan is not None:
                    yield await self.unfinished(partition, position.plan, batch.generation)
                # committed offsets are stored, whatever made the consumer begin before them
                self.progress.starts[partition] = position.plan.last + 1 if position.plan else position.offset
        batch.begin_at(self.progress.starts)
        # each partition's gaps in order: a batch's messages before a long gap are stored before it
        gaps = [Gap(p, self.progress.starts[p], r.first) for p, r in batch.ranges.items()] + batch.gaps
        batch.gaps = []
        for partition, first, end in gaps:
            gap = Gap(partition, max(first, self.progress.starts[partition]), end)
            if gap.first < gap.end:
                async for earlier in self.fill(batch, gap):
                    yield earlier

    async def fill(self, batch: Batch, gap: Gap) -> AsyncIterator[Batch]:
        """Read the offsets that a batch skipped, and count those that Kafka has deleted.

        A long gap is given by pages, each as a batch of its own, after the batch's messages before it.
        """
        if gap.end - gap.first > SHORT_RANGE:
            if batch.ranges[gap.partition].first < gap.first:
                yield batch.take_before(gap.partition, gap.first)
            async for page in self.pages(gap, batch.generation):
                yield page
            batch.begin_at({gap.partition: gap.end})
            return
        late = await self.answered(lambda: self.read(gap, batch.generation))
        if late.count:
            log.warning(
                "%s[%d] from offset %d: %d messages are read late", *gap.partition, gap.first, late.count
            )
        batch.join(late)

    async def pages(self, gap: Gap, generation: int) -> AsyncIterator[Batch]:
        """Give what Kafka still has of a gap, one page in memory at a time."""
        partition, first, end = gap
        number = 0
        while first < end:
            page = await self.answered(partial(self.page, partition, first, end, generation))
            first, number = page.ranges[partition].last + 1, number + page.count
            yield page
        log.warning("%s[%d] from offset %d: %d messages were read late", *partition, gap.first, number)

    async def page(self, partition: Partition, first: int, end: int, generation: int) -> Batch:
        """Return the beginning of a range as a batch that covers it; count records that Kafka has deleted."""
        messages, following = await self.source.page(partition, first, end)
        batch = Batch(generation)
        await add_fetched(batch, {partition: messages}, self.wire)
        batch.extend(partition, first, following - 1)
        if not messages or messages[0].offset > first:
            await self.report_gone(Gap(partition, first, following))
        return batch

    async def unfinished(self, partition: Partition, plan: InsertPlan, generation: int) -> Batch:
        """Spend a plan's token; return its range as a batch of the rows that are missing then."""
        batch = await self.answered(lambda: self.read(Gap(partition, plan.first, plan.last + 1), generation))
        planned = sum(len(group.rows) for group in batch.groups.values())
        before = await self.missing(partition, plan, batch)
        for group in batch.groups.values():
            token = deduplication_token(group.table, group.schema, plan.epoch, plan.number)
            await self.claim(group, token)
        after = await self.missing(partition, plan, batch) if before else 0
        log.info(
            "%s[%d] has an unfinished plan, offsets %d to %d: %d rows, of which %d were stored, "
            "%d were inserted under its token",
            *partition,
            plan.first,
            plan.last,
            planned,
            planned - before,
            before - after,
        )
        return batch

    async def read(self, gap: Gap, generation: int) -> Batch:
        """Return a range of messages as a batch that covers all of it; count records Kafka has deleted."""
        batch = Batch(generation)
        messages = await self.source.read(*gap)
        await add_fetched(batch, {gap.partition: messages}, self.wire)
        batch.extend(gap.partition, gap.first, gap.end - 1)
        if not messages or messages[0].offset > gap.first:
            await self.report_gone(gap)
        return batch

    async def missing(self, partition: Partition, plan: InsertPlan, batch: Batch) -> int:
        """Drop from a batch the rows that the table has; return the number left."""
        table = BY_NAME[partition.topic].table
        stored = await self.writer.stored_events(table, partition.partition, plan.first, plan.last)
        batch.leave_out(partition, stored)
        return sum(len(group.rows) for group in batch.groups.values())

    async def end_of_stored(self, partition: Partition) -> int:
        """Return the offset after the last one that a partition's table has; 0 where it has none."""
        return await self.writer.stored_end(BY_NAME[partition.topic].table, partition.partition)

    async def counted_before(self, batch: Batch) -> set[tuple[Partition, int, bytes]]:
        """Return the rows of a batch, by offset and event_id, that were stored before the group was reset."""
        found: set[tuple[Partition, int, bytes]] = set()
        for partition, known in batch.ranges.items():
            if known.first < self.progress.carry(partition).known:
                table, number = BY_NAME[partition.topic].table, partition.partition
                stored = await self.writer.stored_events(table, number, known.first, known.last)
                found |= {(partition, offset, event_id) for offset, event_id in stored}
        return found

    async def claim(self, group: InsertGroup, token: str) -> None:
        """Spend a token on a group's rows, inserting all that are accepted; the rest is found afterwards."""

        async def same() -> str:
            return token

        try:
            await self.writer.insert(group, group.rows, token)
        except BadData as reason:
            await self.writer.sift(group, reason, same)

    async def answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Retry a request to Kafka until it is answered."""
        attempt = 0
        while True:
            try:
                return await ask()
            except (KafkaError, RegistryUnavailable, OSError) as error:
                attempt += 1
                pause = backoff(attempt)
                log.warning("a flush's request to Kafka failed, next attempt in %.1f s: %r", pause, error)
                await asyncio.sleep(pause)

    async def report_gone(self, gap: Gap) -> None:
        """Count those offsets of a gap that Kafka has deleted; others in it never held a message."""
        beginning = (await self.source.beginnings([gap.partition]))[gap.partition]
        gone = min(beginning, gap.end) - gap.first
        if gone > 0:
            self.instruments.counter(OFFSETS_GONE).labels(gap.partition.topic).inc(gone)
            log.error(
                "%s[%d] offsets %d to %d are gone from Kafka (retention); reading continues at %d",
                *gap.partition,
                gap.first,
                gap.first + gone - 1,
                gap.end,
            )
