"""The backlog of a node that has a history beside its broker: a row is deleted once both have it.

`observe` writes to the history within a second, even while the broker is unreachable; events that a crash
loses there are copied here. So the history is complete across restarts: for each event, either the outbox
still has the row, or the history has the event. A history that can't be written blocks nothing: rows are
deleted without it, and their number is reported.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from evometrics.producers.history.store import SQLiteMetricsBackend
from evometrics.producers.outbox.outbox import Outbox
from evometrics.producers.outbox.rebuilding import Damage
from evometrics.producers.outbox.row import Row
from evometrics.producers.publisher.backlog import Backlog
from evometrics.schemas.history.file import HistoryError

logger = logging.getLogger(__name__)

#: Seconds before a history that could not be written is tried again.
PAUSE = 60.0


class CopiedBacklog(Backlog):
    """Used in the publisher's event loop only.

    Attributes:
        not_copied: events that were deleted without being in the history.
    """

    def __init__(
        self,
        outbox: Outbox,
        history: SQLiteMetricsBackend,
        damaged: Callable[[Damage], None] = Damage.say,
    ) -> None:
        super().__init__(outbox, damaged)
        self.history = history
        self.waiting: deque[list[Row]] = deque()
        self.rows_waiting = 0
        self.not_copied = 0
        self.again_at = 0.0
        self.copying: asyncio.Task[None] | None = None

    @property
    def undeleted(self) -> int:
        """Rows that the broker has and that are still on disk, including those being copied."""
        return super().undeleted + self.rows_waiting

    def delete(self, rows: list[Row]) -> None:
        """Schedule rows that the broker has to be copied and then deleted; returns at once."""
        if rows:
            self.waiting.append(rows)
            self.rows_waiting += len(rows)
        if self.copying is None or self.copying.done():
            self.copying = asyncio.create_task(self.copy_all())

    async def copied(self) -> None:
        """Return once everything that the broker has is copied and deleted."""
        if self.copying is not None:
            await self.copying

    async def copy_all(self) -> None:
        """Copy and delete until no rows are left."""
        while self.waiting:
            rows = [row for part in self.waiting for row in part]
            self.waiting.clear()
            await self.copy(rows)
            self.rows_waiting -= len(rows)
            super().delete(rows)

    async def copy(self, rows: list[Row]) -> None:
        """Copy rows into the history, unless writing it failed a short while ago."""
        problem = ""
        if time.monotonic() >= self.again_at:
            try:
                await asyncio.to_thread(self.history.take, rows)
                return
            except HistoryError as error:
                problem = str(error)
                self.again_at = time.monotonic() + PAUSE
        self.not_copied += len(rows)
        if problem:
            logger.error(
                "%s. The broker has the events; %d are missing from the history", problem, self.not_copied
            )
