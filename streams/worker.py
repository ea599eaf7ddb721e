"""A stream worker: the Faust app as a long-running part with health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from typing import Any

from faust.exceptions import ConsumerNotStarted
from faust.types import TP
from prometheus_client import CollectorRegistry, generate_latest

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.health import HealthSettings, Standing, Watchdog
from evometrics.schemas.http import HttpAddress, serve
from evometrics.schemas.lag import GroupLag
from evometrics.schemas.metric_defs import OF_STREAMS, Instruments
from evometrics.schemas.settings import KafkaSettings
from evometrics.schemas.wire import open_wire
from evometrics.streams.app import StreamApp, StreamParts, build, changelog_name
from evometrics.streams.changelogs import create_changelogs
from evometrics.streams.computations import TABLES
from evometrics.streams.lane import EXPECTED
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources import EVOLUTION_TOPICS, SCOPE_TOPICS, SNAPSHOT_TOPICS, source_partitions

log = logging.getLogger("evometrics.stream")


class StreamFailed(RuntimeError):
    """The worker can't go on; its cause says why. A restart reads on from the last committed offset."""


class StreamLost(EvometricsError, StreamFailed):
    """The same where its broker, or the registry, is the cause, and nothing in the program."""


async def run_stream(
    kafka: KafkaSettings,
    settings: StreamSettings,
    listen: HttpAddress | None,
    stop: asyncio.Event,
    health: HealthSettings | None = None,
) -> None:
    """Run a stream worker until `stop` is set; serve metrics and health at `listen` (None = not at all).

    The topics must be there: their number of partitions is the state's. Raises `SettingsError` where
    they are not, `BrokerUnavailable` where no broker answers, `RegistryUnavailable` where a configured
    schema registry does not, `StreamFailed` where the worker can't go on (broker lost for good, a fault
    in a computation).
    """
    registry = CollectorRegistry()
    failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def failed(error: BaseException) -> None:
        if not failure.done():
            failure.set_result(error)

    wire = await open_wire(kafka)
    kafka = dataclasses.replace(kafka, partitions=await source_partitions(kafka))
    await create_changelogs(kafka, (changelog_name(settings.group, table) for table in TABLES))
    parts = build(kafka, settings, wire, Instruments(registry, OF_STREAMS), failed)
    state = StreamHealth(parts, GroupLag(kafka, settings.group))
    async with contextlib.AsyncExitStack() as stack:
        watchdog = Watchdog("stream worker", health or HealthSettings(), state.look)
        stack.push_async_callback(state.lag.close)
        await stack.enter_async_context(watchdog)
        if listen is not None:
            server = await serve(
                listen,
                metrics=lambda: generate_latest(registry),
                live=watchdog.live,
                ready=state.not_ready,
                stopped=state.stopped,
            )
            stack.push_async_callback(server.close)
        await parts.producer.start()
        stack.push_async_callback(parts.producer.stop)
        starting = asyncio.ensure_future(parts.app.start())
        stack.push_async_callback(stop_app, parts)
        await until_over(parts, starting, failure, stop)


async def until_over(
    parts: StreamParts,
    starting: asyncio.Future[None],
    failure: asyncio.Future[BaseException],
    stop: asyncio.Event,
) -> None:
    """Wait until the worker is told to stop; raise `StreamFailed` where it can't go on."""
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while not stopping.done():
            waited: set[asyncio.Future[Any]] = {stopping, failure}
            await asyncio.wait(waited, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
            if failure.done():
                raise failed_by("a lane failed", failure.result()) from failure.result()
            if starting.done() and starting.exception() is not None:
                raise failed_by("Faust did not start", starting.exception()) from starting.exception()
            if parts.app.crashed:
                raise failed_by("Faust crashed", parts.app.crash_reason) from parts.app.crash_reason
    finally:
        stopping.cancel()


def failed_by(what: str, error: BaseException | None) -> StreamFailed:
    """Return the error of a worker that can't go on for another one."""
    kind = StreamLost if isinstance(error, EXPECTED) else StreamFailed
    return kind(f"{what}: {error!r}")


async def stop_app(parts: StreamParts) -> None:
    """Stop Faust, then the lanes; what was not acknowledged is read again by a successor."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(parts.app.stop(), timeout=15)
    for lane in parts.lanes:
        await lane.stop()


class StreamHealth:
    """How a worker stands: what it is doing in its group, and what the group's offsets say."""

    def __init__(self, parts: StreamParts, lag: GroupLag) -> None:
        self.parts = parts
        self.lag = lag

    async def look(self) -> Standing:
        """Return how the worker stands."""
        if (stopped := self.stopped()) is not None:
            return Standing(None, away=stopped)
        app = self.parts.app
        sources = (*EVOLUTION_TOPICS, *SNAPSHOT_TOPICS, *SCOPE_TOPICS)
        mine = {(tp.topic, tp.partition) for tp in assigned(app) if tp.topic in sources}
        lag = await self.lag.measure(mine)
        steps = tuple((lane.steps, lane.ownership.loaded) for lane in self.parts.lanes)
        todo = self.joining()
        if todo is None and lag is not None and lag.behind:
            todo = f"{lag.behind} messages are not committed"
        return Standing((lag and lag.committed, steps), todo, self.lag.away)

    def joining(self) -> str | None:
        """Return what the worker has to do before it can work, None where it works."""
        app = self.parts.app
        if not app.started:
            return "Faust is starting"
        if app.rebalancing:
            return "the group is rebalancing"
        if not app.tables.recovery.completed.is_set():
            return "Faust takes up its partitions"
        loading = {partition for lane in self.parts.lanes for partition in lane.ownership.loading}
        return f"the states of partitions {sorted(loading)} are being read" if loading else None

    def stopped(self) -> str | None:
        """Return why the worker has stopped and stays up, None while it works."""
        return next((lane.stopped for lane in self.parts.lanes if lane.stopped is not None), None)

    def not_ready(self) -> str | None:
        """Return why the worker is not ready, None where it is."""
        return self.joining() or self.lag.away


def assigned(app: StreamApp) -> set[TP]:
    """Return the partitions a worker has now."""
    try:
        return set(app.consumer.assignment())
    except ConsumerNotStarted:
        return set()
