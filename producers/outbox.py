"""The outbox of a living collector: durable before `append` returns, many events per commit.

One thread owns the writing connection. Whatever was appended while it was committing goes into its next
commit (group commit), so that a commit's fsync is shared by all who wait for it. Appending is safe from any
thread and any event loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evometrics.producers.outbox_file import ROW_OVERHEAD, OutboxFile, OutboxLock, Row, new_outbox
from evometrics.schemas.topics import EVOLUTION_PROGRESSED

logger = logging.getLogger(__name__)

#: Where the outbox is full, queued progress events go until it is this full.
SHED_TO = 0.9
SHED_BATCH = 1000
COMMIT_ATTEMPTS = 5
COMMIT_PAUSE = 0.2
#: After more than this waited, the emptied file gives its pages back.
SHRINK_ABOVE = 8_000_000


@dataclass(slots=True)
class Waiting:
    """A row on its way to its commit, and who waits for it: True = it is on disk."""

    topic: str
    key: str
    value: bytes
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[bool]

    @property
    def size(self) -> int:
        return len(self.value) + ROW_OVERHEAD


class Outbox:
    """The events of one collector that are not yet with the broker.

    Attributes:
        recorded: by topic, events that are or were on disk; less those shed again later.
        shed: by topic, events dropped because the outbox was full.
        failed: events that could not be written (disk full or broken).
        depth: rows that wait.
        bytes: their size.
        undeleted: rows given to `delete` that are still on disk.
        read_upto: last seq the publisher has read; set by it, so that nothing in its hands is shed.
        on_commit: called from the writing thread after new rows were committed.
    """

    def __init__(self, db_path: Path, *, max_bytes: float, group: int) -> None:
        self.db_path = db_path
        self.max_bytes = max_bytes
        self.group = group
        self.recorded: Counter[str] = Counter()
        self.shed: Counter[str] = Counter()
        self.failed = 0
        self.depth = 0
        self.bytes = 0
        self.read_upto = 0
        self.on_commit: Callable[[], None] = lambda: None
        self.commits = 0
        self.lock: OutboxLock | None = None
        self.file: OutboxFile | None = None
        self.condition = threading.Condition()
        self.queue: deque[Waiting] = deque()
        self.sent: list[Row] = []
        self.undeleted = 0
        self.seq = 0
        self.progress_rows = 0
        self.shed_after = 0
        self.high_water = 0
        self.closing = False
        self.process = 0
        self.complained = 0.0
        self.thread: threading.Thread | None = None

    @property
    def path(self) -> Path:
        """This outbox's own file."""
        assert self.lock is not None
        return self.lock.path

    def open(self) -> None:
        """Lock a file of its own and start writing. Raises `OutboxError`."""
        self.lock = new_outbox(self.db_path)
        try:
            self.file = OutboxFile(self.lock.path)
        except OSError:
            self.lock.close(delete=True)
            raise
        self.closing, self.process = False, os.getpid()
        self.thread = threading.Thread(target=self.run, name="evometrics-outbox", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Commit what was appended, end the thread, and delete the file where nothing is left in it."""
        with self.condition:
            self.closing = True
            self.condition.notify()
        if self.thread is not None:
            self.thread.join()
        if self.file is not None and self.lock is not None:
            left = self.file.depth()
            self.file.close()
            self.lock.close(delete=left == 0)
        self.thread = self.file = None

    async def append(self, topic: str, key: str, value: bytes) -> bool:
        """Return True once the row is on disk, False where it was shed or could not be written.

        The row takes its place in the order at the call, not at the return; cancelling the wait
        does not take it back.
        """
        loop = asyncio.get_running_loop()
        waiting = Waiting(topic, key, value, loop, loop.create_future())
        with self.condition:
            if self.closing or self.thread is None or self.process != os.getpid():
                self.failed += 1
                self.complain("the collector is not running in this process; call start() in each process")
                return False
            self.queue.append(waiting)
            self.condition.notify()
        return await waiting.done

    def delete(self, rows: list[Row]) -> None:
        """Have rows that the broker has acknowledged deleted; returns at once."""
        with self.condition:
            self.sent.extend(rows)
            self.undeleted += len(rows)
            self.condition.notify()

    def run(self) -> None:
        """The writing thread."""
        while True:
            with self.condition:
                while not (self.queue or self.sent or self.closing):
                    self.condition.wait()
                if self.closing and not (self.queue or self.sent):
                    return
                batch = [self.queue.popleft() for _ in range(min(self.group, len(self.queue)))]
                sent, self.sent = self.sent, []
            try:
                stored = self.commit(batch, sent)
            except Exception:
                logger.exception("the outbox %s failed; %d events are not recorded", self.path, len(batch))
                self.failed += len(batch)
                stored = [False] * len(batch)
            answer(batch, stored)
            if True in stored:
                self.on_commit()

    def commit(self, batch: list[Waiting], sent: list[Row]) -> list[bool]:
        """Write one group; return for each of the batch whether it is on disk."""
        stored = self.fit(batch)
        rows, seq, now = [], self.seq, time.time_ns() // 1_000_000
        for waiting, fits in zip(batch, stored, strict=True):
            if fits:
                seq += 1
                rows.append((seq, waiting.topic, waiting.key, waiting.value, now))
        if not self.write(rows, [row.seq for row in sent]):
            self.failed += len(rows)
            with self.condition:
                if not self.closing:  # else they stay in the file and are sent once more, under the same ids
                    self.sent.extend(sent)
            return [False] * len(batch)
        self.seq = seq
        for waiting, fits in zip(batch, stored, strict=True):
            if fits:
                self.count(waiting.topic, 1, waiting.size)
                self.recorded[waiting.topic] += 1
        for row in sent:
            self.count(row.topic, -1, -row.size)
        if sent:
            with self.condition:
                self.undeleted -= len(sent)
        self.give_back()
        return stored

    def write(self, rows: list[tuple[int, str, str, bytes, int]], sent: list[int]) -> bool:
        """Commit, again after a pause where the disk is busy or full; False = given up."""
        assert self.file is not None
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                self.file.write(rows, sent)
                self.commits += 1
                return True
            except sqlite3.Error as error:
                problem = error
                time.sleep(COMMIT_PAUSE * attempt)
        self.complain(f"outbox {self.path}: {problem}; free the disk or move db_path. Events are being lost")
        return False

    def count(self, topic: str, rows: int, size: int) -> None:
        """Keep the books after rows came or went."""
        self.depth += rows
        self.bytes += size
        self.high_water = max(self.high_water, self.bytes)
        if topic == EVOLUTION_PROGRESSED.name:
            self.progress_rows += rows

    def fit(self, batch: list[Waiting]) -> list[bool]:
        """Decide what of a batch is stored: where space is short progress goes first, queued or new."""
        wanted = sum(waiting.size for waiting in batch)
        if self.bytes + wanted <= self.max_bytes:
            return [True] * len(batch)
        self.shed_queued(wanted)
        room = self.max_bytes - self.bytes
        stored = []
        others = sum(w.size for w in batch if w.topic != EVOLUTION_PROGRESSED.name)
        for waiting in batch:
            progress = waiting.topic == EVOLUTION_PROGRESSED.name
            fits = waiting.size <= (room - others if progress else room)
            if fits:
                room -= waiting.size
            else:
                self.shed[waiting.topic] += 1
            if not progress:
                others -= waiting.size
            stored.append(fits)
        if not all(stored):
            self.complain(
                f"outbox {self.path} is full ({self.max_bytes / 1e6:.0f} MB): shedding, progress first; "
                f"shed so far {dict(self.shed)}. Bring the broker back or raise outbox_max_mb"
            )
        return stored

    def shed_queued(self, wanted: int) -> None:
        """Drop queued progress events, oldest first, that the publisher does not yet hold."""
        assert self.file is not None
        excess = self.bytes + wanted - SHED_TO * self.max_bytes
        topic = EVOLUTION_PROGRESSED.name
        while excess > 0 and self.progress_rows > 0:
            found = self.file.sheddable(topic, max(self.shed_after, self.read_upto), SHED_BATCH)
            if not found:
                self.shed_after = self.seq
                return
            dropped = []
            for seq, size in found:
                if excess <= 0:
                    break
                dropped.append(seq)
                excess -= size
                self.count(topic, -1, -size)
                self.shed[topic] += 1
                self.recorded[topic] -= 1
            self.shed_after = dropped[-1]
            self.file.delete(dropped)

    def give_back(self) -> None:
        """After a long queue has drained, return its disk space."""
        if self.depth == 0 and self.high_water > SHRINK_ABOVE and self.file is not None:
            self.high_water = 0
            self.file.shrink()

    def complain(self, message: str) -> None:
        """Log an error, at most once in ten seconds."""
        now = time.monotonic()
        if now - self.complained > 10 or not self.complained:
            self.complained = now
            logger.error(message)


def answer(batch: list[Waiting], stored: list[bool]) -> None:
    """Tell everyone who waits, with one wake-up per event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[bool], bool]]] = {}
    for waiting, fits in zip(batch, stored, strict=True):
        by_loop.setdefault(waiting.loop, []).append((waiting.done, fits))
    for loop, answers in by_loop.items():
        try:
            loop.call_soon_threadsafe(settle, answers)
        except RuntimeError:
            # The loop was closed while its events were committed: nobody waits there any more.
            continue


def settle(answers: list[tuple[asyncio.Future[bool], bool]]) -> None:
    """Resolve futures, in their own loop."""
    for future, stored in answers:
        if not future.done():
            future.set_result(stored)
