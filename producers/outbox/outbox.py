"""The outbox of a running collector: an event is durable once its future resolves; many share a commit.

One thread owns the writing connection. Events appended during a commit go into the next one (group commit),
so that all who wait share one fsync. Appending is safe from any thread and any event loop.

Long because commit, deletion and recovery from damage or a full disk are steps of one thread on one state,
and their order is what makes an event durable.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from evometrics.producers.outbox.budget import PROGRESS, Space, enough
from evometrics.producers.outbox.file import OutboxFile, oldest_in
from evometrics.producers.outbox.handover import HandOver
from evometrics.producers.outbox.latency import Latency
from evometrics.producers.outbox.moving import Presence, move
from evometrics.producers.outbox.names import OutboxDamaged, OutboxFull, OutboxLock, new_outbox
from evometrics.producers.outbox.rebuilding import Damage, rebuild
from evometrics.producers.outbox.room import Room
from evometrics.producers.outbox.row import Row, give_numbers
from evometrics.producers.outbox.waiters import answer
from evometrics.producers.sqlite.forking import sqlite_use, uses_sqlite
from evometrics.schemas.metrics import RECORD_SECONDS

logger = logging.getLogger(__name__)

#: Most events in one commit.
GROUP_MOST = 1000
#: Most queued events that are shed by one deletion.
SHED_BATCH = 1000
#: Commits begin at least this many seconds apart, unless `group` events wait.
SPACING = 0.0024
#: Sent rows are deleted with the commit that follows this many of them, or this many seconds.
DELETE_ROWS = 1000
DELETE_PAUSE = 0.05
COMMIT_ATTEMPTS = 5
COMPLAIN_SECONDS = 10.0
COMMIT_PAUSE = 0.2
#: After more than this was queued, the emptied file returns its pages to the file system.
SHRINK_ABOVE = 8_000_000
#: The writing thread is busy and will look at new events without being woken.
NO_WAKE = 2**63
#: Seconds between attempts to delete, where the disk had no room for it.
NO_ROOM_PAUSE = 1.0
FOR_EVER = 3600.0


class Outbox:
    """The events of one collector that the broker does not have yet.

    Attributes:
        is_open: whether rows can be appended.
        space: what it holds, in rows and bytes; what was shed because it was full.
        room: whether its disk has room. Without room, no new events are accepted; queued ones are still sent.
        latency: how long rows waited to be on disk, from `append`.
        failed: events that could not be written (disk full or broken).
        undeleted: rows given to `delete` that are still on disk.
        group: this many waiting events are committed at once; fewer wait for more, see `SPACING`.
        handover: where the publisher gets what was just committed.
        on_commit: called from the writing thread after rows were committed or deleted.
        let_go_of_file: called before its files are deleted, so that other handles on them are closed.
    """

    def __init__(self, db_path: Path, *, max_bytes: float, group: int) -> None:
        self.db_path = db_path
        self.group = group
        self.handover = HandOver()
        self.space = Space(max_bytes)
        self.room = Room(db_path)
        self.latency = Latency(RECORD_SECONDS.buckets)
        self.failed = 0
        self.on_commit: Callable[[], None] = lambda: None
        self.let_go_of_file: Callable[[], None] = lambda: None
        self.commits = 0
        self.lock: OutboxLock | None = None
        self.file: OutboxFile | None = None
        self.mutex = threading.Lock()
        self.condition = threading.Condition(self.mutex)
        self.queue: list[Row] = []
        self.waiters: list[asyncio.Future[bool]] = []
        self.wake_at = NO_WAKE
        self.committing = 0.0
        self.sent: list[Row] = []
        self.sent_at = 0.0
        self.sweep_at = self.delete_at = 0.0
        self.undeleted = 0
        self.shed_after = 0
        self.moves = 0
        self.damage = ""
        self.files: Presence | None = None
        self.on_damage: Callable[[Damage], None] = Damage.say
        self.is_open = False
        self.complained = 0.0
        self.thread: threading.Thread | None = None

    @property
    def path(self) -> Path:
        """This outbox's own file; `db_path` where there was no room to make one."""
        return self.db_path if self.lock is None else self.lock.path

    def open(self) -> None:
        """Lock a file of its own and start writing; on a full disk the file is made once there is room.

        Raises `OutboxError`.
        """
        with sqlite_use:
            found = self.has_file()
        if not found:
            self.room.refused(0)
        self.handover.read_to(self.handover.committed_upto)
        self.space.empty()
        self.sent, self.undeleted = [], 0
        self.thread = threading.Thread(target=self.run, name="evometrics-outbox", daemon=True)
        self.is_open = True
        self.thread.start()

    def has_file(self) -> bool:
        """Return whether there is room for new events, and a file; make the file where there is none."""
        if not self.room.there():
            return False
        if self.file is not None:
            return True
        try:
            lock = new_outbox(self.db_path)
            try:
                file = OutboxFile(lock.path, lock.tally, lock.marks)
                files = Presence(lock)
            except OSError:
                lock.close(delete=True)
                raise
        except OutboxFull:
            return False
        self.lock, self.file, self.files = lock, file, files
        self.moves += 1
        return True

    def renew(self) -> None:
        """Delete the files, all of whose rows are sent; the next event makes new ones.

        On a full disk this frees the space that they took, and needs none itself, unlike deleting rows.
        """
        assert self.file is not None and self.lock is not None
        with self.handover.reading:
            self.let_go_of_file()
            self.file.close()
            self.lock.close(delete=True)
            self.file = self.lock = self.files = None
            self.handover.read_to(self.handover.committed_upto)
            self.space.empty()

    def close(self) -> None:
        """Commit what was appended, end the thread, and delete the file where no rows are left in it."""
        with self.mutex:
            self.is_open = False
            self.wake()
        if self.thread is not None:
            self.thread.join()
        self.close_file()
        self.thread = None

    @uses_sqlite
    def close_file(self) -> None:
        """Close the file, and delete it where no rows are left in it."""
        if self.file is not None and self.lock is not None:
            try:
                left = self.file.depth()
                self.file.close()
            except (sqlite3.Error, OSError) as error:
                left = 1
                logger.error("%s; its readable events are sent at the next start", error)
            self.lock.close(delete=left == 0)
        self.file = self.files = None

    def let_go(self) -> None:
        """In a forked child: release the parent's lock, so that the parent's outbox can be adopted.

        Nothing else of the parent's is touched, not even to close it. (Closing this copy of the lock's
        descriptor releases nothing while the parent has its own.)
        """
        if self.lock is not None:
            self.lock.close()

    def append(self, topic: str, key: str, value: bytes) -> asyncio.Future[bool] | None:
        """Return a future: True once the row is durable, False if it was shed or could not be written.

        None where the outbox is not open.

        The row's place in the order is that of the call, not of the commit; cancelling the future does not
        withdraw the row.
        """
        row, waiter = Row(0, topic, key, value), asyncio.get_running_loop().create_future()
        with self.mutex:
            open_ = self.is_open
            if open_:
                self.queue.append(row)
                self.waiters.append(waiter)
                if len(self.queue) >= self.wake_at:
                    self.wake()
        return waiter if open_ else None

    def delete(self, rows: Sequence[Row]) -> None:
        """Schedule the deletion of rows that the broker has acknowledged; returns at once."""
        with self.mutex:
            if not self.sent:
                self.sent_at = time.monotonic()
            self.sent.extend(rows)
            self.undeleted += len(rows)
            if self.wake_at != NO_WAKE:
                self.wake()

    def wake(self) -> None:
        """Wake the writing thread; the caller holds the mutex."""
        self.wake_at = NO_WAKE
        self.condition.notify()

    def run(self) -> None:
        """Body of the writing thread."""
        while self.write_next():
            pass

    def write_next(self) -> bool:
        """Wait for work and do it; False once the outbox is closed and all is written.

        What was written is not kept in memory for the wait until the next: it would lie among what the caller
        keeps meanwhile, and leave gaps there.
        """
        with self.mutex:
            while (pause := self.pause()) > 0:
                self.wake_at = self.group if self.queue else 1
                self.condition.wait(pause)
            self.wake_at = NO_WAKE
            if not self.is_open and not (self.queue or self.sent or self.damage):
                return False
            batch, waiters = self.queue[:GROUP_MOST], self.waiters[:GROUP_MOST]
            del self.queue[:GROUP_MOST], self.waiters[:GROUP_MOST]
            sent: list[Row] = []
            if self.deletion_due() <= 0:
                sent, self.sent = self.sent, sent
        self.committing = time.monotonic()
        try:
            with sqlite_use:
                stored = self.commit(batch, sent)
        except Exception as error:
            if isinstance(error, OutboxFull):
                self.room.refused(len(batch))
            else:
                logger.exception("outbox %s failed; %d events are not recorded", self.path, len(batch))
            self.failed += len(batch)
            self.delete_later(sent)
            time.sleep(COMMIT_PAUSE)
            stored = [False] * len(batch)
        self.latency.add(batch)
        answer(waiters, stored)
        if sent or True in stored:
            self.on_commit()
        return True

    def pause(self) -> float:
        """Return how many seconds the writing thread may sleep; 0 = there is work to do."""
        if not self.is_open or self.damage or len(self.queue) >= self.group:
            return 0
        if self.file is not None and self.file.marked and not (self.queue or self.sent):
            return self.sweep_at - time.monotonic()
        spacing = self.committing + SPACING - time.monotonic() if self.queue else FOR_EVER
        return min(spacing, self.deletion_due())

    def deletion_due(self) -> float:
        """Return the seconds until sent rows are to be deleted."""
        if not self.sent:
            return FOR_EVER
        if not self.is_open:
            return 0
        if (wait := self.delete_at - time.monotonic()) > 0:
            return wait
        if len(self.sent) >= DELETE_ROWS:
            return 0
        return self.sent_at + DELETE_PAUSE - time.monotonic()

    def commit(self, batch: list[Row], sent: list[Row]) -> list[bool]:
        """Write one group; return for each row of the batch whether it is on disk."""
        if self.damage:
            self.make_whole(self.damage)
        if self.files is not None and not self.files.holds():
            self.move()
        if not (batch or sent):
            self.sweep_at = time.monotonic() + NO_ROOM_PAUSE
        room = self.has_file()
        stored = self.let_in(batch) if room else [False] * len(batch)
        rows = [row for row, fits in zip(batch, stored, strict=True) if fits]
        give_numbers(rows, self.handover.committed_upto + 1)
        kept, gone = self.write(rows, [row.seq for row in sent])
        if not kept:
            stored = [False] * len(batch)
        if kept and rows:
            self.room.found()
            self.handover.committed(rows)
            self.space.came(rows)
        if gone and sent:
            self.space.went(sent)
            with self.mutex:
                self.undeleted -= len(sent)
        elif sent:
            self.delete_later(sent)
        if batch and not room:
            self.failed += len(batch)
            self.room.refused(len(batch))
        self.give_back()
        return stored

    def let_in(self, batch: list[Row]) -> list[bool]:
        """Return for each row of a group whether it is stored; log what is shed."""
        if not self.space.excess(batch):
            return [True] * len(batch)
        try:
            self.shed_queued(batch)
        except OutboxDamaged as error:
            self.make_whole(str(error))
            self.shed_queued(batch)
        stored = self.space.fit(batch)
        if not all(stored):
            self.complain(
                f"outbox {self.path} is full ({self.space.max_bytes / 1e6:.0f} MB): shedding events, "
                f"progress first; shed so far {dict(self.space.shed)}. Restore the broker or raise "
                "outbox_max_mb"
            )
        return stored

    def shed_queued(self, batch: list[Row]) -> None:
        """Delete queued progress, oldest first, that the publisher does not hold yet, until a batch fits."""
        assert self.file is not None
        excess = self.space.excess(batch)
        with self.handover.reading:
            self.handover.drop()
            while excess > 0 and self.space.progress_rows > 0:
                after = max(self.shed_after, self.handover.read_upto)
                found = self.file.sheddable(PROGRESS, after, SHED_BATCH)
                if not found:
                    self.shed_after = self.handover.committed_upto
                    return
                numbers, freed = enough(found, excess)
                self.file.delete(numbers)
                self.space.shed_progress(len(numbers), freed)
                excess -= freed
                self.shed_after = numbers[-1]

    def delete_later(self, sent: list[Row]) -> None:
        """Keep sent rows that could not be deleted; those left at the end are sent again unchanged."""
        with self.mutex:
            if self.is_open:
                self.sent.extend(sent)

    def write(self, rows: list[Row], sent: list[int]) -> tuple[bool, bool]:
        """Commit, retrying after a pause where the file is busy.

        Returns whether the new rows are on disk, and whether the sent ones are deleted. On a full disk it
        does not wait.
        """
        if self.file is None:
            return not rows, not sent
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                self.file.write(rows, sent)
                self.commits += 1
                return True, True
            except OutboxDamaged as error:
                self.make_whole(str(error))
            except OutboxFull:
                self.failed += len(rows)
                self.room.refused(len(rows))
                return not rows, self.without_room(sent)
            except (sqlite3.Error, OSError) as error:
                problem = error
                # not `backoff`: recording waits for this, so all attempts must end within its usual time
                time.sleep(COMMIT_PAUSE * attempt)
        self.failed += len(rows)
        self.complain(f"outbox {self.path}: {problem}; free the disk or move db_path. Events are being lost")
        return False, False

    def without_room(self, sent: list[int]) -> bool:
        """Delete or mark sent rows on a full disk; return whether that was possible."""
        assert self.file is not None
        self.sweep_at = time.monotonic() + NO_ROOM_PAUSE
        try:
            self.file.delete(sent)
        except (sqlite3.Error, OSError) as error:
            self.delete_at = self.sweep_at
            self.complain(
                f"outbox {self.path}: {error}; events that were sent can't be deleted. Free the disk"
            )
            return False
        return True

    def found_damaged(self, reason: str) -> None:
        """Schedule a rebuild, because the publisher found the file damaged; from any thread."""
        with self.mutex:
            self.damage = reason
            self.wake()

    def make_whole(self, reason: str) -> None:
        """Replace the damaged file by what can be read of it and what is still in memory."""
        assert self.file is not None and self.lock is not None
        with self.handover.reading:
            held = self.lock.tally.held
            damage = rebuild(self.lock, held, reason, self.file, self.handover.copy())
            self.file = OutboxFile(self.lock.path, self.lock.tally, self.lock.marks)
            self.opened(damage)

    def move(self) -> None:
        """Continue in a new file that holds the same rows, because this one was unlinked while in use."""
        assert self.file is not None and self.lock is not None and self.files is not None
        with self.handover.reading:
            self.lock, self.file, damage = move(
                self.lock, self.file, self.files, self.db_path, self.handover.copy()
            )
            self.opened(damage)

    def opened(self, damage: Damage) -> None:
        """Continue with a file that replaces the previous one."""
        assert self.file is not None and self.lock is not None
        self.files = Presence(self.lock)
        self.damage = ""
        self.moves += 1
        self.space.restock(*self.file.stock(PROGRESS))
        self.on_damage(damage)

    @uses_sqlite
    def oldest(self) -> float | None:
        """Return when the oldest waiting row was recorded, Unix seconds; None where none waits."""
        if not self.is_open or self.space.depth == 0:
            return None
        try:
            return oldest_in(self.path)
        except sqlite3.Error:
            return None

    def give_back(self) -> None:
        """After a long queue has drained, or on a full disk, free the disk space of sent rows."""
        if self.file is None or self.space.depth:
            return
        if self.file.marked or (self.room.lacking and self.space.high_water):
            self.renew()
        elif self.space.high_water > SHRINK_ABOVE:
            self.space.high_water = 0
            try:
                self.file.shrink()
            except OutboxFull:
                self.renew()

    def complain(self, message: str) -> None:
        """Log an error, at most once in ten seconds."""
        now = time.monotonic()
        if now - self.complained > COMPLAIN_SECONDS or not self.complained:
            self.complained = now
            logger.error(message)
