"""What a valid message is: one answer for all readers, so that all accept and refuse the same ones.

A message is valid where its framing names a schema of its topic's record, its datum conforms to that schema
and ends where the message ends, its text is UTF-8, and, on a raw topic, its event passes `validate` at the
time the broker gave it. The sink's tables have the same rules as constraints, because ClickHouse decodes
there; what the constraints refuse is read again by `read_datum`, for the reason.
"""

from __future__ import annotations

from typing import Protocol

from evometrics.schemas.events import Event
from evometrics.schemas.rules.screening import surely_valid
from evometrics.schemas.rules.validation import InvalidEvent, validate
from evometrics.schemas.topics import BY_NAME
from evometrics.schemas.wire.catalog import WriterSchema
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat, decode_exact, decode_unusual


class Record(Protocol):
    """The attributes of a Kafka record that are read; aiokafka's `ConsumerRecord` has them."""

    topic: str
    partition: int
    offset: int
    timestamp: int

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes | None: ...


def read_event(wire: WireFormat, message: Record) -> Event:
    """Return a message's event, read with the newest schema.

    Raises `UnreadableMessage` with the reason where the message is invalid, `RegistryUnavailable` like
    `WireFormat.locate`, `KeyError` where the topic is not one of ours.
    """
    return read_datum(*locate(wire, message.topic, message.value), message)


def locate(wire: WireFormat, topic: str, value: bytes | None) -> tuple[WriterSchema, int]:
    """Return the writer's schema and where the bare datum begins. Raises like `read_event`."""
    schema, position = wire.locate(value)
    expected = BY_NAME[topic].record
    if schema.record != expected:
        raise UnreadableMessage(f"the event is a {schema.record}, but this topic holds {expected}")
    return schema, position


def read_datum(schema: WriterSchema, position: int, message: Record) -> Event:
    """Return the event of a located datum. Raises `UnreadableMessage` where the message is invalid."""
    assert message.value is not None, "only a message with a value has a datum"
    event = decode_exact(schema, message.value, position)
    exact = event is not None
    if event is None:
        event = decode_unusual(schema, message.value, position)
    if BY_NAME[message.topic].kind == "raw":
        check(event, message, exact)
    return event


def check(event: Event, message: Record, exact: bool) -> None:
    """Raise `UnreadableMessage` where an event must be refused; exact: whether `decode_exact` returned it."""
    # against the broker's time, not this machine's: a replay must decide the same
    now = message.timestamp * 1000
    if not (exact and surely_valid(event, now)):
        try:
            validate(event, now)
        except InvalidEvent as error:
            raise UnreadableMessage(str(error)) from error
