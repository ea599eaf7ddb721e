"""From the outbox to the broker: in order per agent, deleted only after the acknowledgement.

A session is one idempotent producer (acks=all). While it lives, aiokafka retries a batch under its sequence
number until the broker has it exactly once. Where a session ends without an answer (the broker is unreachable
for long, the process is killed), the next one sends the row again under the same event_id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from evometrics.producers.outbox.row import Row
from evometrics.producers.publisher.backlog import Backlog
from evometrics.producers.publisher.broker_clock import NodeClock
from evometrics.producers.publisher.framing import Framing
from evometrics.producers.publisher.holding import Holding
from evometrics.producers.publisher.partition_queues import PartitionQueue, PartitionQueues
from evometrics.producers.publisher.session import (
    CONNECT_TIMEOUT,
    close,
    new_producer,
    send_batch,
)
from evometrics.producers.publisher.telling import Telling
from evometrics.producers.publisher.thread import Signal
from evometrics.schemas.service.backoff import backoff
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import cancelled
from evometrics.schemas.wire.framing import UnreadableMessage

logger = logging.getLogger(__name__)

#: Most rows that are read and not yet deleted on disk, and most bytes of those not yet acknowledged. After a
#: crash at most the window's rows are sent twice; the stream remembers a node's last 4,096 event ids of a
#: partition.
WINDOW_ROWS = 4000
WINDOW_BYTES = 16_000_000
READ_ROWS = 1000
#: A partition has one batch in flight at a time: smaller batches would make a fast node's events wait.
BATCH_BYTES = 524_288
#: Rows that arrive within this many seconds of each other share a request: at 2,000 events a second a broker
#: spends two thirds of the processor time on them that it does with 0.02.
LINGER = 0.05
#: A session that gets no acknowledgement for this long is abandoned for a new one.
STALL = 30.0
#: Seconds without an answer after which the broker counts as unreachable.
CHECK = 5.0
#: Refused because of the message itself: retrying will not help.
FOR_GOOD = (MessageSizeTooLargeError, RecordListTooLargeError)


class BatchRefused(Exception):
    """The broker permanently refused a batch, which breaks the session's sequence numbers."""


class ReadAgain(Exception):
    """What held rows back has changed: a new session reads everything that is left."""


