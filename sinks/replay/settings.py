"""What a replay is to do."""

from __future__ import annotations

from dataclasses import dataclass, field

from evometrics.schemas.service.settings import require
from evometrics.schemas.topics import DERIVED_TOPICS, KPI_DELTAS, KPI_SNAPSHOTS, Topic
from evometrics.sinks.raw.tables import RawSelection
from evometrics.sinks.replay import sql as replay_sql
from evometrics.sinks.replay.source import MAX_AHEAD
from evometrics.streams.formulas.windows import SECOND, WINDOWS
from evometrics.streams.settings import StreamSettings


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What is replayed, and how.

    Attributes:
        meant: the derived rows that are compared: their tables, event time and agents. Rows of success rates
            have an agent only for the scope agent.
        settle_seconds: a row counts as there before the replay where it was stored this long before it began;
            longer than the sink is behind in one partition while it stores the rows of another.
        slice_events: events read at a time; two slices are in memory.
        step_events: events that are computed with at once; between two checkpoints are as many, or a fiftieth
            of all.
        processes: how many compute, each with some of the partitions; 1 for this one alone.
        samples: rows shown of each kind of difference.
    """

    meant: RawSelection = field(default_factory=lambda: RawSelection(DERIVED_TOPICS))
    settle_seconds: float = 60.0
    slice_events: int = 20_000
    step_events: int = 20_000
    processes: int = 1
    samples: int = 3

    def __post_init__(self) -> None:
        require(self.settle_seconds >= 0, "settle_seconds", self.settle_seconds, "must not be negative")
        require(self.slice_events > 0, "slice_events", self.slice_events, "must be at least 1")
        require(self.step_events > 0, "step_events", self.step_events, "must be at least 1")
        require(self.processes > 0, "processes", self.processes, "must be at least 1")
        require(self.samples >= 0, "samples", self.samples, "must not be negative")

    def sources(self) -> tuple[Topic, ...]:
        """Return the raw topics from which the tables are derived."""
        found = (topic for each in self.meant.topics for topic in replay_sql.judged(each, "", "").sources)
        return tuple(dict.fromkeys(found))

    def stored(self) -> tuple[Topic, ...]:
        """Return the topics whose tables are repaired: those selected, and for KPI deltas the snapshots."""
        return (KPI_SNAPSHOTS, *self.meant.topics) if KPI_DELTAS in self.meant.topics else self.meant.topics

    def begin(self, stream: StreamSettings) -> int:
        """Return the time in Kafka from which messages are read, milliseconds; 0 for all.

        Far enough before the range that each of its windows, and each evolution abandoned in it, is complete.
        """
        if self.meant.since is None:
            return 0
        window = max(w.seconds + w.step_seconds for w in WINDOWS)
        back = max(window, stream.abandoned_after_seconds) * SECOND + stream.allowed_lateness_seconds * SECOND
        return max(0, (self.meant.since - back - MAX_AHEAD) // 1000)
