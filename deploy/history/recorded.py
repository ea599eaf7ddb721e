"""The events in one of our own histories, exactly as they were recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evometrics.producers.events.cells import Unreadable
from evometrics.schemas.events import Event
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat

WIRE = WireFormat()


def recorded_event(row: Mapping[str, Any], node_id: str) -> Event:
    """Return a row's event, ids, times and node as recorded. Raises `Unreadable`."""
    value = row.get("value")
    if not isinstance(value, bytes):
        raise Unreadable("value: is not a message")
    try:
        return WIRE.decode(value)
    except UnreadableMessage as error:
        raise Unreadable(f"value: {error}") from None