class Publisher:
    """Sends the backlog as it grows; `run` in one event loop, `wake` from any thread.

    Attributes:
        published: by topic, events that the broker has acknowledged.
        clock: this node's clock relative to the broker's.
        holding: what is held back, and why.
        telling: state of the broker connection, and its reports to the operator.
    """

    def __init__(
        self,
        backlog: Backlog,
        kafka: KafkaSettings,
        refuse: Callable[[Row, str], None],
        framing: Framing,
        published: Counter[str],
    ) -> None:
        """`published`: counts on from what it holds; `refuse` keeps what the broker permanently refuses."""
        self.backlog = backlog
        self.kafka = kafka
        self.refuse = refuse
        self.framing = framing
        self.published = published
        self.batch_bytes = BATCH_BYTES
        self.lanes = PartitionQueues()
        self.clock = NodeClock()
        self.telling = Telling(kafka, self.clock)
        self.holding = Holding(backlog.sources, self.clock, self.telling)
        self.new_rows = Signal()
        self.attempt = 0

    @property
    def problem(self) -> str:
        """Why events, or some of them, are not sent just now; empty where all are."""
        return self.telling.trouble or self.holding.words() or self.telling.clock_refused

    @property
    def connected(self) -> bool:
        """Whether the last attempt reached the broker."""
        return self.telling.connected

    @property
    def failures(self) -> int:
        """How many times something went wrong with the broker."""
        return self.telling.failures

    def wake(self) -> None:
        """Notify the publisher that the outbox has new rows; from any thread."""
        self.new_rows.give()

    async def run(self) -> None:
        """Send for ever: session after session, with growing pauses while the broker is unreachable."""
        while True:
            try:
                await self.session()
            except BatchRefused as error:
                logger.warning("%s", error)
                continue
            except ReadAgain:
                continue
            except asyncio.CancelledError as error:
                if cancelled():
                    raise
                await self.telling.lost(error, self.backlog.depth)
            except Exception as error:
                await self.telling.lost(error, self.backlog.depth)
            self.attempt += 1
            await asyncio.sleep(backoff(self.attempt))

    async def session(self) -> None:
        """Connect and send until something fails, which is raised."""
        self.lanes = PartitionQueues()
        await self.backlog.rewind()
        producer = new_producer(self.kafka, self.batch_bytes)
        try:
            await asyncio.wait_for(producer.start(), CONNECT_TIMEOUT)
            await self.holding.begin(producer.client)
            await self.framing.ready()
            self.recovered()
            await self.send_all(producer)
        finally:
            await close(producer)

    async def send_all(self, producer: AIOKafkaProducer) -> None:
        """Read, send, delete what is acknowledged; ends only by an exception."""
        under_way: dict[asyncio.Future[Any], PartitionQueue] = {}
        arrival: asyncio.Task[bool] | None = None
        last_answer = time.monotonic()
        try:
            while True:
                self.new_rows.clear()
                await self.holding.look(producer.client, self.backlog.depth)
                more = await self.fill(producer)
                await self.send_ready(producer, under_way)
                if self.holding.read_again and not under_way:
                    raise ReadAgain
                if more:
                    await asyncio.sleep(0)  # lets the producer write; then the next rows are read at once
                    continue
                if arrival is None or arrival.done():
                    arrival = asyncio.create_task(self.new_rows.wait())
                waiters = {*under_way, arrival}
                done, _ = await asyncio.wait(waiters, timeout=CHECK, return_when=asyncio.FIRST_COMPLETED)
                if arrival in done:
                    await asyncio.sleep(LINGER)
                answered = [future for future in under_way if future.done()]
                if answered or not under_way:
                    last_answer = time.monotonic()
                if taken := [future for future in answered if future.exception() is None]:
                    self.acknowledged([under_way.pop(future) for future in taken])
                    self.holding.hear(taken[-1].result())
                for future in answered:
                    if future in under_way:
                        await self.failed(under_way.pop(future), future.exception(), under_way)
                self.watch(time.monotonic() - last_answer)
        finally:
            if arrival is not None:
                arrival.cancel()

    async def send_ready(
        self, producer: AIOKafkaProducer, under_way: dict[asyncio.Future[Any], PartitionQueue]
    ) -> None:
        """Send a batch of each partition that has waiting rows and none in flight.

        As long as the broker's time is not known, a single event is sent: its acknowledgement may contain it.
        Nothing is sent once everything has to be read again.
        """
        if self.holding.read_again:
            return
        now = self.clock.now()
        at = round((self.clock.wall() if now is None else now) * 1000)
        if not self.holding.heard:
            for lane in self.lanes.ready()[: 0 if under_way else 1]:
                under_way[await send_batch(producer, lane, self.framing, at, 1)] = lane
            return
        for lane in self.lanes.ready():
            under_way[await send_batch(producer, lane, self.framing, at, WINDOW_ROWS)] = lane

    def room(self) -> int:
        """Return how many rows may be read ahead; acknowledged rows count until they are deleted on disk."""
        if self.lanes.size >= WINDOW_BYTES:
            return 0
        return max(0, min(READ_ROWS, WINDOW_ROWS - self.lanes.rows - self.backlog.undeleted))

    async def fill(self, producer: AIOKafkaProducer) -> bool:
        """Read rows into their queues, except those held back; return whether there may be more."""
        room = 0 if self.holding.read_again else self.room()
        if not room:
            return False
        found = self.backlog.read(room)
        can_go, held = self.holding.divide(found)
        self.backlog.hold(held)
        fit = can_go if self.framing.knows(can_go) else await self.learned(can_go)
        topics = {row.topic for row in fit}
        partitions = {topic: len(await producer.partitions_for(topic)) for topic in topics}
        self.lanes.add(fit, partitions)
        return bool(found)

    async def learned(self, found: list[Row]) -> list[Row]:
        """Learn the schemas that were not met before; return the rows except those that can't be read."""
        fit: list[Row] = []
        for row in found:
            try:
                await self.framing.learn(row)
            except UnreadableMessage as error:
                self.refuse(row, str(error))
                self.backlog.delete([row])
            else:
                fit.append(row)
        return fit

    def acknowledged(self, lanes: list[PartitionQueue]) -> None:
        """Count and delete the batches that the broker has acknowledged."""
        rows: list[Row] = []
        for lane in lanes:
            self.attempt = 0
            done = self.lanes.finish(lane)
            self.published[lane.partition.topic] += len(done)
            rows += done
        self.backlog.delete(rows)

    async def failed(
        self,
        lane: PartitionQueue,
        error: BaseException | None,
        others: dict[asyncio.Future[Any], PartitionQueue],
    ) -> None:
        """Raise the exception for a batch that the broker has not accepted."""
        assert error is not None
        if not isinstance(error, FOR_GOOD):
            raise error
        if others:
            # The producer's sequence of this partition is broken now and a new session has to follow: batches
            # in flight elsewhere get their answers first.
            done, _ = await asyncio.wait(others, timeout=CHECK)
            if taken := [future for future in done if future.exception() is None]:
                self.acknowledged([others.pop(future) for future in taken])
        raise self.refused(lane, error)

    def refused(self, lane: PartitionQueue, error: BaseException) -> BatchRefused:
        """Return the error that ends the session; batches get smaller until the refused message is alone."""
        rows = self.lanes.finish(lane)
        where = f"{lane.partition.topic} partition {lane.partition.partition}"
        if len(rows) > 1:
            self.batch_bytes = max(1, self.batch_bytes // 2)
            return BatchRefused(
                f"{where}: the broker refused a batch of {len(rows)} messages ({error}); resending them in "
                f"batches of at most {self.batch_bytes} bytes"
            )
        (row,) = rows
        self.refuse(row, str(error))
        self.backlog.delete(rows)
        return BatchRefused(f"{where}: the broker refused a message of {len(row.value)} bytes: {error}")

    def watch(self, silence: float) -> None:
        """Report a broker that does not answer; raise TimeoutError where it is time for a new session."""
        if silence > STALL:
            raise TimeoutError(f"no acknowledgement for {silence:.0f} s")
        if silence > CHECK:
            self.report(TimeoutError(f"no acknowledgement for {silence:.0f} s"))
        elif self.telling.trouble:
            self.recovered()

    def report(self, error: BaseException) -> None:
        self.telling.report(error, self.backlog.depth)

    def recovered(self) -> None:
        """Report that the broker is reachable again."""
        self.telling.recovered(self.backlog.depth)
