"""Finds out what a worker before this one may have stored, so that only the missing rows are inserted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.errors import KafkaError

from evometrics.schemas.metric_defs import OFFSETS_GONE, Instruments
from evometrics.schemas.topics import BY_NAME
from evometrics.sinks.backoff import backoff
from evometrics.sinks.batch import Batch, Partition
from evometrics.sinks.plan import Plan
from evometrics.sinks.source import Gap, KafkaSource, Position
from evometrics.sinks.writer import TableWriter

log = logging.getLogger(__name__)

T = TypeVar("T")


class Recovery:
    """Knows, for the present assignment, which offsets ahead are in the tables already."""

    def __init__(self, source: KafkaSource, writer: TableWriter, instruments: Instruments) -> None:
        self.source = source
        self.writer = writer
        self.instruments = instruments
        self.generation = -1
        self.known: set[Partition] = set()
        self.unfinished: dict[Partition, Plan] = {}
        self.stored: dict[Partition, set[int]] = {}

    def forget(self) -> None:
        """Read the plans anew before the next batch: what was committed last is not certain."""
        self.generation = -1
        self.known, self.unfinished, self.stored = set(), {}, {}

    async def prepare(self, batch: Batch) -> None:
        """Drop from the batch what the tables have.

        Reads the plans of partitions met for the first time since the assignment, and asks the tables
        for the offsets in their ranges.
        """
        if self.generation != batch.generation:
            self.forget()
            self.generation = batch.generation
        gaps, self.source.gaps = self.source.gaps, []
        for gap in gaps:
            await self.report_gone(gap)
        unknown = batch.ranges.keys() - self.known
        if unknown:
            found = await self.answered(lambda: self.source.positions(unknown))
            # what is committed is stored, whatever made the consumer begin before it
            batch.begin_at({partition: position.offset for partition, position in found.items()})
            for partition, position in found.items():
                if partition in batch.ranges:
                    await self.look_up(partition, position, batch.ranges[partition].first)
            self.known |= unknown & batch.ranges.keys()
        dropped = batch.leave_out(self.stored)
        if dropped:
            log.info("%d messages of an unfinished batch were stored before, left out", dropped)

    async def answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask Kafka until it has answered."""
        attempt = 0
        while True:
            try:
                return await ask()
            except (KafkaError, OSError) as error:
                attempt += 1
                pause = backoff(attempt)
                log.warning("the group's plans were not read, next try in %.1f s: %r", pause, error)
                await asyncio.sleep(pause)

    async def look_up(self, partition: Partition, position: Position, first: int) -> None:
        """Take note of one partition's plan, and of offsets that Kafka no longer had."""
        if first > position.offset:
            await self.report_gone(Gap(partition, position.offset, first))
        plan = position.plan
        if plan is None:
            return
        table = BY_NAME[partition.topic].table
        stored = await self.writer.stored_offsets(table, partition.partition, plan.first, plan.last)
        self.unfinished[partition] = plan
        self.stored[partition] = stored
        log.info(
            "%s[%d] has an unfinished batch, offsets %d to %d: %d of %d rows are stored",
            *partition,
            plan.first,
            plan.last,
            len(stored),
            plan.count,
        )

    async def report_gone(self, gap: Gap) -> None:
        """Count those offsets of a gap that Kafka has no more; others in it were never given out."""
        beginning = (await self.answered(lambda: self.source.beginnings([gap.partition])))[gap.partition]
        gone = min(beginning, gap.end) - gap.first
        if gone > 0:
            labels = (gap.partition.topic, str(gap.partition.partition))
            self.instruments.counter(OFFSETS_GONE).labels(*labels).inc(gone)
            log.error(
                "%s[%d] offsets %d to %d are gone from Kafka (retention); reading goes on at %d",
                *gap.partition,
                gap.first,
                gap.first + gone - 1,
                gap.end,
            )

    def plan(self, partition: Partition, first: int, last: int, count: int, epoch: str) -> Plan:
        """Return the plan to commit before an insert: a batch's range and what is unfinished beyond it."""
        unfinished = self.unfinished.get(partition)
        if unfinished is not None and unfinished.last > last:
            return Plan(first, unfinished.last, max(count, unfinished.count), epoch)
        return Plan(first, last, count, epoch)

    def after(self, partition: Partition, next_offset: int) -> Position:
        """Return the position to commit after an insert, with what is still unfinished."""
        unfinished = self.unfinished.get(partition)
        rest = unfinished.rest(next_offset) if unfinished else None
        if unfinished and rest is None:
            del self.unfinished[partition], self.stored[partition]
        return Position(next_offset, rest)
