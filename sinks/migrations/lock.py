"""One run of the migrations at a time, however many nodes start one, and whatever is killed meanwhile.

ClickHouse has no locks; but of several inserts that carry the same deduplication token it stores one. So a
run that wants the lock inserts a row for the next term under that term's token, and has the lock if the row
that is then stored is its own. The owner shows that it is alive by rows with a rising beat, and releases the
lock by a row that says so. If the newest row has stayed the same for `DEAD_SECONDS`, by the clock of the
observer, its owner is presumed dead and the next term is open to all who wait.

An owner that was only paused finds before its next statement that the term is no longer its own: it asks
ClickHouse unless it has shown life so recently that nobody can have presumed it dead.
A statement that it had sent by then may still run beside its successor's, which begins the same migration
with the first statement. The lock uses inserts and no DDL, because many concurrent ALTERs of one table can
block each other in ClickHouse until its own timeout of two minutes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.service.tasks import end_tasks
from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS, sequential
from evometrics.sinks.migrations.history import agreed, consistency
from evometrics.sinks.settings import ClickHouseSettings

log = logging.getLogger(__name__)

LOCK = """CREATE TABLE IF NOT EXISTS {database}.schema_migrations_lock
(
    term UInt64 COMMENT 'Counts the runs that had the lock, from 1.',
    owner String COMMENT 'The run: host, process id, and a random part.',
    beat UInt64 COMMENT 'Raised by the owner while it lives.',
    ended Bool COMMENT 'Whether the owner has given the lock back.',
    at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When the row was inserted, by ClickHouse\\'s clock.'
)
ENGINE = ReplacingMergeTree(beat)
ORDER BY term
SETTINGS non_replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 604800
COMMENT 'Which run of the migrations may change this database: the owner of the highest term.'"""

BEAT_SECONDS = 1.0
DEAD_SECONDS = 10.0
POLL_SECONDS = 0.2
#: A clock that goes on while the machine is suspended, where there is one.
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class LockLost(EvometricsError, RuntimeError):
    """Another run has presumed this one dead and continues instead of it."""


@dataclass(frozen=True, slots=True)
class Term:
    """The newest row: the owner, and its last sign of life."""

    number: int
    owner: str
    beat: int
    ended: bool


class MigrationLock:
    """Holds the lock while its `async with` block runs; its table must exist.

    Attributes:
        shown: when it last showed life as the owner, by `CLOCK`.
        written: when it last began to insert a row that then was stored.

    Entering waits as long as another run is alive. Its requests raise `clickhouse_connect`'s errors.
    """

    def __init__(self, client: AsyncClient, settings: ClickHouseSettings) -> None:
        self.client = client
        self.settings = settings
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self.term = 0
        self.beat = 0
        self.beating: asyncio.Task[None] | None = None
        self.shown = self.written = 0.0

    async def __aenter__(self) -> Self:
        seen, since = None, time.monotonic()
        while True:
            found = await self.newest()
            if found is None or found.ended:
                if await self.claim(found):
                    break
                continue
            if found != seen:
                if seen is None or found.number != seen.number:
                    log.info(
                        "%s is migrating database %s; waiting for it", found.owner, self.settings.database
                    )
                seen, since = found, time.monotonic()
            elif time.monotonic() - since > DEAD_SECONDS:
                log.warning("%s has sent no heartbeat for %g s; taking over", found.owner, DEAD_SECONDS)
                if await self.claim(found):
                    break
                continue
            await asyncio.sleep(POLL_SECONDS)
        self.beating = asyncio.create_task(self.show_life())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.beating is not None:
            await end_tasks([self.beating])
        with suppress(*CLICKHOUSE_ERRORS):  # otherwise waiting runs presume this one dead, after a while
            await self.write(self.beat + 1, ended=True)

    async def check(self) -> None:
        """Return if the lock is still held. Raises `LockLost`."""
        if time.clock_gettime(CLOCK) > self.shown + DEAD_SECONDS / 2:
            await self.ask()

    async def ask(self) -> None:
        """Ask ClickHouse whether the lock is still held. Raises `LockLost`."""
        written = self.written
        found = await self.newest()
        if found is None or (found.number, found.owner) != (self.term, self.owner):
            raise LockLost(f"{found.owner if found else 'nobody'} holds the migration lock")
        self.shown = written

    async def claim(self, newest: Term | None) -> bool:
        """Try to get the term after the newest; return whether this run got it."""
        self.term, self.beat = (newest.number if newest else 0) + 1, 0
        self.shown = self.written = 0.0
        await self.write(0, token=f"term-{self.term}")
        with suppress(LockLost):
            await self.ask()
            return True
        return False

    async def newest(self) -> Term | None:
        """Return the row of the highest term."""
        return await newest_term(self.client, self.settings)

    async def show_life(self) -> None:
        """Raise the beat until cancelled."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self.beat += 1
            try:
                await self.write(self.beat)
            except CLICKHOUSE_ERRORS as error:
                log.warning("the migration lock's heartbeat could not be written: %s", error)

    async def write(self, beat: int, *, ended: bool = False, token: str = "") -> None:
        """Insert a row of the own term; under a token that another run's row has, nothing is stored."""
        row = {"term": self.term, "owner": self.owner, "beat": beat, "ended": ended}
        guard: dict[str, Any] = {"insert_deduplicate": int(bool(token))}
        if token:
            guard["insert_deduplication_token"] = token
        began = time.clock_gettime(CLOCK)
        await agreed(
            lambda: self.client.raw_insert(
                f"{self.settings.database}.schema_migrations_lock",
                insert_block=json.dumps(row),
                fmt="JSONEachRow",
                settings={**consistency(self.settings), **guard},
            )
        )
        self.written = began
        if time.clock_gettime(CLOCK) < self.shown + DEAD_SECONDS / 2:  # nobody had presumed it dead before
            self.shown = began


async def newest_term(client: AsyncClient, settings: ClickHouseSettings) -> Term | None:
    """Return the row of the highest term, None if there never was one."""
    sql = (
        f"SELECT term, owner, beat, ended FROM {settings.database}.schema_migrations_lock FINAL "
        "ORDER BY term DESC LIMIT 1"
    )
    found = await agreed(lambda: client.query(sql, settings=sequential(client)))
    for number, owner, beat, ended in found.result_rows:
        return Term(int(number), str(owner), int(beat), bool(ended))
    return None


async def is_held(client: AsyncClient, settings: ClickHouseSettings) -> bool:
    """Return whether a live run holds the lock; takes three beats if one seems to."""
    before = await newest_term(client, settings)
    if before is None or before.ended:
        return False
    await asyncio.sleep(3 * BEAT_SECONDS)
    after = await newest_term(client, settings)
    return after != before and after is not None and not after.ended
