"""From the outbox to the node's own history where no broker is configured; it takes the publisher's place.

A row leaves the outbox once the history has it on disk; after a crash in between it comes again, and the
history recognizes its id. So every event for which a `record_*` call returned an id is in the history once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable

from evometrics.producers.history.store import SQLiteMetricsBackend
from evometrics.producers.notices import Reminders
from evometrics.producers.outbox.row import Row
from evometrics.producers.publisher.backlog import Backlog
from evometrics.producers.publisher.thread import Signal
from evometrics.schemas.service.backoff import backoff

logger = logging.getLogger(__name__)

READ_ROWS = 1000
#: Rows that arrive within this many seconds of each other share a transaction, unless somebody waits.
LINGER = 0.5


class LocalPublisher:
    """Writes the backlog to the history as it grows; `run` in one event loop, `wake` from any thread.

    Attributes:
        published: by topic, events that the history has.
        failures: attempts that failed.
        connected: whether the history can be written, as far as is known.
        problem: why it can't be written just now; empty where it can.
    """

    def __init__(
        self,
        backlog: Backlog,
        history: SQLiteMetricsBackend,
        refuse: Callable[[Row, str], None],
        published: Counter[str],
    ) -> None:
        """`published`: counts on from what it holds; `refuse` keeps what can't be read."""
        self.backlog = backlog
        self.history = history
        self.refuse = refuse
        self.published = published
        self.failures = 0
        self.connected = True
        self.problem = ""
        self.new_rows = Signal()
        self.hurried = Signal()
        self.reminders = Reminders(logger)
        self.attempt = 0

    def wake(self) -> None:
        """Notify the publisher that the outbox has new rows; from any thread."""
        self.new_rows.give()

    def hurry(self, on: bool) -> None:
        """Write rows as they come, because somebody waits for that; from any thread."""
        if on:
            self.hurried.give()
        else:
            self.hurried.clear()

    async def run(self) -> None:
        """Write for ever, with growing pauses while the history can't be written."""
        while True:
            try:
                await self.backlog.rewind()
                await self.write_all()
            except Exception as error:
                self.report(error)
            self.attempt += 1
            await asyncio.sleep(backoff(self.attempt))

    async def write_all(self) -> None:
        """Read, write, delete; ends only by an exception."""
        while True:
            self.new_rows.clear()
            rows = self.backlog.read(READ_ROWS)
            if rows:
                await self.write(rows)
                continue
            await self.new_rows.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    await self.hurried.wait()

    async def write(self, rows: list[Row]) -> None:
        """Write some rows to the history, and delete them from the outbox."""
        unreadable = await asyncio.to_thread(self.history.take, rows)
        for row, reason in unreadable:
            self.refuse(row, reason)
        self.published.update(row.topic for row in rows)
        self.published.subtract(row.topic for row, _ in unreadable)
        self.backlog.delete(rows)
        self.attempt = 0
        if self.problem:
            logger.info("%s: writable again", self.history.address)
        self.connected, self.problem = True, ""
        self.reminders.over("history")

    def report(self, error: Exception) -> None:
        """Log what is wrong with the history: when it first happens, then once a minute."""
        self.failures += 1
        self.connected, self.problem = False, str(error) or type(error).__name__
        words = "%s. Events wait in the outbox (%d), where they are safe"
        self.reminders.say("history", words, self.problem, self.backlog.depth, level=logging.ERROR)
