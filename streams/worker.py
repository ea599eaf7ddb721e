"""A stream worker: the Faust app as a long-running part with health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from evometrics.schemas.http import HttpAddress, serve
from evometrics.schemas.metric_defs import OF_STREAMS, Instruments
from evometrics.schemas.settings import KafkaSettings
from evometrics.schemas.wire import open_wire
from evometrics.streams.app import StreamParts, build, changelog_names
from evometrics.streams.changelogs import create_changelogs
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources import source_partitions

log = logging.getLogger("evometrics.stream")


class StreamFailed(RuntimeError):
    """The worker can't go on; its cause says why. A restart reads on from the last committed offset."""


async def run_stream(
    kafka: KafkaSettings, settings: StreamSettings, listen: HttpAddress | None, stop: asyncio.Event
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
    await create_changelogs(kafka, changelog_names(settings))
    parts = build(kafka, settings, wire, Instruments(registry, OF_STREAMS), failed)
    async with contextlib.AsyncExitStack() as stack:
        if listen is not None:
            server = await serve(
                listen,
                metrics=lambda: generate_latest(registry),
                live=lambda: "the worker has failed" if failure.done() or parts.app.crashed else None,
                ready=lambda: not_ready(parts),
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
                raise StreamFailed(f"a lane failed: {failure.result()!r}") from failure.result()
            if starting.done() and starting.exception() is not None:
                raise StreamFailed(f"Faust did not start: {starting.exception()!r}") from starting.exception()
            if parts.app.crashed:
                reason = parts.app.crash_reason
                raise StreamFailed(f"Faust crashed: {reason!r}") from reason
    finally:
        stopping.cancel()


async def stop_app(parts: StreamParts) -> None:
    """Stop Faust, then the lanes; what was not acknowledged is read again by a successor."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(parts.app.stop(), timeout=15)
    for lane in parts.lanes:
        await lane.stop()


def not_ready(parts: StreamParts) -> str | None:
    """Return why the worker is not ready, None where it is."""
    if not parts.app.started:
        return "Faust is starting"
    if parts.app.rebalancing:
        return "the group is rebalancing"
    if not parts.app.tables.recovery.completed.is_set():
        return "state is being recovered"
    return None
