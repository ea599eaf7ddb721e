"""A stream worker: the Faust app as a long-running process with health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry

from evometrics.schemas.kafka.lag import GroupLag
from evometrics.schemas.kafka.topics import answered
from evometrics.schemas.letters.letter import STREAM
from evometrics.schemas.metrics import (
    DEAD_LETTERS_TOTAL,
    OF_STREAMS,
    OFFSETS_GONE,
    STREAM_BATCH_SECONDS,
    STREAM_DUPLICATES,
    STREAM_EVENTS,
    STREAM_LATE,
    STREAM_OUTPUTS,
    STREAM_TAKEOVER_SECONDS,
    STREAM_UNREADABLE,
    Instruments,
)
from evometrics.schemas.service.beginnings import Beginnings
from evometrics.schemas.service.disk import show_free
from evometrics.schemas.service.exposition import Exposition
from evometrics.schemas.service.health import HealthSettings, Watchdog
from evometrics.schemas.service.http import HttpAddress, serve
from evometrics.schemas.service.process import show_process
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import end_tasks
from evometrics.schemas.topics import DERIVED_TOPICS
from evometrics.schemas.wire.framing import WireFormat, open_wire
from evometrics.streams.changelog.losses import Losses
from evometrics.streams.changelog.topics import create_changelogs
from evometrics.streams.processors.computations import TABLES, WORKS
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources.topics import (
    LOOK_SECONDS,
    SOURCE_TOPICS,
    TopicsChanged,
    TopicsMadeAnew,
    begin_with,
    source_topics,
)
from evometrics.streams.worker.app import StreamParts, build, changelog_name
from evometrics.streams.worker.ending import leave_for_good, stop_app, until_over
from evometrics.streams.worker.health import StreamHealth
from evometrics.streams.worker.membership import InstanceTaken

log = logging.getLogger("evometrics.stream")

#: How often an idle worker repeats why it computes nothing.
REMIND_SECONDS = 60.0


async def run_stream(
    kafka: KafkaSettings,
    settings: StreamSettings,
    listen: HttpAddress | None,
    stop: asyncio.Event,
    health: HealthSettings | None = None,
) -> None:
    """Run a stream worker until `stop` is set; serve metrics and health at `listen` (None: not at all).

    The topics must exist: their number of partitions is the state's. If the number differs, or the topics are
    deleted while the worker runs, it computes nothing, says so in its log and readiness, and resumes on its
    own once they are right. Raises `SettingsError` if they do not exist at the start, `BrokerUnavailable` if
    no broker answers, `RegistryUnavailable` if a configured schema registry does not, `StreamFailed` if the
    worker can't continue (broker lost permanently, a fault in a computation).
    """
    registry = CollectorRegistry()
    wire = await open_wire(kafka)
    await source_topics(kafka)
    # without the right to the group Faust would wait for its partitions for ever, without a word
    await answered(kafka, lambda admin: admin.list_consumer_group_offsets(settings.group))
    instruments = Instruments(registry, OF_STREAMS)
    begin_at_0(instruments)
    worker = StreamWorker(kafka, settings, wire, instruments)
    show_free(registry, {"stream": Path(settings.data)})
    state = StreamHealth(worker, GroupLag(kafka, settings.group, instruments))
    watchdog = Watchdog("stream worker", health or HealthSettings(), state.look)
    show_process(registry, instruments, "stream", state.not_ready, watchdog)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(state.lag.close)
        await stack.enter_async_context(watchdog)
        if listen is not None:
            server = await serve(
                listen,
                metrics=Exposition(registry, Beginnings()).answer,
                live=watchdog.live,
                ready=state.not_ready,
                stopped=state.stopped,
                notes=worker.notes,
            )
            stack.push_async_callback(server.close)
        await worker.run(stop)


def begin_at_0(instruments: Instruments) -> None:
    """Have a series for each topic and lane before anything is counted."""
    for definition in (STREAM_EVENTS, STREAM_UNREADABLE, OFFSETS_GONE):
        instruments.begin(definition, *((topic,) for topic in SOURCE_TOPICS))
    instruments.begin(STREAM_OUTPUTS, *((topic.name,) for topic in DERIVED_TOPICS))
    instruments.begin(DEAD_LETTERS_TOTAL, *((topic, STREAM) for topic in SOURCE_TOPICS))
    for definition in (STREAM_DUPLICATES, STREAM_LATE, STREAM_BATCH_SECONDS, STREAM_TAKEOVER_SECONDS):
        instruments.begin(definition, *((work.name,) for work in WORKS))


class StreamWorker:
    """Runs the Faust app, and rebuilds it whenever the topics that it reads were recreated.

    Attributes:
        parts: the running app and what belongs to it, None if none is running.
        refused: in words, why nothing is computed although all parts are reachable; None while it computes.
        yielded: whether another worker took this one's instance name; it then joins only where none has it.
        losses: records that Kafka deleted before they were read.
    """

    def __init__(
        self, kafka: KafkaSettings, settings: StreamSettings, wire: WireFormat, instruments: Instruments
    ) -> None:
        self.kafka = kafka
        self.settings = settings
        self.wire = wire
        self.instruments = instruments
        self.losses = Losses(instruments)
        self.parts: StreamParts | None = None
        self.refused: str | None = None
        self.yielded = False
        self.said = -REMIND_SECONDS

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises the same errors as `run_stream`."""
        while not stop.is_set():
            try:
                await self.work(stop)
            except TopicsMadeAnew as change:
                log.warning("%s", change)
            except (TopicsChanged, InstanceTaken) as change:
                self.refuse(str(change))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)

    def refuse(self, reason: str) -> None:
        """Report why nothing is computed: immediately, and periodically while it lasts."""
        now = time.monotonic()
        if reason != self.refused or now >= self.said + REMIND_SECONDS:
            log.error("nothing is computed: %s", reason)
            self.said = now
        self.refused = reason

    async def work(self, stop: asyncio.Event) -> None:
        """Work with the topics as they are now.

        Raises `TopicsChanged` once they have changed, `InstanceTaken` once another worker has the name.
        """
        failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

        def failed(error: BaseException) -> None:
            if not failure.done():
                failure.set_result(error)

        names = [changelog_name(self.settings.group, table) for table in TABLES]
        sources = await begin_with(self.kafka, names)
        self.losses.begin()
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(sources.close)
            kafka = dataclasses.replace(self.kafka, partitions=sources.partitions)
            await create_changelogs(kafka, names)
            parts = build(kafka, self.settings, self.wire, self.instruments, failed, sources, self.losses)
            self.parts = parts
            stack.callback(self.forget_parts)
            if self.yielded and parts.app.membership is not None:
                await parts.app.membership.verify()
            self.refused, self.yielded = None, False
            await parts.producer.start()
            stack.push_async_callback(parts.producer.stop)
            starting = asyncio.ensure_future(parts.app.start())
            stack.push_async_callback(stop_app, parts)
            watching = asyncio.create_task(sources.keep_watch(failed), name="topics")
            stack.push_async_callback(end_tasks, [watching])
            try:
                await until_over(parts, starting, failure, stop)
                if self.settings.leave_group:
                    leave_for_good(parts.app)
            except TopicsChanged:
                leave_for_good(parts.app)
                raise
            except InstanceTaken:
                self.yielded = True
                raise

    def notes(self) -> Iterable[str]:
        """Return what an operator should know although the worker computes."""
        return (*self.losses.notes(), *(self.parts.misplaced.notes() if self.parts else ()))

    def forget_parts(self) -> None:
        self.parts = None
