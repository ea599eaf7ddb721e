"""The error message for a sink whose consumer group has workers of another kind."""

from __future__ import annotations

from aiokafka.errors import InconsistentGroupProtocolError


def group_taken(error: BaseException | None, group: str) -> str | None:
    """Return why the sink can't join its group, and the way out; None for other errors.

    Stream and sink assign partitions by protocols of their own: Kafka refuses the second one to join, with an
    error that names neither, and the client wraps it in one of its own.
    """
    while error is not None and not isinstance(error, InconsistentGroupProtocolError):
        error = error.__cause__
    if error is None:
        return None
    return (
        f"this sink worker can't join consumer group {group!r}: another kind of worker, such as a stream "
        "worker, is already in it, and the two can't share one. Give each its own: the sink's is set by "
        "EVOMETRICS_SINK_GROUP (`group` in section [sink]), the stream's by EVOMETRICS_STREAM_GROUP "
        "(`group` in section [stream])"
    )
