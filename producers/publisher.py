"""From the outbox to the broker: in order per agent, deleted only after the acknowledgement.

A session is one idempotent producer (acks=all). While it lives, aiokafka repeats a batch under its sequence
number until the broker has it once. Where a session ends without an answer (the broker is away for long, the
process is killed), the next one sends the row again under the same event_id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from evometrics.producers.backlog import Backlog, Queued
from evometrics.producers.framing import Framing
from evometrics.producers.kafka_session import (
    CONNECT_TIMEOUT,
    check_topics,
    close,
    new_producer,
    send_batch,
)
from evometrics.producers.lanes import Lane, Lanes
from evometrics.producers.row import Row
from evometrics.schemas.compatibility import IncompatibleSchema
from evometrics.schemas.registry import RegistryUnavailable
from evometrics.schemas.settings import KafkaSettings
from evometrics.schemas.tasks import cancelled
from evometrics.schemas.wire import UnreadableMessage

logger = logging.getLogger(__name__)

#: Rows read and not yet deleted on disk, and bytes of those not yet acknowledged. After a crash at most the
#: window's rows are sent twice; the stream remembers a node's last 4,096 event ids of a partition.
WINDOW_ROWS = 4000
WINDOW_BYTES = 16_000_000
READ_ROWS = 1000
#: A partition's next batch waits for the one under way: a small one is what a fast node's events wait for.
BATCH_BYTES = 524_288
#: Rows that arrive within this many seconds of each other share a request: at 2,000 events a second a broker
#: spends two thirds of the processor time on them that it does with 0.02.
LINGER = 0.05
#: A session that gets no acknowledgement for this long is given up for a new one.
STALL = 30.0
#: Seconds without an answer after which the broker counts as away.
CHECK = 5.0
BACKOFF_FIRST, BACKOFF_MOST = 0.2, 10.0
REMIND_EVERY = 60.0
#: Refused for what the message is: no repeating will help.
FOR_GOOD = (MessageSizeTooLargeError, RecordListTooLargeError)


class BatchRefused(Exception):
    """The broker refused a batch for good; the session's sequence numbers are broken by that."""


