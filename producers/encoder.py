"""From typed events to the outbox's bytes, or to an error that names the field."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from evometrics.schemas.events import Event, SystemEvent, micros, now_micros
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.screening import surely_valid
from evometrics.schemas.validation import MAX_EVENT_BYTES, InvalidEvent, validate
from evometrics.schemas.wire import WireFormat

#: How much of a rejected event, and of the reason, its report holds.
REPORT_CHARACTERS = 2000


class Encoder:
    """Validates and encodes the events of one node; Avro single-object encoding, whatever the broker gets."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.wire = WireFormat()

    def encode(self, event: Event) -> bytes:
        """Return the event's bytes. Raises `InvalidEvent` naming the field."""
        now = now_micros()
        value = self.wire.encode_exact(event)
        if value is None or not surely_valid(event, now):
            validate(event, now)
        try:
            value = value or self.wire.encode_unusual(event)
        except Exception as error:
            # What fastavro raises depends on the value; all of it means that the event can't be written.
            raise InvalidEvent(event.record, "event", f"does not fit the schema: {error}") from error
        if len(value) > MAX_EVENT_BYTES:
            too_large = f"makes the event {len(value)} bytes, over {MAX_EVENT_BYTES}; leave details out"
            raise InvalidEvent(event.record, largest_field(event), too_large)
        return value

    def system_event(self, event_type: str, data: Any, agent_id: str = "") -> SystemEvent:
        """Build a system event. Raises `InvalidEvent` where the data is no JSON."""
        try:
            text = json.dumps({} if data is None else data, default=str, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidEvent(SystemEvent.record, "data", f"is no JSON: {error}") from None
        named = data.get("agent_id") if isinstance(data, Mapping) else None
        return SystemEvent(
            event_id=new_event_id(),
            agent_id=agent_id or (named if isinstance(named, str) else ""),
            node_id=self.node_id,
            occurred_at=micros(time.time()),
            event_type=event_type,
            data=text,
        )

    def rejection(self, event: object, error: InvalidEvent) -> SystemEvent:
        """Build the report of an event that can't be recorded."""
        agent = event.get("agent_id") if isinstance(event, Mapping) else getattr(event, "agent_id", None)
        data = {
            "record": error.record,
            "field": printable(error.field),
            "reason": printable(error.reason),
            "event": printable(bounded_repr(event)),
        }
        usable = isinstance(agent, str) and len(agent) < REPORT_CHARACTERS and agent == printable(agent)
        return self.system_event("event_rejected", data, agent if usable and isinstance(agent, str) else "")


def largest_field(event: Event) -> str:
    """Return the name of the field that takes most room."""
    return max(event.to_record().items(), key=lambda field: len(repr(field[1])))[0]


def bounded_repr(event: object) -> str:
    """Return an event's text for a report, whatever its `__repr__` does."""
    try:
        return repr(event)
    except Exception:
        return f"a {type(event).__name__} that has no text"


def printable(text: str) -> str:
    """Return a bounded text that UTF-8 can hold (a lone surrogate it can't)."""
    return text[:REPORT_CHARACTERS].encode(errors="replace").decode()
