"""From typed events to the outbox's bytes, or to an error that names the field."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from evometrics.producers.events.fitting import shrink
from evometrics.producers.events.jsontext import json_text
from evometrics.producers.events.left_out import LEFT_OUT, LeftOut, said
from evometrics.producers.events.values import latest_now, text_of
from evometrics.schemas.events import Event, SystemEvent, micros, now_micros
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.rules.screening import surely_valid
from evometrics.schemas.rules.validation import MAX_EVENT_BYTES, NAME_CHARACTERS, InvalidEvent, validate
from evometrics.schemas.wire.framing import WireFormat

#: Most characters of a rejected event, and of the reason, in its report.
REPORT_CHARACTERS = 2000
UNNAMED_EVENT = "unknown"


class Encoder:
    """Validates and encodes the events of one node, always as Avro single-object encoding."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.wire = WireFormat()

    def encode(self, event: Event, left_out: LeftOut) -> bytes:
        """Return the event's bytes; what had to be left out is named in its metadata.

        A field too large for an event is thinned or truncated. Raises `InvalidEvent` naming the field.
        """
        if left_out.count:
            name_in(event, left_out)
        value = self.wire.encode_exact(event)
        if value is None or not surely_valid(event, now_micros()):
            value = self.encode_valid(event)
        while len(value) > MAX_EVENT_BYTES:
            if not shrink(event, len(value) - MAX_EVENT_BYTES, left_out):
                raise InvalidEvent(
                    event.record, "event", f"has {len(value)} bytes, more than {MAX_EVENT_BYTES}"
                )
            name_in(event, left_out)
            value = self.encode_valid(event)
        return value

    def encode_valid(self, event: Event) -> bytes:
        """Return the bytes of an event of any size whose values are valid. Raises `InvalidEvent`."""
        validate(event, latest_now())
        try:
            return self.wire.encode(event)
        except Exception as error:
            # fastavro's exception depends on the value; each means that the event can't be written.
            raise InvalidEvent(event.record, "event", f"does not fit the schema: {error}") from error

    def system_event(self, event_type: Any, data: Any, left_out: LeftOut, agent_id: str = "") -> SystemEvent:
        """Build a system event from any data; what JSON can't represent becomes text or is left out."""
        name = text_of(event_type)
        if not name:
            left_out.add("event_type", event_type, f"is empty; recorded as {UNNAMED_EVENT}")
        elif len(name) > NAME_CHARACTERS:
            left_out.add("event_type", name, f"has {len(name)} characters; {NAME_CHARACTERS} are kept")
        if not agent_id and isinstance(data, Mapping):
            agent_id = agent_in(data)
        return SystemEvent(
            event_id=new_event_id(),
            agent_id=agent_id if len(agent_id) <= NAME_CHARACTERS else "",
            node_id=self.node_id,
            occurred_at=micros(time.time()),
            event_type=name[:NAME_CHARACTERS] or UNNAMED_EVENT,
            data=json_text(data, left_out),
        )

    def rejection(self, event: object, error: InvalidEvent) -> SystemEvent:
        """Build the report of an event that can't be recorded; the report itself always can."""
        agent = agent_in(event) if isinstance(event, Mapping) else agent_of(event)
        data = {
            "record": error.record,
            "field": said(error.field, REPORT_CHARACTERS),
            "reason": said(error.reason, REPORT_CHARACTERS),
            "event": said(event, REPORT_CHARACTERS),
        }
        return self.system_event("event_rejected", data, LeftOut(), agent)


def name_in(event: Any, left_out: LeftOut) -> None:
    """Name in an event's metadata what was left out; a system event already has it in its data."""
    if (metadata := getattr(event, "metadata", None)) is not None:
        event.metadata = {**metadata, LEFT_OUT: left_out.text()}


def agent_in(data: Mapping[Any, Any]) -> str:
    """Return the agent that a map names; empty where it names none."""
    try:
        return text_of(data.get("agent_id"))
    except Exception:
        return ""


def agent_of(event: object) -> str:
    """Return the agent that an object names; empty where it names none."""
    try:
        return text_of(getattr(event, "agent_id", None))
    except Exception:
        return ""
