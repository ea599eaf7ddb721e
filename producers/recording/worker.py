"""The recorder's thread: takes what was handed in, in order, and gives it to the collector in its own loop.

Starting it waits for nothing that could log: a caller may be inside a logging handler, whose lock it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import threading
import time
from concurrent.futures import Future

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.publisher.executor import LastingExecutor
from evometrics.producers.publisher.thread import Signal
from evometrics.producers.recording.handoff import Entry, HandOff
from evometrics.schemas.rules.validation import InvalidEvent
from evometrics.schemas.service import tasks

logger = logging.getLogger(__name__)

#: Seconds between two batches, at least, as long as few events wait: each wakes three threads and commits,
#: two milliseconds of a core, more where the caller's work empties its caches. An event after a longer pause
#: is written at once. A process that is killed loses what was handed in meanwhile and the commit that runs.
SPACING = 1.0
#: Most events that are given to the collector at once; the next follow when these are on disk.
BATCH = 1000
#: Seconds between attempts to open an outbox where that is impossible, such as in a folder without rights.
RETRY_SECONDS = 1.0


class Worker:
    """Empties a hand-off from the start of its thread until `stop`.

    Attributes:
        opened: whether the collector is started, so that events reach the disk.
        ended: set when the thread ends, whatever the reason.
        failed: events that the collector failed on.
    """

    def __init__(self, collector: EvolutionMetricsCollector, handoff: HandOff, run_id: str) -> None:
        self.collector = collector
        self.handoff = handoff
        self.run_id = run_id
        self.flushes: list[Future[bool]] = []
        self.told = handoff.lost
        self.losing = False
        self.opened = False
        self.problem = ""
        self.failed = 0
        self.gave_at = 0.0
        self.signal: Signal | None = None
        self.stopping = False
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.body, name="evometrics-recorder", daemon=True)

    def start(self) -> None:
        """Start the thread. Raises RuntimeError where the process can have no more threads."""
        self.thread.start()

    @property
    def is_current(self) -> bool:
        """Whether the caller is this thread, which can't wait for itself."""
        return threading.current_thread() is self.thread

    def wake(self) -> None:
        """Have the thread look at the hand-off; from any thread."""
        if self.signal is not None:
            self.signal.give()

    def flush(self) -> Future[bool]:
        """Return a future: whether all that was handed in before this call is on disk."""
        done: Future[bool] = Future()
        self.flushes.append(done)
        self.wake()
        if self.ended.is_set():  # perhaps before it saw this one
            self.answer(False)
        return done

    def stop(self, timeout: float) -> bool:
        """Give everything to the collector, stop it, and end the thread; False where that took too long."""
        self.stopping = True
        self.wake()
        return self.ended.wait(timeout)

    def body(self) -> None:
        """Body of the thread."""
        try:
            tasks.run(self.run())
        except Exception:
            logger.exception("the recorder's thread failed; it is started again by the next event")
        finally:
            self.ended.set()
            self.answer(False)

    async def run(self) -> None:
        """Give what was handed in to the collector until `stop`."""
        asyncio.get_running_loop().set_default_executor(LastingExecutor("evometrics-recorder-call"))
        self.signal = Signal()
        try:
            while True:
                self.signal.clear()
                stopping, flushes = self.stopping, len(self.flushes)
                if self.opened or await self.open():
                    await self.give(len(self.handoff.entries))
                    await self.report_lost()
                self.answer(self.opened, flushes)
                if stopping:
                    return
                await self.pause()
        finally:
            await self.close()

    async def pause(self) -> None:
        """Let events gather, and wait for one; many of them, and a flush, end that."""
        if not self.opened:
            await self.wait(RETRY_SECONDS)
            return
        self.handoff.pacing = True
        await self.wait(self.gave_at + SPACING - time.monotonic())
        self.handoff.asleep = True
        if not (self.handoff.entries or self.flushes or self.stopping):
            assert self.signal is not None
            await self.signal.wait()
        self.handoff.asleep = self.handoff.pacing = False
        self.gave_at = time.monotonic()

    async def wait(self, seconds: float) -> None:
        """Wait so long, or until a flush or stop."""
        assert self.signal is not None
        if seconds > 0 and not (self.flushes or self.stopping):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.signal.wait()

    async def open(self) -> bool:
        """Start the collector; return whether it is. Where it can't be, what was handed in waits."""
        try:
            await self.collector.start()
        except Exception as error:
            if (problem := str(error)) != self.problem:
                self.problem = problem
                logger.error(
                    "nothing can be recorded: %s; events wait in memory, and this is retried", problem
                )
            return False
        self.opened, self.problem = True, ""
        where = self.collector.kafka.brokers if self.collector.kafka else self.collector.settings.history_db
        logger.info("process %d records into %s", os.getpid(), where)
        return True

    async def give(self, left: int) -> None:
        """Give so many entries to the collector, in order; returns when all are on disk, or failed."""
        while left > 0:
            batch = self.handoff.take(min(left, BATCH))
            left -= BATCH
            calls = [entry for entry in batch if isinstance(entry.method, str)]
            if len(calls) < len(batch):
                for entry in batch:
                    if not isinstance(entry.method, str):
                        self.make(entry)
                left = len(self.handoff.entries)  # what they have recorded waits behind all others
            await asyncio.gather(*map(self.record, calls))
            if self.handoff.lost > self.told and not self.losing:
                self.losing = True
                logger.error("events are handed in faster than they reach the disk: some are lost")

    def make(self, entry: Entry) -> None:
        """Make a call that records by calls of its own."""
        assert not isinstance(entry.method, str)
        try:
            entry.method(*(pickle.loads(entry.args) if isinstance(entry.args, bytes) else entry.args))
        except Exception:
            self.failed += 1
            logger.exception("what was to be recorded could not be")

    async def record(self, entry: Entry) -> None:
        """Give one entry to the collector."""
        assert isinstance(entry.method, str)
        try:
            await getattr(self.collector, entry.method)(*entry.args, **entry.named)
        except InvalidEvent:  # a strict collector raises it, and has logged and counted it
            pass
        except Exception:
            self.failed += 1
            logger.exception("%s failed", entry.method)

    async def report_lost(self) -> None:
        """After entries were lost, say how many, in the log and as a system event."""
        if (lost := self.handoff.lost) > self.told:
            new, self.told, self.losing = lost - self.told, lost, False
            logger.error("%d events were handed in and are lost, %d so far", new, lost)
            data = {"lost": new, "lost_so_far": lost, "run_id": self.run_id, "process": os.getpid()}
            await self.record(Entry("record_system_event", ("recorder_lost", data), {}, 0))

    def answer(self, on_disk: bool, most: int | None = None) -> None:
        """Answer those who wait for a flush, or the first so many of them."""
        for done in self.flushes[:most]:
            self.flushes.remove(done)
            if not done.done():
                done.set_result(on_disk)

    async def close(self) -> None:
        """Stop the collector; what could not be given to it is lost."""
        if self.opened:
            await self.collector.stop()
        elif left := len(self.handoff.entries):
            self.failed += left
            self.handoff.take(left)
            logger.error("%d events are lost, because nothing could be recorded: %s", left, self.problem)
