"""Stores what a replay computed, beside the computing: ClickHouse inserts one step while the next is made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from evometrics.schemas.tasks import end_tasks
from evometrics.sinks.raw_events import RawEvent
from evometrics.sinks.shadow import ShadowTables
from evometrics.streams.outputs import Message


class Storing:
    """Stores what one step came to while the next one is computed. Use it as an async context manager."""

    def __init__(self, shadow: ShadowTables) -> None:
        self.shadow = shadow
        self.under_way: asyncio.Task[int] | None = None
        self.rows = 0

    async def __aenter__(self) -> Storing:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.under_way is not None:
            await end_tasks([self.under_way])

    async def put(self, events: Sequence[RawEvent], messages: Sequence[Message]) -> None:
        """Take a step's events and their derived ones, once those of the step before are stored."""
        await self.end()
        self.under_way = asyncio.create_task(self.store(events, messages))

    async def end(self) -> int:
        """Wait until all is stored; return how many rows were. Raises what storing raised."""
        if self.under_way is not None:
            self.rows += await self.under_way
            self.under_way = None
        return self.rows

    async def store(self, events: Sequence[RawEvent], messages: Sequence[Message]) -> int:
        """Store one step."""
        await self.shadow.note_read(event.event_id for event in events)
        return await self.shadow.insert(messages, events[-1].at)
