"""Inserts a batch's groups into ClickHouse: retries while it must, bisects if rows are bad.

A call returns once ClickHouse has accepted or refused the rows; it fails only if it is cancelled. What it
leaves behind in that case is found by whoever takes up the plan (`recovery`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.metrics import (
    BATCHES_INSERTED,
    INSERT_RETRIES,
    INSERT_SECONDS,
    ROWS_INSERTED,
    Instruments,
)
from evometrics.schemas.service.backoff import LONGEST_SECONDS, SOON_SECONDS, backoff
from evometrics.schemas.wire.compatibility import IncompatibleSchema
from evometrics.sinks.clickhouse.blocks import RowFormat, body, row_format
from evometrics.sinks.clickhouse.client import (
    CLICKHOUSE_ERRORS,
    ClickHouseUnavailable,
    explain,
    is_away,
    is_bad_data,
    open_client,
    sequential,
)
from evometrics.sinks.clickhouse.inserts import INSERT_SETTINGS
from evometrics.sinks.migrations.new_columns import described, fit
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import InsertGroup, InsertRow, Rejected
from evometrics.sinks.worker.screen import screen, written_anew

log = logging.getLogger(__name__)

#: Attempts that are logged each; of later ones, one in `LONGEST_SECONDS`.
FIRST_ATTEMPTS = 5


Request: TypeAlias = Callable[[AsyncClient], Awaitable[Any]]
#: Returns the token of the next insert, once its plan is committed.
NextToken: TypeAlias = Callable[[], Awaitable[str]]


class BadData(ValueError):
    """ClickHouse reports that the data of the insert are at fault; `str()` is its reason."""


class Unstorable(BadData):
    """No message of this schema can be stored; `str()` names the field and the reason."""


class TableWriter:
    """Writes the sink's rows to ClickHouse.

    Attributes:
        trouble: why the last attempt failed; None while ClickHouse accepts the inserts.
        answered: number of requests that ClickHouse has accepted, or refused for their data.
    """

    def __init__(self, settings: ClickHouseSettings, instruments: Instruments) -> None:
        self.settings = settings
        self.instruments = instruments
        self.trouble: str | None = "ClickHouse has not answered yet"
        self.answered = 0
        self.client: AsyncClient | None = None
        self.opening = asyncio.Lock()
        self.formats: dict[bytes, RowFormat] = {}

    async def connection(self) -> AsyncClient:
        """Return the client, opening it at the first call. Raises `ClickHouseUnavailable`."""
        async with self.opening:
            if self.client is None:
                self.client = await open_client(self.settings)
            return self.client

    async def away(self) -> str | None:
        """Ask ClickHouse whether it is reachable; return None if it is, otherwise what is wrong."""
        try:
            client = await self.connection()
        except CLICKHOUSE_ERRORS as error:
            return str(error)
        return None if await client.ping() else f"ClickHouse at {self.settings.url} does not answer"

    async def close(self) -> None:
        if self.client is not None:
            await self.client.close()
            self.client = None

    async def reach(self) -> None:
        """Return once ClickHouse answers and the tables exist, however long that takes."""
        await self.retrying(
            "the check of its tables", "", lambda c: c.query("SELECT 1 FROM dead_letters LIMIT 0")
        )

    async def sift(self, group: InsertGroup, reason: BadData, next_token: NextToken) -> list[Rejected]:
        """Insert the good ones of the rows that ClickHouse refused; return the others, with the reason.

        Each insert on the way holds other rows than the previous one and has a token of its own, from
        `next_token`; whatever that raises passes through.
        """
        if isinstance(reason, Unstorable):
            log.warning("%s accepts none of %d rows: %s", group.table, len(group.rows), reason)
            return [Rejected(row.message, str(reason)) for row in group.rows]
        log.warning(
            "%s refused %d rows; searching for the bad ones: %s", group.table, len(group.rows), reason
        )
        whole, damaged = await asyncio.to_thread(screen, group.schema, group.rows)
        return damaged + await self.bisect(group, whole, next_token)

    async def bisect(
        self, group: InsertGroup, rows: Sequence[InsertRow], next_token: NextToken
    ) -> list[Rejected]:
        """Insert rows in halves down to the bad ones; return these."""
        if not rows:
            return []
        try:
            await self.insert(group, rows, await next_token())
            return []
        except BadData:
            if len(rows) == 1:
                return await self.insert_anew(group, rows[0], next_token)
        middle = len(rows) // 2
        first = await self.bisect(group, rows[:middle], next_token)
        return first + await self.bisect(group, rows[middle:], next_token)

    async def insert_anew(self, group: InsertGroup, row: InsertRow, next_token: NextToken) -> list[Rejected]:
        """Insert the re-encoded row of a good message that ClickHouse refused; return it if that fails."""
        try:
            await self.insert(group, [written_anew(group.schema, row)], await next_token())
            return []
        except BadData as error:
            return [Rejected(row.message, str(error))]

    async def insert(self, group: InsertGroup, rows: Sequence[InsertRow], token: str) -> None:
        """Insert rows as one block, retrying until ClickHouse has answered. Raises `BadData`.

        Under a token that was used before, ClickHouse stores nothing, and does not report it.
        """
        if not rows:
            return
        fmt = self.formats.get(group.schema.fingerprint) or await self.fitted(group)
        made = await body(fmt, group.topic, rows)
        seconds = self.instruments.histogram(INSERT_SECONDS).labels(group.table)

        async def send(client: AsyncClient) -> None:
            started = time.perf_counter()
            try:
                await client.raw_insert(
                    table=f"{self.settings.database}.{group.table}_rows",
                    column_names=made.columns,
                    insert_block=made.rows,
                    fmt=made.format,
                    settings={**INSERT_SETTINGS, "insert_deduplication_token": token},
                )
            finally:
                seconds.observe(time.perf_counter() - started)

        await self.retrying(f"an insert of {len(rows)} rows into {group.table}_rows", group.table, send)
        self.instruments.counter(ROWS_INSERTED).labels(group.table).inc(len(rows))
        self.instruments.counter(BATCHES_INSERTED).labels(group.table).inc()

    async def fitted(self, group: InsertGroup) -> RowFormat:
        """Add the columns that the table lacks for a group's schema; return the format of its inserts.

        Raises `Unstorable`.
        """
        what = f"the check of the columns of {group.table}_rows for {described(group.schema)}"
        try:
            await self.retrying(
                what, group.table, lambda client: fit(client, self.settings, group.table, group.schema)
            )
        except IncompatibleSchema as error:
            raise Unstorable(str(error)) from error
        fmt = self.formats[group.schema.fingerprint] = row_format(group.schema)
        return fmt

    async def stored_events(
        self, table: str, partition: int, first: int, last: int
    ) -> set[tuple[int, bytes]]:
        """Return the offsets `first` to `last` (inclusive) that the table has, with their event_ids.

        An offset has more than one event if the topic was recreated.
        """
        sql = (
            f"SELECT _offset, toString(event_id) FROM {table}_rows WHERE _partition = {partition:d} "
            f"AND _offset BETWEEN {first:d} AND {last:d}"
        )
        found: set[tuple[int, bytes]] = set()

        async def ask(client: AsyncClient) -> None:
            rows = (await client.query(sql, settings=sequential(client))).result_rows
            found.update((offset, event_id.encode()) for offset, event_id in rows)

        await self.retrying(f"the check of stored offsets in {table}_rows", table, ask)
        return found

    async def stored_end(self, table: str, partition: int) -> int:
        """Return the offset after the last one that the table has of a partition; 0 where it has none."""
        sql = f"SELECT max(_offset) + 1, count() FROM {table}_rows WHERE _partition = {partition:d}"
        found = [0, 0]

        async def ask(client: AsyncClient) -> None:
            found[:] = (await client.query(sql)).result_rows[0]

        await self.retrying(f"the check of the last offset in {table}_rows", table, ask)
        end, number = found
        return end if number else 0

    async def retrying(self, what: str, table: str, request: Request) -> None:
        """Send a request until ClickHouse has answered it. Raises `BadData`.

        Where nobody is there it is sent each second, so that a restart of ClickHouse delays rows by no more;
        one that is slow or answers with errors is left more and more time.
        """
        attempt, said = 0, -LONGEST_SECONDS
        while True:
            try:
                await request(await self.connection())
                self.trouble = None
                self.answered += 1
                return
            except CLICKHOUSE_ERRORS as error:
                if is_bad_data(error):
                    self.answered += 1
                    raise BadData(" ".join(str(error).split())[:500]) from error
                attempt += 1
                explained = self.client is None or isinstance(error, ClickHouseUnavailable)
                self.trouble = str(error) if explained else explain(self.settings, error)
                if table:
                    self.instruments.counter(INSERT_RETRIES).labels(table).inc()
                pause = backoff(attempt, SOON_SECONDS if is_away(error) else LONGEST_SECONDS)
                if attempt <= FIRST_ATTEMPTS or time.monotonic() >= said + LONGEST_SECONDS:
                    said = time.monotonic()
                    log.warning(
                        "%s failed, attempt %d follows in %.1f s: %s", what, attempt + 1, pause, self.trouble
                    )
                await asyncio.sleep(pause)
