"""Settings of a stream worker."""

from __future__ import annotations

from dataclasses import dataclass

from evometrics.schemas.evolutions.outcome import ABANDONED_AFTER_SECONDS
from evometrics.schemas.letters.limit import LetterLimit
from evometrics.schemas.service.settings import require


@dataclass(frozen=True, slots=True)
class StreamSettings(LetterLimit):
    """How a stream worker runs and computes.

    What it remembers has fixed limits besides: `rings.SEGMENTS` and `rings.RING_LIMIT` (event ids, to know
    duplicates), `snapshots.SNAPSHOT_LIMIT`, `state.CLOSED_LIMIT`, `batches.LIVE_LIMIT` (states kept
    decoded), `lane.ROUND_RECORDS` (records computed at a time). Further attributes: `LetterLimit`.

    Attributes:
        group: consumer group and prefix of the changelog topics; workers of one group share the work.
        instance: name of this worker within the group, the same after a restart (static membership:
            a worker that comes back in time gets its partitions back without a rebalance).
        abandoned_after_seconds: event time after which a started evolution counts as abandoned.
        allowed_lateness_seconds: how far an event may lie behind the newest of its scope and still
            correct success rates and KPI deltas.
        session_timeout_seconds: how long the broker waits for a silent worker.
        data: folder for Faust's own files.
    """

    group: str = "evometrics-stream"
    instance: str = ""
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
            self.session_timeout_seconds >= 6,
            "session_timeout_seconds",
            self.session_timeout_seconds,
            "must be at least 6, Kafka's own minimum",
        )