class Publisher:
    """Sends the backlog as it grows; `run` in one event loop, `wake` from any thread.

    Attributes:
        published: by topic, events that the broker has acknowledged.
        connected: whether the last attempt reached the broker.
        problem: why the broker can't be used just now; empty where it can.
        failures: how many times it could not.
    """

    def __init__(
        self, backlog: Backlog, kafka: KafkaSettings, refuse: Callable[[Row, str], None], framing: Framing
    ) -> None:
        self.backlog = backlog
        self.kafka = kafka
        self.refuse = refuse
        self.framing = framing
        self.published: Counter[str] = Counter()
        self.connected = False
        self.problem = ""
        self.batch_bytes = BATCH_BYTES
        self.lanes = Lanes()
        self.new_rows = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.reminded = 0.0
        self.failures = 0
        self.attempt = 0

    def wake(self) -> None:
        """Tell that the outbox has new rows; from any thread."""
        if not self.new_rows.is_set():
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody is left to wake
                self.loop.call_soon_threadsafe(self.new_rows.set)

    async def run(self) -> None:
        """Send for ever: session after session, with growing pauses while the broker is away."""
        while True:
            try:
                await self.session()
            except BatchRefused as error:
                logger.warning("%s", error)
                continue
            except asyncio.CancelledError as error:
                if cancelled():
                    raise
                self.report(error)
            except Exception as error:
                self.report(error)
            self.attempt += 1
            await asyncio.sleep(backoff(self.attempt))

    async def session(self) -> None:
        """Connect and send until something fails, which is raised."""
        self.lanes = Lanes()
        await self.backlog.rewind()
        producer = new_producer(self.kafka, self.batch_bytes)
        try:
            await asyncio.wait_for(producer.start(), CONNECT_TIMEOUT)
            await check_topics(producer)
            await self.framing.ready()
            self.recovered()
            await self.send_all(producer)
        finally:
            await close(producer)

    async def send_all(self, producer: AIOKafkaProducer) -> None:
        """Read, send, delete what is acknowledged; ends only by what it raises."""
        under_way: dict[asyncio.Future[Any], Lane] = {}
        arrival: asyncio.Task[bool] | None = None
        last_answer = time.monotonic()
        try:
            while True:
                self.new_rows.clear()
                more = await self.fill(producer)
                for lane in self.lanes.ready():
                    under_way[await send_batch(producer, lane, self.framing)] = lane
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
                for future in answered:
                    if future in under_way:
                        await self.failed(under_way.pop(future), future.exception(), under_way)
                self.watch(time.monotonic() - last_answer)
        finally:
            if arrival is not None:
                arrival.cancel()

    def room(self) -> int:
        """Return how many rows may be read ahead; what the broker has counts until it is deleted on disk."""
        if self.lanes.size >= WINDOW_BYTES:
            return 0
        return max(0, min(READ_ROWS, WINDOW_ROWS - self.lanes.rows - self.backlog.undeleted))

    async def fill(self, producer: AIOKafkaProducer) -> bool:
        """Read rows into their lanes; tell whether there may be more."""
        room = self.room()
        if not room:
            return False
        found = self.backlog.read(room)
        known = all(self.framing.knows(row) for _, row in found)
        fit = found if known else await self.learned(found)
        topics = {row.topic for _, row in fit}
        partitions = {topic: len(await producer.partitions_for(topic)) for topic in topics}
        self.lanes.add(fit, partitions)
        return bool(found)

    async def learned(self, found: list[Queued]) -> list[Queued]:
        """Get ready for kinds of rows that were not met before; return the rows without those of no use."""
        fit: list[Queued] = []
        for item in found:
            try:
                await self.framing.learn(item[1])
            except UnreadableMessage as error:
                self.refuse(item[1], str(error))
                self.backlog.delete([item])
            else:
                fit.append(item)
        return fit

    def acknowledged(self, lanes: list[Lane]) -> None:
        """Count and delete the batches that the broker has taken."""
        items: list[Queued] = []
        for lane in lanes:
            self.attempt = 0
            done = self.lanes.finish(lane)
            self.published[lane.partition.topic] += len(done)
            items += done
        self.backlog.delete(items)

    async def failed(
        self, lane: Lane, error: BaseException | None, others: dict[asyncio.Future[Any], Lane]
    ) -> None:
        """Raise what came of a batch that the broker has not taken."""
        assert error is not None
        if not isinstance(error, FOR_GOOD):
            raise error
        if others:
            # The producer's sequence of this partition is broken now, a new session has to follow:
            # what is under way elsewhere gets its answer first.
            done, _ = await asyncio.wait(others, timeout=CHECK)
            if taken := [future for future in done if future.exception() is None]:
                self.acknowledged([others.pop(future) for future in taken])
        raise self.refused(lane, error)

    def refused(self, lane: Lane, error: BaseException) -> BatchRefused:
        """Find out which message of a batch is at fault: smaller batches, until it stands alone."""
        items = self.lanes.finish(lane)
        where = f"{lane.partition.topic} partition {lane.partition.partition}"
        if len(items) > 1:
            self.batch_bytes = max(1, self.batch_bytes // 2)
            return BatchRefused(
                f"{where}: the broker refused {len(items)} messages at once ({error}); "
                f"sending them again in batches of at most {self.batch_bytes} bytes"
            )
        _, row = items[0]
        self.refuse(row, str(error))
        self.backlog.delete(items)
        return BatchRefused(f"{where}: the broker refused a message of {len(row.value)} bytes: {error}")

    def watch(self, silence: float) -> None:
        """Report a broker that does not answer; raise TimeoutError where it is time for a new session."""
        if silence > STALL:
            raise TimeoutError(f"no acknowledgement for {silence:.0f} s")
        if silence > CHECK:
            self.report(TimeoutError(f"no acknowledgement for {silence:.0f} s"))
        elif self.problem:
            self.recovered()

    def report(self, error: BaseException) -> None:
        """Say what is wrong with the broker: at first, and then once a minute."""
        self.connected = False
        self.problem = str(error) or type(error).__name__
        self.failures += 1
        now = time.monotonic()
        if not self.reminded or now - self.reminded > REMIND_EVERY:
            self.reminded = now
            if isinstance(error, RegistryUnavailable | IncompatibleSchema):  # says itself what to do
                logger.error(
                    "%s. Events wait in the outbox (%d) and are sent later", self.problem, self.backlog.depth
                )
                return
            logger.warning(
                "brokers %s: %s. Events wait in the outbox (%d) and are sent later; start the broker, or "
                "correct `brokers` (EVOMETRICS_KAFKA_BROKERS)",
                self.kafka.brokers,
                self.problem,
                self.backlog.depth,
            )

    def recovered(self) -> None:
        """Say that the broker is there, where it was not."""
        self.connected = True
        if self.problem:
            logger.info(
                "brokers %s: connected; %d events wait to be sent", self.kafka.brokers, self.backlog.depth
            )
        self.problem, self.reminded = "", 0.0


def backoff(attempt: int) -> float:
    """Return seconds to wait before an attempt: doubling, with jitter to spread a fleet."""
    return min(BACKOFF_MOST, BACKOFF_FIRST * 2.0 ** min(attempt, 10)) * random.uniform(0.5, 1.0)
