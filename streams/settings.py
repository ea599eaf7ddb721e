"""Settings of a stream worker."""

from __future__ import annotations

from dataclasses import dataclass

from evometrics.schemas.evolutions.outcome import ABANDONED_AFTER_SECONDS
from evometrics.schemas.letters.limit import LetterLimit
from evometrics.schemas.service.settings import require


@dataclass(frozen=True, slots=True)
class StreamSettings(LetterLimit):
    """How a stream worker runs and computes.

    Attributes:
        group: consumer group, and prefix of the changelog topics; workers of one group share the work.
        instance: name of this worker within its group, the same after a restart (static membership): a
            worker that is back within `session_timeout_seconds` keeps its partitions without a rebalance.
            Empty = the worker joins as a new member with each start.
        leave_group: whether a worker that is stopped gives up its `instance` at once, so that the others take
            its partitions over without waiting for `session_timeout_seconds`: for workers that are scaled in.
        abandoned_after_seconds: seconds of event time after which an evolution that started and did not end
            counts as abandoned.
        allowed_lateness_seconds: seconds of event time that an event may lie behind the newest of its scope
            and still correct success rates and KPI deltas.
        session_timeout_seconds: seconds without a heartbeat after which the broker gives the worker's
            partitions to others; 6 to 90.
        data: folder for Faust's own files.
    """

    # What a worker remembers has fixed limits: `id_rings.SEGMENTS` and `IDS_LIMIT` (event ids, to recognise
    # duplicates), `snapshots.SNAPSHOT_LIMIT`, `agent_states.CLOSED_LIMIT`, `live.LIVE_LIMIT` (states kept
    # decoded), `snapshots.RECENT_LIMIT` (snapshots as they are compared), `lane.ROUND_RECORDS` (records
    # computed at a time).

    group: str = "evometrics-stream"
    instance: str = ""
    leave_group: bool = False
    abandoned_after_seconds: int = ABANDONED_AFTER_SECONDS
    allowed_lateness_seconds: int = 172_800
    session_timeout_seconds: float = 30.0
    data: str = ".evometrics/stream"

    def __post_init__(self) -> None:
        LetterLimit.__post_init__(self)
        require(bool(self.group), "group", self.group, "name the consumer group")
        require(
            self.abandoned_after_seconds > 0,
            "abandoned_after_seconds",
            self.abandoned_after_seconds,
            "must be above 0",
        )
        require(
            self.allowed_lateness_seconds >= 0,
            "allowed_lateness_seconds",
            self.allowed_lateness_seconds,
            "must not be negative",
        )
        require(
            6 <= self.session_timeout_seconds <= 90,
            "session_timeout_seconds",
            self.session_timeout_seconds,
            "must be 6 (Kafka's own minimum) to 90 (the client waits no longer for an answer)",
        )
