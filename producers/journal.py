"""Where events are encoded and put into the outbox, or refused and reported: nothing raises from here.

A journal belongs to one process: a forked child has one of its own, with an outbox of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from evometrics.producers.encoder import Encoder
from evometrics.producers.latency import Latency
from evometrics.producers.left_out import LeftOut, said
from evometrics.producers.outbox import Outbox
from evometrics.schemas.events import Event
from evometrics.schemas.metric_defs import RECORD_SECONDS
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.validation import InvalidEvent

logger = logging.getLogger(__name__)

#: An outbox that is being closed is opened anew; more often than this in a row it is not.
OPEN_TRIES = 3


class Journal:
    """Puts events on disk.

    Attributes:
        outbox: opened by the first event, where nobody has opened it before.
        rejected: events that could not be recorded so far.
        left_out: by field, values that were left out of events, cut or put right.
        latency: how long calls waited for their events to be on disk.
        observe: shown every event that is recorded; called from the recording thread.
    """

    def __init__(self, encoder: Encoder, outbox: Outbox, *, strict: bool) -> None:
        self.encoder = encoder
        self.outbox = outbox
        self.strict = strict
        self.rejected = 0
        self.left_out: Counter[str] = Counter()
        self.observe: Callable[[Event], None] = lambda event: None
        self.opening = threading.Lock()
        self.latency = Latency(RECORD_SECONDS.buckets)
        self.aside: set[asyncio.Task[str | None]] = set()

    def put(self, event: Event, left_out: LeftOut) -> asyncio.Future[bool] | bytes:
        """Encode an event and append it; return what comes to be True once it is on disk.

        Returns its bytes where the outbox is not open. Raises `InvalidEvent`.
        """
        value = self.encoder.encode(event, left_out)
        if left_out.count:
            self.left_out.update(left_out.fields)
        self.observe(event)
        return self.append(event, value) or value

    def append(self, event: Event, value: bytes) -> asyncio.Future[bool] | None:
        """Append an event's bytes; None where the outbox is not open."""
        return self.outbox.append(BY_RECORD[event.record].name, event.key, value)

    async def stored(self, event: Event, put: asyncio.Future[bool] | bytes) -> str | None:
        """Return the event's id once it is on disk; None where it was shed, or the disk failed."""
        for _ in range(OPEN_TRIES):
            if isinstance(put, asyncio.Future):
                return event.event_id if await put else None
            try:
                await asyncio.to_thread(self.open)
            except OSError as error:
                logger.error("an event is not recorded: %s", error)
                break
            put = self.append(event, put) or put
        self.outbox.failed += 1
        return None

    def open(self) -> None:
        """Open the outbox where it is not; blocking. Raises `OutboxError`."""
        with self.opening:
            if not self.outbox.is_open:
                self.outbox.open()

    def close(self) -> None:
        """Commit what was appended and close the outbox; blocking. Whoever records later opens a new one."""
        with self.opening:
            if self.outbox.is_open:
                self.outbox.close()

    def put_aside(self, event: Event, left_out: LeftOut) -> None:
        """Have an event stored, without waiting for it. Raises `InvalidEvent`."""
        put = self.put(event, left_out)
        if not isinstance(put, asyncio.Future):
            task = asyncio.create_task(self.stored(event, put))
            self.aside.add(task)
            task.add_done_callback(self.aside.discard)

    async def opened(self) -> None:
        """Open the outbox where it is not; where it can't be, the events that follow say so."""
        if not self.outbox.is_open:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self.open)

    async def record(self, record: str, given: object, build: Callable[[LeftOut], Event]) -> str | None:
        """Build an event and put it on disk; return its id, None where it was not recorded."""
        await self.opened()
        left_out = LeftOut()
        try:
            event = build(left_out)
            put = self.put(event, left_out)
        except Exception as error:
            return await self.reject(record, given, error)
        return await self.kept(event, put, left_out)

    async def kept(self, event: Event, put: asyncio.Future[bool] | bytes, left_out: LeftOut) -> str | None:
        """Return the event's id once it is on disk, None where it was shed or the disk failed.

        Raises `InvalidEvent` where a value was left out of it and `strict` is set.
        """
        begun = time.perf_counter()
        event_id = await self.stored(event, put)
        self.latency.add(time.perf_counter() - begun)
        self.check(event.record, left_out)
        return event_id

    def check(self, record: str, left_out: LeftOut) -> None:
        """Raise where a value was left out and `strict` is set."""
        if self.strict and left_out.count:
            field, what = left_out.first
            raise InvalidEvent(record, field, what)

    async def reject(self, record: str, event: object, error: Exception) -> str | None:
        """Log, count and record an event that can't be recorded; raises where `strict` is set."""
        self.rejected += 1
        if not isinstance(error, InvalidEvent):
            logger.error("recording %s failed", record, exc_info=error)
            error = InvalidEvent(record, "event", said(error))
        try:
            report = self.encoder.rejection(event, error)
            logger.error("rejected an event: %s; recorded as event_rejected %s", error, report.event_id)
            await self.stored(report, self.put(report, LeftOut()))
        except Exception:
            logger.exception("the rejection of an event could not be recorded: %s", error)
        if self.strict:
            raise error
        return None
