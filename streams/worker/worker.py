"""A stream worker: the Faust app as a long-running process with health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from faust.exceptions import ConsumerNotStarted
from prometheus_client import CollectorRegistry

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.kafka.lag import GroupLag
from evometrics.schemas.kafka.topics import answered
from evometrics.schemas.metrics import OF_STREAMS, Instruments
from evometrics.schemas.service.disk import show_free
from evometrics.schemas.service.exposition import Exposition
from evometrics.schemas.service.health import HealthSettings, Watchdog
from evometrics.schemas.service.http import HttpAddress, serve
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import end_tasks
from evometrics.schemas.wire.framing import WireFormat, open_wire
from evometrics.streams.changelog.losses import Losses
from evometrics.streams.changelog.topics import create_changelogs
from evometrics.streams.processors.computations import TABLES
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources.topics import (
    LOOK_SECONDS,
    TopicsChanged,
    TopicsMadeAnew,
    begin_with,
    source_topics,
)
from evometrics.streams.worker.app import StreamApp, StreamParts, build, changelog_name
from evometrics.streams.worker.health import StreamHealth
from evometrics.streams.worker.lane import EXPECTED
from evometrics.streams.worker.transport import BatchConsumer

log = logging.getLogger("evometrics.stream")

#: How often an idle worker repeats why it computes nothing.
REMIND_SECONDS = 60.0
#: Faust has this long to stop.
STOP_SECONDS = 15


class StreamFailed(RuntimeError):
    """The worker can't continue; its cause says why. A restart resumes at the last committed offset."""


class StreamLost(EvometricsError, StreamFailed):
    """The worker can't continue because of its broker or the registry; nothing in the program is at fault."""


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
    worker = StreamWorker(kafka, settings, wire, instruments)
    show_free(registry, {"stream": Path(settings.data)})
    state = StreamHealth(worker, GroupLag(kafka, settings.group, instruments))
    async with contextlib.AsyncExitStack() as stack:
        watchdog = Watchdog("stream worker", health or HealthSettings(), state.look)
        stack.push_async_callback(state.lag.close)
        await stack.enter_async_context(watchdog)
        if listen is not None:
            server = await serve(
                listen,
                metrics=Exposition(registry).answer,
                live=watchdog.live,
                ready=state.not_ready,
                stopped=state.stopped,
                notes=worker.notes,
            )
            stack.push_async_callback(server.close)
        await worker.run(stop)


class StreamWorker:
    """Runs the Faust app, and rebuilds it whenever the topics that it reads were recreated.

    Attributes:
        parts: the running app and what belongs to it, None if none is running.
        refused: in words, why nothing is computed although all parts are reachable; None while it computes.
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
        self.said = -REMIND_SECONDS

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises the same errors as `run_stream`."""
        while not stop.is_set():
            try:
                await self.work(stop)
            except TopicsMadeAnew as change:
                log.warning("%s", change)
            except TopicsChanged as change:
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
        """Work with the topics as they are now. Raises `TopicsChanged` once they have changed."""
        failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

        def failed(error: BaseException) -> None:
            if not failure.done():
                failure.set_result(error)

        names = [changelog_name(self.settings.group, table) for table in TABLES]
        sources = await begin_with(self.kafka, names)
        self.refused = None
        self.losses.begin()
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(sources.close)
            kafka = dataclasses.replace(self.kafka, partitions=sources.partitions)
            await create_changelogs(kafka, names)
            parts = build(kafka, self.settings, self.wire, self.instruments, failed, sources, self.losses)
            self.parts = parts
            stack.callback(self.forget_parts)
            await parts.producer.start()
            stack.push_async_callback(parts.producer.stop)
            starting = asyncio.ensure_future(parts.app.start())
            stack.push_async_callback(stop_app, parts)
            watching = asyncio.create_task(sources.keep_watch(failed), name="topics")
            stack.push_async_callback(end_tasks, [watching])
            try:
                await until_over(parts, starting, failure, stop)
            except TopicsChanged:
                leave_for_good(parts.app)
                raise

    def notes(self) -> Iterable[str]:
        """Return what an operator should know although the worker computes."""
        return (*self.losses.notes(), *(self.parts.misplaced.notes() if self.parts else ()))

    def forget_parts(self) -> None:
        self.parts = None


async def until_over(
    parts: StreamParts,
    starting: asyncio.Future[None],
    failure: asyncio.Future[BaseException],
    stop: asyncio.Event,
) -> None:
    """Wait until the worker is asked to stop.

    Raises `TopicsChanged` if it can't continue with these topics, `StreamFailed` if it can't continue.
    """
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while not stopping.done():
            waited: set[asyncio.Future[Any]] = {stopping, failure}
            await asyncio.wait(waited, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
            if failure.done() and isinstance(failure.result(), TopicsChanged):
                raise failure.result()
            if failure.done():
                raise failed_by("a lane failed", failure.result()) from failure.result()
            if starting.done() and starting.exception() is not None:
                raise failed_by("Faust did not start", starting.exception()) from starting.exception()
            if parts.app.crashed:
                raise failed_by("Faust crashed", parts.app.crash_reason) from parts.app.crash_reason
    finally:
        stopping.cancel()


def failed_by(what: str, error: BaseException | None) -> StreamFailed:
    """Return the error to raise for a worker that another error has stopped."""
    kind = StreamLost if isinstance(error, EXPECTED) else StreamFailed
    return kind(f"{what}: {error!r}")


async def stop_app(parts: StreamParts) -> None:
    """Stop Faust, then the lanes; batches that were not acknowledged are read again by a successor."""
    stopping = asyncio.ensure_future(parts.app.stop())
    # not `wait_for`, which waits on where the library loses the cancellation
    done, _ = await asyncio.wait({stopping}, timeout=STOP_SECONDS)
    if done:
        stopping.result()
    else:
        log.warning("Faust did not stop within %d s; the worker ends without it", STOP_SECONDS)
        stopping.cancel()
    for lane in parts.lanes:
        await lane.stop()


def leave_for_good(app: StreamApp) -> None:
    """Make a worker leave its group as it stops, if it has joined it."""
    with contextlib.suppress(ConsumerNotStarted):
        consumer = app.consumer
        assert isinstance(consumer, BatchConsumer)
        consumer.leave_for_good()
