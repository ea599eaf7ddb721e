"""Encodes events and appends them to the outbox, or rejects and reports them; raises nothing into the caller.

A journal belongs to one process: a forked child has a journal of its own, with an outbox of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable

from evometrics.producers.events.encoder import Encoder
from evometrics.producers.events.left_out import LeftOut, said
from evometrics.producers.outbox.outbox import Outbox
from evometrics.schemas.events import Event, SystemEvent
from evometrics.schemas.rules.validation import InvalidEvent
from evometrics.schemas.topics import BY_RECORD

logger = logging.getLogger(__name__)

#: How often in a row an outbox that is being closed is reopened.
OPEN_TRIES = 3


class Journal:
    """Puts events on disk.

    Attributes:
        outbox: opened by the first event, where nobody has opened it before.
        rejected: events that could not be recorded so far.
        left_out: by field, number of values that were left out of events, truncated or corrected.
        observers: called with every event that is recorded, in the recording thread; none may raise.
    """

    def __init__(self, encoder: Encoder, outbox: Outbox, *, strict: bool) -> None:
        self.encoder = encoder
        self.outbox = outbox
        self.strict = strict
        self.rejected = 0
        self.left_out: Counter[str] = Counter()
        self.observers: list[Callable[[Event], None]] = []
        self.opening = threading.Lock()
        self.late: set[asyncio.Task[bool]] = set()

    def put(self, event: Event, left_out: LeftOut) -> asyncio.Future[bool]:
        """Encode an event and append it; awaiting the result is optional.

        Returns a future: True once the event is durable, False if it was shed or the disk failed. Raises
        `InvalidEvent`.
        """
        return self.append(event, self.encoded(event, left_out))

    def encoded(self, event: Event, left_out: LeftOut) -> bytes:
        """Return an event's bytes, after passing the event to the observers. Raises `InvalidEvent`."""
        value = self.encoder.encode(event, left_out)
        if left_out.count:
            self.left_out.update(left_out.fields)
        for observe in self.observers:
            observe(event)
        return value

    def append(self, event: Event, value: bytes) -> asyncio.Future[bool]:
        """Append an event's bytes, like `put`."""
        topic, key = BY_RECORD[event.record].name, event.key
        put = self.outbox.append(topic, key, value)
        if put is None:
            put = asyncio.create_task(self.put_late(topic, key, value))
            self.late.add(put)
            put.add_done_callback(self.late.discard)
        return put

    async def put_late(self, topic: str, key: str, value: bytes) -> bool:
        """Open the outbox and append an event's bytes; return whether they are on disk."""
        for _ in range(OPEN_TRIES):
            try:
                await asyncio.to_thread(self.open)
            except OSError as error:
                logger.error("an event could not be recorded: %s", error)
                break
            if (put := self.outbox.append(topic, key, value)) is not None:
                return await put
        self.outbox.failed += 1
        return False

    def open(self) -> None:
        """Open the outbox where it is closed; blocking. Raises `OutboxError`."""
        with self.opening:
            if not self.outbox.is_open:
                self.outbox.open()

    def close(self) -> None:
        """Commit what was appended and close the outbox; blocking. The next event reopens it."""
        with self.opening:
            if self.outbox.is_open:
                self.outbox.close()

    async def opened(self) -> None:
        """Open the outbox; where that fails, the events that follow report it."""
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self.open)

    async def record(self, record: str, given: object, build: Callable[[LeftOut], Event]) -> str | None:
        """Build an event and put it on disk; return its id, None where it was not recorded."""
        if not self.outbox.is_open:
            await self.opened()
        left_out = LeftOut()
        try:
            event = build(left_out)
            put = self.put(event, left_out)
        except Exception as error:
            return await self.reject(record, given, error)
        return self.answer(record, event.event_id, await put, left_out)

    async def system_event(self, event_type: object, data: object) -> str | None:
        """Record something about the node or the system, like `record`."""
        return await self.record(
            SystemEvent.record,
            {"event_type": event_type, "data": data},
            lambda left_out: self.encoder.system_event(event_type, data, left_out),
        )

    def answer(self, record: str, event_id: str, stored: bool, left_out: LeftOut) -> str | None:
        """Return the id of an event that is on disk, None where it was shed or the disk failed.

        Raises `InvalidEvent` where a value was left out of the event and `strict` is set.
        """
        if self.strict and left_out.count:
            field, what = left_out.first
            raise InvalidEvent(record, field, what)
        return event_id if stored else None

    async def reject(self, record: str, event: object, error: Exception) -> str | None:
        """Log, count and record an event that can't be recorded; raises where `strict` is set."""
        self.rejected += 1
        if not isinstance(error, InvalidEvent):
            logger.error("recording %s failed", record, exc_info=error)
            error = InvalidEvent(record, "event", said(error))
        try:
            report = self.encoder.rejection(event, error)
            logger.error("rejected an event: %s; recorded as event_rejected %s", error, report.event_id)
            await self.put(report, LeftOut())
        except Exception:
            logger.exception("the rejection of an event could not be recorded: %s", error)
        if self.strict:
            raise error
        return None
