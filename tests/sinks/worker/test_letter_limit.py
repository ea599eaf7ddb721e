"""A sink whose messages turn into dead letters stops before it sends them, says why, and resumes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest

from evometrics.deploy.process.ports import free_ports
from evometrics.deploy.process.readiness import answers, at_work, live_at
from evometrics.schemas.events import EvolutionProgressed
from evometrics.schemas.service.health import HealthSettings
from evometrics.schemas.service.http import HttpAddress
from evometrics.schemas.topics import BY_RECORD, DEAD_LETTERS
from evometrics.sinks.clickhouse import blocks
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.sinks.worker.worker import run_sink
from tests.support.sinks import WIRE, Kafka, common, eventually, rows, running, until_stored

PROGRESSED = BY_RECORD["evolution_progressed"]


def steps(count: int, agent: str) -> list[EvolutionProgressed]:
    return [
        EvolutionProgressed(**common(agent), evolution_id="e", iteration=i, fitness=i / 7)
        for i in range(count)
    ]


@contextlib.asynccontextmanager
async def sink_with(broker: Kafka, database: ClickHouseSettings, sink: SinkSettings) -> AsyncIterator[str]:
    """A running sink; gives where its health is served. Its end takes no longer than that of one at work."""
    (port,) = free_ports(1)
    stop = asyncio.Event()
    running = run_sink(broker.settings, database, sink, HttpAddress(port), stop, HealthSettings(0.2))
    task = asyncio.create_task(running)
    try:
        yield f"http://127.0.0.1:{port}/health/"
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


def said_by(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.read().decode()
    except urllib.error.URLError:  # not up yet
        return ""


@pytest.mark.parametrize(
    "bad",
    [b"written by something else", WIRE.encode(steps(1, "bad")[0])[:-3]],
    ids=["unreadable", "refused by ClickHouse"],
)
async def test_a_run_of_bad_messages_stops_the_sink_until_the_limit_is_raised_and_nothing_is_lost(
    broker: Kafka, database: ClickHouseSettings, bad: bytes
) -> None:
    good = steps(40, "bad")  # the key of the bad ones, too: all are in one partition
    await broker.send([*good[:20], *[(PROGRESSED.name, bad)] * 9, *good[20:]])
    low = dataclasses.replace(broker.sink, max_consecutive_letters=8)
    for _ in range(2):  # another start changes nothing
        async with sink_with(broker, database, low) as health:

            async def stopped() -> bool:
                return (await live_at(health + "live")()).stopped is not None

            await eventually(stopped, "the sink to stop")
            assert not await answers(health + "ready")()
            assert await at_work(health + "ready")()
            said = await asyncio.to_thread(said_by, health + "ready")
            assert said.startswith("stopped: 9 messages in a row") and PROGRESSED.name in said
            await asyncio.sleep(1)  # far beyond the time without progress after which a part counts as stuck
            assert (await live_at(health + "live")()).wrong is None
    assert await rows(database, f"SELECT count() FROM {DEAD_LETTERS.table}") == [(0,)]
    async with sink_with(broker, database, dataclasses.replace(low, max_consecutive_letters=9)):
        await until_stored(database, PROGRESSED.table, len(good))
        await until_stored(database, DEAD_LETTERS.table, 9)
    for table, count in ((PROGRESSED.table, len(good)), (DEAD_LETTERS.table, 9)):
        assert await rows(database, f"SELECT count(), uniqExact(event_id) FROM {table}_rows") == [
            (count, count)
        ]


async def test_a_share_of_bad_messages_stops_the_sink_before_it_sends_a_letter_of_that_batch(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    low = dataclasses.replace(broker.sink, batch_seconds=1, min_letters=5, max_letter_ratio=0.4)
    mixed = [each for step in steps(6, "bad") for each in (step, (PROGRESSED.name, b"?"))]
    await broker.send(mixed)
    async with sink_with(broker, database, low) as health:

        async def stopped() -> bool:
            return "6 of the last 12 messages" in await asyncio.to_thread(said_by, health + "live")

        await eventually(stopped, "the sink to stop")
    assert await rows(database, f"SELECT count() FROM {DEAD_LETTERS.table}") == [(0,)]
    assert await rows(database, f"SELECT count() FROM {PROGRESSED.table}") == [(0,)]


async def test_a_fault_of_ours_in_the_conversion_of_a_row_stops_the_sink_and_a_mended_one_loses_nothing(
    broker: Kafka, database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = steps(30, "agent")
    await broker.send([*good[:15], (PROGRESSED.name, b"?"), *good[15:]])

    class Wrong:
        """Columns of a build that is wrong."""

        def __init__(self, fields: Any) -> None:
            self.rows = 0

        def add(self, *row: Any) -> None:
            self.rows += 1
            if self.rows > 20:
                raise RuntimeError("the build's")

    with monkeypatch.context() as build:
        build.setattr(blocks, "EventColumns", Wrong)
        with pytest.raises(ExceptionGroup, match="unhandled") as raised:
            await asyncio.wait_for(
                run_sink(broker.settings, database, broker.sink, None, asyncio.Event()), 40
            )
        assert [str(each) for each in raised.value.exceptions] == ["the build's"]
    async with running(broker, database):
        await until_stored(database, PROGRESSED.table, 30)
        await until_stored(database, DEAD_LETTERS.table, 1)
    assert await rows(database, f"SELECT count() FROM {PROGRESSED.table}_rows") == [(30,)]
    assert await rows(database, f"SELECT count() FROM {DEAD_LETTERS.table}_rows") == [(1,)]
