"""Signatures of the compiled module; its purpose is explained in `event.pyx`."""

#: Bytes before each datum of a container: the message's time in Kafka (milliseconds, 8 bytes), its event time
#: (microseconds, 8), its partition (4) and its offset there (8), little-endian.
HEAD_BYTES: int

class RawEvent:
    """One event as it is sent; a `reading.Record` as well.

    Attributes:
        timestamp: the message's time in Kafka, milliseconds.
        occurred_at: event time, microseconds.
        value: the message value, framed.
        partition, offset: its original partition and offset, 0 if they are not needed; a stream offline gives
            it another offset (`OfflineStream`).
    """

    timestamp: int
    occurred_at: int
    topic: str
    event_id: bytes
    key: bytes
    value: bytes
    partition: int
    offset: int
    def __init__(
        self,
        timestamp: int,
        occurred_at: int,
        topic: str,
        event_id: bytes,
        key: bytes,
        value: bytes,
        partition: int = 0,
        offset: int = 0,
    ) -> None: ...

def read_head(value: bytes, position: int) -> tuple[bytes, bytes, int]:
    """Return the id, the key and the event time (microseconds) of the datum at a position.

    Of any version: all begin with ids of event, agent and node, and the time. Raises `binary.Unusual` if they
    are missing.
    """

def cut_events(container: bytes, place: int, topic: str, prefix: bytes) -> list[RawEvent]:
    """Return the events of a container of one-record blocks, whose first begins at a place, each once.

    They are in the order of time, partition and offset.

    Each record is a head of `HEAD_BYTES`, then a datum of the topic's schema, which `prefix` frames. Raises
    `ValueError` if a block holds more or is cut, `binary.Unusual` if a record is something else.
    """
