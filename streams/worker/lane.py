"""A lane takes one Faust agent's batches through the steps of design section 7, in order.

1. Check that the topics are still the same (`sources`); read and compute (a processor's pure function).
2. Produce the outputs and wait until they are acknowledged.
3. Write the changed states and wait until they are acknowledged.
4. Acknowledge the batch to Faust, which commits its offset.

After a crash between any two steps the batch is read again and leads to the same outputs, with the same ids;
what was already written to state is then skipped by its fence.

Between two rounds a lane may have time-driven work (`timer`); it goes through steps 2 and 3.

A record whose data are at fault goes to the dead letters (`computations`): no event blocks its partition. If
records and states together produce something larger than a topic accepts, the in-memory states are discarded,
as they may be half changed; the partition's records are processed again in halves from the stored states, and
records that fail on their own go to the dead letters. Any other failure is a fault in the program: it is
logged with its traceback and ends the worker; no offset has moved, and a fixed version resumes there.

If records lead to more dead letters than the limit allows (`schemas.letters.limit`) the lane stops before any
of them is sent, and the worker stays up to say why. It keeps its partitions: a successor would only send them
to the dead letters.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka.errors import KafkaError

from evometrics.schemas.letters.limit import LetterCounts, TooManyLetters
from evometrics.schemas.metrics import (
    STREAM_BATCH_SECONDS,
    STREAM_TAKEOVER_SECONDS,
    Instruments,
    MetricDef,
)
from evometrics.schemas.service.tasks import cancelled, end_tasks
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.reading import Record
from evometrics.schemas.wire.registry import RegistryUnavailable
from evometrics.streams.changelog.ownership import NotConfirmed, Ownership
from evometrics.streams.changelog.tables import StateTable
from evometrics.streams.processors.work import (
    AT_FAULT,
    Done,
    Work,
    bad_messages,
    count,
    letter_messages,
    letter_of,
)
from evometrics.streams.producer import OutputProducer, ProducerSpent
from evometrics.streams.sources.misplaced import Misplaced
from evometrics.streams.sources.topics import TopicsChanged
from evometrics.streams.worker.timer import TICK_SECONDS, AbandonedTimer
from evometrics.streams.worker.transport import BatchMessage

log = logging.getLogger(__name__)

#: Batches waiting in a lane before Faust is held back; each is one fetch from one partition.
LANE_DEPTH = 16
#: Queued instead of an event: time has passed.
TICK = object()
#: Failures that end a worker without a fault in the program; they are logged without a traceback.
EXPECTED = (KafkaError, ProducerSpent, RegistryUnavailable, NotConfirmed)
#: Records after which a round takes no further batch: its outputs stay in memory until acknowledged.
ROUND_RECORDS = 10_000


class Lane:
    """Runs the batches of one agent, those of several partitions together, sharing waits for the broker.

    Args:
        work: the computation; its name is the agent's.
        tables: the tables that hold the states, by name.
        ownership: the partitions whose states this worker holds.
        failed: receives errors that only a restart of the worker can resolve.
        letters: counts dead letters, and refuses too many.
        misplaced: notified of events that were sent to their agents' partitions.
        timer: time-driven work, checked between rounds every `timer.TICK_SECONDS`; None for none.

    Attributes:
        stopped: why the lane computes nothing although the worker is up; None while it works.
        steps: progress counter; moves while the lane works.
    """

    def __init__(
        self,
        work: Work,
        tables: Mapping[str, StateTable],
        ownership: Ownership,
        producer: OutputProducer,
        wire: WireFormat,
        instruments: Instruments,
        failed: Callable[[BaseException], None],
        letters: LetterCounts,
        misplaced: Misplaced,
        timer: AbandonedTimer | None = None,
    ) -> None:
        self.name = work.name
        self.work, self.tables = work, tables
        self.ownership = ownership
        self.producer = producer
        self.wire = wire
        self.instruments = instruments
        self.failed = failed
        self.letters = letters
        self.misplaced = misplaced
        self.timer = timer
        self.stopped: str | None = None
        self.queue: asyncio.Queue[Any] = asyncio.Queue(LANE_DEPTH)
        self.task: asyncio.Task[None] | None = None
        self.ticker: asyncio.Task[None] | None = None
        self.steps = 0

    def assigned(self, partitions: Iterable[int]) -> None:
        """Work on these partitions from now on; their states are taken over now, before a batch arrives."""
        self.ownership.assigned(partitions)
        self.start()
        if self.queue.empty():
            self.queue.put_nowait(TICK)

    def start(self) -> None:
        """Run until stopped."""
        if self.task is None:
            self.task = asyncio.create_task(self.run(), name=f"lane-{self.name}")
            if self.timer is not None:
                self.ticker = asyncio.create_task(self.tick(), name=f"lane-{self.name}-ticker")

    async def put(self, event: Any) -> None:
        """Queue a Faust event whose message is a `BatchMessage`; waits while the lane is full."""
        self.start()
        await self.queue.put(event)

    async def tick(self) -> None:
        """Wake the lane periodically, but not while batches are queued: there is a backlog then."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self.queue.empty():
                self.queue.put_nowait(TICK)

    async def stop(self) -> None:
        """Stop; batches that were not acknowledged are read again by the next worker."""
        tasks = [task for task in (self.ticker, self.task) if task is not None]
        self.task = self.ticker = None
        await end_tasks(tasks)

    async def run(self) -> None:
        """Process the queue until stopped; a failure ends the worker, and its successor reads again."""
        try:
            while True:
                events = [await self.queue.get()]
                number = 0 if events[0] is TICK else len(events[0].message.records)
                while number < ROUND_RECORDS and not self.queue.empty():
                    events.append(self.queue.get_nowait())
                    number += 0 if events[-1] is TICK else len(events[-1].message.records)
                batches = [event for event in events if event is not TICK]
                if batches:
                    await self.process(batches)
                else:
                    await self.take_over()
                    if self.timer is not None:
                        await self.do_by_the_clock(self.timer)
        except TooManyLetters as error:
            self.stopped = str(error)
            log.error("the stream has stopped: %s", error)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and cancelled():
                raise
            if isinstance(error, TopicsChanged):  # the worker logs what it does about it
                self.failed(error)
                return
            expected = isinstance(error, EXPECTED)
            log.error(
                "lane %s: %r; the worker stops, its successor continues",
                self.name,
                error,
                exc_info=None if expected else error,
            )
            self.failed(error)

    async def do_by_the_clock(self, timer: AbandonedTimer) -> None:
        """Carry out time-driven work."""
        done = await timer.look()
        if done:
            await self.carry_out(done)
            self.count(done)

    async def take_over(self) -> None:
        """Take over the states of all assigned partitions: together they take little longer than one."""
        began = time.monotonic()
        if await self.ownership.take_over():
            self.observe(STREAM_TAKEOVER_SECONDS, began)

    def is_ours(self, event: Any) -> bool:
        """Return whether a batch was fetched since the last assignment."""
        return bool(event.message.generation_id == self.ownership.member.generation)

    async def process(self, events: list[Any]) -> None:
        """Take Faust events through the four steps."""
        # verified after the fetch, so that the batches are of the topics that the states belong to
        await self.ownership.sources.verify(self.ownership.topics)
        events = [event for event in events if self.is_ours(event)]
        await self.take_over()
        began = time.monotonic()
        # partitions may have been reassigned meanwhile; their new owner reads these batches again
        events = [event for event in events if self.is_ours(event)]
        records: dict[int, list[Record]] = {}
        for event in events:
            message = event.message
            assert isinstance(message, BatchMessage)
            async for late in self.ownership.late(message.records):
                records.setdefault(message.partition, []).extend(late)
                self.count(await self.settle(records))
                records = {}
            unread = await self.ownership.unread(message.records)
            if unread:
                records.setdefault(message.partition, []).extend(unread)
        done = await self.settle(records)
        for event in events:
            # after a reassignment only the new owner may move a partition's committed offset
            if self.is_ours(event):
                event.ack()
        self.count(done)
        self.observe(STREAM_BATCH_SECONDS, began)

    def observe(self, definition: MetricDef, began: float) -> None:
        """Count how long something of this lane took."""
        self.instruments.histogram(definition).labels(self.name).observe(time.monotonic() - began)

    async def settle(self, records: dict[int, list[Record]]) -> list[Done]:
        """Take records of some partitions through the first three steps; return the results."""
        done: list[Done] = []
        failed: list[tuple[int, list[Record], Exception]] = []
        for partition, batch in records.items():
            await self.wire.look_up(record.value for record in batch)
            # revoked while we waited: its next owner reads these records
            if not self.ownership.owns(partition):
                continue
            try:
                done.append(self.work.do(partition, batch))
            except AT_FAULT as reason:
                self.ownership.forget(partition)
                failed.append((partition, batch, reason))
            # a round over a backlog takes a second: let other tasks run in between
            await asyncio.sleep(0)
        if done:
            letters = self.counted(done)
            await self.carry_out(done)
            self.letters = letters
        for partition, batch, error in failed:
            done += await self.settle_failed(partition, batch, error)
        return done

    async def settle_failed(self, partition: int, batch: list[Record], error: Exception) -> list[Done]:
        """Process records among which at least one can't be computed."""
        if len(batch) > 1:
            # one after the other: the second half is computed from the states that the first half leaves
            middle = len(batch) // 2
            first = await self.settle({partition: batch[:middle]})
            return first + await self.settle({partition: batch[middle:]})
        record = batch[0]
        place = f"{record.topic}[{record.partition}] offset {record.offset}"
        log.error("%s can't be computed; it becomes a dead letter", place, exc_info=error)
        letters = [letter_of(record, error, self.work.node_id)]
        done = [Done(partition, batch, letters=letters)]
        counted = self.counted(done)
        await self.producer.send_all(letter_messages(letters, self.wire))
        self.letters = counted
        return done

    def counted(self, done: Iterable[Done]) -> LetterCounts:
        """Return the counts including these results. Raises `TooManyLetters` if there are too many."""
        read: Counter[str] = Counter()
        for each in done:
            read.update(record.topic for record in each.records)
        return self.letters.after(read, bad_messages(letter for each in done for letter in each.letters))

    async def carry_out(self, done: list[Done]) -> None:
        """Produce the outputs, then write the states."""
        await self.producer.send_all(message for each in done for message in each.messages)
        # every processor lists its tables in the same order, and that order matters (explained there)
        for writes in zip(*(each.outcome.writes for each in done), strict=True):
            table = self.tables[writes[0][0]]
            await table.write(self.producer, [(partition, values) for _, partition, values in writes])
            self.steps += 1

    def count(self, done: list[Done]) -> None:
        """Add the results to the worker's metrics."""
        count(self.instruments, self.name, done)
        for each in done:
            self.misplaced.report(each.outcome.misplaced)
