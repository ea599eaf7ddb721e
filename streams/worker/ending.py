"""How a worker ends: asked to, or because it can't continue."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from faust.exceptions import ConsumerNotStarted

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.service.tasks import ended_within
from evometrics.streams.sources.topics import TopicsChanged
from evometrics.streams.worker.app import StreamApp, StreamParts
from evometrics.streams.worker.lane import EXPECTED
from evometrics.streams.worker.membership import InstanceTaken
from evometrics.streams.worker.transport import BatchConsumer

log = logging.getLogger("evometrics.stream")

#: Faust has this long to stop.
STOP_SECONDS = 15


class StreamFailed(RuntimeError):
    """The worker can't continue; its cause says why. A restart resumes at the last committed offset."""


class StreamLost(EvometricsError, StreamFailed):
    """The worker can't continue because of its broker or the registry; nothing in the program is at fault."""


async def until_over(
    parts: StreamParts,
    starting: asyncio.Future[None],
    failure: asyncio.Future[BaseException],
    stop: asyncio.Event,
) -> None:
    """Wait until the worker is asked to stop.

    Raises `TopicsChanged` if it can't continue with these topics, `InstanceTaken` if another worker has its
    name, `StreamFailed` if it can't continue.
    """
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while not stopping.done():
            waited: set[asyncio.Future[Any]] = {stopping, failure}
            await asyncio.wait(waited, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
            if failure.done() and isinstance(failure.result(), TopicsChanged | InstanceTaken):
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
    await ended_within(STOP_SECONDS, "Faust", parts.app.stop())
    for lane in parts.lanes:
        await lane.stop()


def leave_for_good(app: StreamApp) -> None:
    """Make a worker leave its group as it stops, if it has joined it."""
    with contextlib.suppress(ConsumerNotStarted):
        consumer = app.consumer
        assert isinstance(consumer, BatchConsumer)
        consumer.leave_for_good()
