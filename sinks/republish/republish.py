"""Raw tables back onto Kafka topics: an empty cluster or a second environment, filled from ClickHouse alone.

Each event is sent under its own key, id and Kafka time, encoded with the newest schema, all topics together
in the order that Kafka originally had them in. The streams then make what is derived.

Topics normally have Kafka give messages its own time. A run sets those that it fills to accept the messages'
times, and back at its end; after a kill the next run, `evometrics topics` or `evometrics up` does. What nodes
send meanwhile (`among_others`) still has the broker's time: they ask the broker for it
(`producers/publisher/broker_clock.py`).

Snapshots that the stream has made of evolutions' KPIs are not sent: the stream that reads the evolutions
makes them again.

Guaranteed: after a kill at any moment the same command continues with what is missing, and every event is in
the topics once. The topics' content is the only record of progress (`progress`), nothing is kept elsewhere.

Not guaranteed: two of these commands at once, into the same topics, send events twice. An event that is
stored with an old time in Kafka while the command runs, from a source that is still growing, may be skipped.
If an event was originally sent twice, the message stored last gives the time. An event that originally came
too late for a success rate may count now, and the other way round, if partitions were further apart than the
stream's lateness allows. Whether an evolution whose completion came after its deadline in event time is
reported as abandoned depends on the stream's batches, here as originally.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from evometrics.schemas.service.settings import require
from evometrics.schemas.topics import DAY_MS
from evometrics.sinks.raw.event import RawEvent
from evometrics.sinks.raw.steps import Ahead, steps
from evometrics.sinks.raw.tables import RawTables
from evometrics.sinks.republish.progress import Progress
from evometrics.sinks.republish.target import TopicTarget

HOUR = 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class RepublishSettings:
    """How events are sent.

    Attributes:
        stream_group: the consumer group of the stream that reads them; empty to wait for none.
        ahead_hours: event time that may be sent ahead of it: well below the stream's lateness.
        slice_events: events read from ClickHouse at a time; two slices are in memory.
        step_events: events that are sent before their acknowledgements are waited for.
        among_others: send into topics that hold other events.
    """

    stream_group: str = ""
    ahead_hours: float = 6.0
    slice_events: int = 50_000
    step_events: int = 10_000
    among_others: bool = False

    def __post_init__(self) -> None:
        require(self.ahead_hours > 0, "ahead_hours", self.ahead_hours, "must be above 0")
        require(self.slice_events > 0, "slice_events", self.slice_events, "must be at least 1")
        require(self.step_events > 0, "step_events", self.step_events, "must be at least 1")

    @property
    def span(self) -> int:
        """`ahead_hours` in microseconds."""
        return round(self.ahead_hours * HOUR)


@dataclass(slots=True)
class Republished:
    """The result of a run.

    Attributes:
        sent: events by topic.
        from_time: where an earlier run had stopped, milliseconds; 0 for the beginning.
        retention_ms: topics that now keep messages for longer than they were set to, and how long.
    """

    from_time: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    retention_ms: dict[str, int] = field(default_factory=dict)


async def to_send(tables: RawTables, progress: Progress) -> dict[str, int]:
    """Return the number of events by topic that are not there yet."""
    counts = await tables.counts(progress.time)
    return {topic: number - len(progress.there.get(topic, ())) for topic, number in counts.items()}


class Republisher:
    """One run of one selection into one target.

    Args:
        stream_topics: those of the topics that the stream reads.
        told: called, with a text, about anything an operator should know meanwhile.
        sent: called with the number of events of each step.
    """

    def __init__(
        self,
        tables: RawTables,
        target: TopicTarget,
        settings: RepublishSettings,
        stream_topics: Collection[str],
        told: Callable[[str], object],
        sent: Callable[[int], object],
    ) -> None:
        self.tables = tables
        self.target = target
        self.settings = settings
        self.stream_topics = stream_topics
        self.told = told
        self.sent = sent
        self.watermark: int | None = None
        self.ahead: Ahead[TopicPartition] = Ahead(settings.span)

    async def run(self, progress: Progress) -> Republished:
        """Send what is missing after `progress`; meanwhile the topics accept the messages' times.

        Raises `RepublishError`, `ClickHouseUnavailable` or `KafkaError`, with some events sent; running it
        again continues.
        """
        done = Republished(progress.time)
        # what an earlier run sent is read first
        self.note(0, progress.ends)
        try:
            await self.send_all(progress, done)
        finally:
            # also after a killed run, which leaves them accepting messages' times
            await self.give_times()
        return done

    async def send_all(self, progress: Progress, done: Republished) -> None:
        bounds = await self.tables.bounds()
        if bounds is None or bounds[1] < progress.time:
            return
        done.retention_ms = await self.target.take_times(bounds[0])
        if done.retention_ms:
            kept = ", ".join(f"{t} {ms / DAY_MS:.0f} days" for t, ms in sorted(done.retention_ms.items()))
            self.told(
                f"topics now keep messages longer, so that old events are not deleted unread ({kept}). Once "
                "stream and sink have read them, `evometrics topics --reset-retention` restores the "
                "retention"
            )
        slices = self.tables.slices(max(progress.time, bounds[0]), bounds[1] + 1, self.settings.slice_events)
        async with aclosing(slices):
            async for events in slices:
                await self.send(progress.missing(events), done)

    async def give_times(self) -> None:
        """Restore Kafka's own timestamps; if that fails, say which command does it."""
        try:
            await self.target.give_times()
        except KafkaError as error:
            self.told(
                f"the topics still use the messages' own timestamps ({error!r}); the next `evometrics "
                "topics` or `evometrics republish` restores the broker's"
            )

    def note(self, watermark: int, ends: Mapping[TopicPartition, int]) -> None:
        """Note the topics' ends up to a watermark, which the stream has to read."""
        read = {place: end for place, end in ends.items() if place.topic in self.stream_topics}
        if self.settings.stream_group and read:
            self.ahead.add(watermark, read)

    async def send(self, events: list[RawEvent], done: Republished) -> None:
        """Send a slice, step by step: each is acknowledged before the next is sent."""
        span = self.settings.span // 2
        for step in steps(events, self.watermark, self.settings.step_events, span):
            unread = self.ahead.to_read(step.watermark)
            if unread:
                await self.target.until_read(self.settings.stream_group, unread, self.told)
            # everything before this step's first event is acknowledged
            ends = await self.target.send(step.events, step.events[0].timestamp)
            self.watermark = step.watermark
            self.note(step.watermark, ends)
            done.sent.update(event.topic for event in step.events)
            self.sent(len(step.events))
