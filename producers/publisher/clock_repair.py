"""Corrects events that were timed by a clock more than a day ahead, once it agrees with the broker's.

All times of such an event are moved back by the clock's error, so its evolution's duration is unchanged.
Where this process saw the clock being set, the error is known to the millisecond. Where an earlier process
recorded the events, it is known only that the last of them has happened by now: then all of its events are
moved back by what takes the last one to now, which keeps their order and intervals.

They are corrected in the outbox, before any of them is sent, so that an event that has to be sent twice is
the same both times.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from evometrics.producers.outbox.row import Row, latest_time
from evometrics.producers.publisher.adopted import AdoptedSource
from evometrics.producers.publisher.backlog import OwnSource, RowSource
from evometrics.producers.publisher.broker_clock import SECOND, NodeClock
from evometrics.schemas.events import Event, EvolutionCompleted, SystemEvent
from evometrics.schemas.wire.framing import WireFormat

#: The note's key in an event's metadata, or in a system event's data: seconds by which its times moved back.
NOTE = "evometrics.clock_ahead_seconds"
ROWS = 500
#: An evolution's times are of one clock if they differ by its duration, within this many microseconds.
SAME_CLOCK = 60 * SECOND


def put_right(event: Event, shift: int) -> Event:
    """Return an event with its times `shift` microseconds earlier, and a note of that if it has room."""
    changes: dict[str, Any] = {"occurred_at": event.occurred_at - shift}
    seconds = round(shift / SECOND, 3)
    if isinstance(event, EvolutionCompleted):
        changes["started_at"] = start_of(event, shift)
    if isinstance(event, SystemEvent):
        changes["data"] = noted(event.data, seconds)
    metadata = getattr(event, "metadata", None)
    if isinstance(metadata, dict):
        changes["metadata"] = {**metadata, NOTE: str(seconds)}
    return replace(event, **changes)


def start_of(event: EvolutionCompleted, shift: int) -> int:
    """Return when an evolution started; the clock may have been set while it ran."""
    lasted = round(event.duration_seconds * SECOND)
    if abs(event.occurred_at - event.started_at - lasted) < SAME_CLOCK:
        return event.started_at - shift
    end = event.occurred_at - shift
    return event.started_at if event.started_at <= end else max(0, end - lasted)


def noted(data: str, seconds: float) -> str:
    """Return a system event's data with the note; unchanged where it is not a JSON object."""
    try:
        found = json.loads(data)
    except ValueError:
        return data
    return json.dumps({**found, NOTE: seconds}) if isinstance(found, dict) else data


class ClockRepair:
    """Corrects the rows of outboxes.

    Attributes:
        as_it_is: rows, by source's number and seq, that can't be decoded here and are sent unchanged.
        damaged: numbers of the sources that can't be corrected.
    """

    def __init__(self, clock: NodeClock) -> None:
        self.clock = clock
        self.wire = WireFormat()
        self.as_it_is: set[tuple[int, int]] = set()
        self.damaged: set[int] = set()

    def mend(self, source: OwnSource | AdoptedSource) -> int:
        """Correct the events of an outbox that are too far ahead; return how many were corrected.

        The clock must agree with the broker's. Raises `sqlite3.Error` or OSError where the outbox is damaged.
        """
        limit, now = self.clock.latest(), self.clock.now()
        assert limit is not None and now is not None, "the broker's time is known by now"
        last = 0
        for rows in self.ahead(source, limit):
            last = max(last, *map(latest_time, rows))
        mended = 0
        for rows in self.ahead(source, limit):
            new = [
                row for row in (self.mended(source, row, last - round(now * SECOND)) for row in rows) if row
            ]
            assert source.file is not None
            source.file.write(new, [row.seq for row in new])
            mended += len(new)
        return mended

    def ahead(self, source: OwnSource | AdoptedSource, limit: int) -> Iterator[list[Row]]:
        """Yield the rows that are later than `limit`, in portions; no one else changes them meanwhile."""
        after = 0
        while True:
            # events that a full outbox sheds meanwhile must not come back
            alone = source.handover.reading if isinstance(source, OwnSource) else contextlib.nullcontext()
            with alone:
                assert source.file is not None
                rows = source.file.read_after(after, ROWS)
                if not rows:
                    return
                after = rows[-1].seq
                if found := [row for row in rows if latest_time(row) > limit]:
                    yield found

    def mended(self, source: RowSource, row: Row, at_least: int) -> Row | None:
        """Return a corrected row, None where it can't be decoded."""
        try:
            event = self.wire.decode(row.value)
            shift = self.clock.known_shift(latest_time(row)) or at_least
            return Row(row.seq, row.topic, row.key, self.wire.encode(put_right(event, shift)))
        except (ValueError, TypeError):
            self.as_it_is.add((source.number, row.seq))
            return None
