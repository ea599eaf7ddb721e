"""Workers with instance names: one name for two of them, and a worker that leaves for good."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace

from evometrics.schemas.service.http import STOPPED
from tests.streams.worker.test_changed_topics import said
from tests.streams.worker.test_worker import Stream, ended, events_of, ready, send, some_load, until
from tests.streams.worker.test_worker import stream as stream  # a fixture
from tests.support.model import SECOND


async def test_of_two_workers_of_one_name_the_second_works_and_the_first_says_why_it_does_not(
    stream: Stream,
) -> None:
    load = replace(some_load(6), evolutions=100)
    events = events_of(load)
    # long enough for a machine that is busy: a session that ends frees the name
    session = {"EVOMETRICS_STREAM_SESSION_TIMEOUT_SECONDS": "20"}
    first = await stream.add("twin", **session)
    await send(stream.brokers, events[:100])
    await stream.drained()
    second = await stream.add("twin", **session)
    one, two = stream.urls.values()

    async def refused() -> bool:
        return (await asyncio.to_thread(said, one)).startswith(STOPPED)

    await until(refused, "the first worker to give way", 90)
    words = await asyncio.to_thread(said, one)
    assert "another worker has joined group evometrics-stream as instance twin" in words
    assert "--instance" in words
    assert (await asyncio.to_thread(said, one, "health/live")).startswith(STOPPED)
    await send(stream.brokers, events[100:])
    await stream.drained()
    await until(lambda: ready(two), "the second worker")
    assert first.spec.log.read_text().count("nothing is computed") == 1
    assert "nothing is computed" not in second.spec.log.read_text()
    # once the name is free the first one works again
    assert second.pid is not None
    os.kill(second.pid, signal.SIGKILL)
    await until(lambda: ready(one), "the first worker's return", 90)
    assert await stream.differences(load) == []


async def test_a_worker_that_leaves_its_group_does_not_keep_its_partitions_unserved(stream: Stream) -> None:
    session = {"EVOMETRICS_STREAM_SESSION_TIMEOUT_SECONDS": "90"}
    leaves = await stream.add(**session, EVOMETRICS_STREAM_LEAVE_GROUP="true")
    await stream.add(**session)
    await leaves.stop()
    now = int(time.time() * SECOND)
    began = time.monotonic()
    await send(stream.brokers, [ended(number, now) for number in range(40)])
    await stream.drained()
    assert time.monotonic() - began < 80, "its partitions waited for the session to end"
    assert len((await stream.derived())["evolution_metrics"]) == 40
