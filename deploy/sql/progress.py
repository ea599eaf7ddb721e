"""A line on the terminal that says how far a long query is."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from types import TracebackType
from typing import Self

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.service.tasks import end_tasks
from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS

FIRST_SECONDS = 1.0
EVERY_SECONDS = 0.5
ERASE = "\r\x1b[K"
READ = "SELECT read_rows, total_rows_approx, read_bytes FROM system.processes WHERE query_id = {id:String}"


class QueryProgress:
    """Tells on standard error, if that is a terminal, what a query has read, from its first second on.

    `rows` is how many rows have arrived; set `hidden` when the rows are on the same terminal.
    """

    def __init__(self, client: AsyncClient, query_id: str) -> None:
        self.client = client
        self.query_id = query_id
        self.began = time.monotonic()
        self.rows = 0
        self.hidden = not sys.stderr.isatty()
        self.task: asyncio.Task[None] | None = None
        self.shown = False

    async def __aenter__(self) -> Self:
        if not self.hidden:
            self.task = asyncio.create_task(self.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hide()
        if self.task is not None:
            await end_tasks([self.task])

    @property
    def seconds(self) -> float:
        """How long the query has been running."""
        return time.monotonic() - self.began

    def hide(self) -> None:
        """Erase the line; there will be none any more."""
        self.hidden = True
        self.say("")

    async def run(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        while not self.hidden:
            read = await self.read()
            if not self.hidden:
                self.say(f"{self.seconds:.0f} s{read}" + (f", {amount(self.rows)} rows" if self.rows else ""))
            await asyncio.sleep(EVERY_SECONDS)

    async def read(self) -> str:
        """Return what the query has read, in words; empty if the server does not say."""
        with contextlib.suppress(*CLICKHOUSE_ERRORS):
            found = await self.client.query(READ, parameters={"id": self.query_id})
            for rows, total, size in found.result_rows:
                of = f" of {amount(total)} ({min(rows / total, 1):.0%})" if total else ""
                return f", read {amount(rows)}{of} rows, {amount(size)}B"
        return ""

    def say(self, line: str) -> None:
        if line or self.shown:
            with contextlib.suppress(OSError, ValueError):
                print(ERASE + line, end="", file=sys.stderr, flush=True)
        self.shown = bool(line)


def amount(number: float) -> str:
    """Return a number in few digits, such as 3.4 M."""
    for unit in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.3g} {unit}".strip() if unit else f"{number:.0f}"
        number /= 1000
    return f"{number:.3g} T"
