"""Health: judged by progress, served while the event loop hangs, with the stacks in the log once."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import urllib.error
import urllib.request

import pytest

from evometrics.schemas.service.health import (
    LONGEST_STEP_SECONDS,
    HealthSettings,
    Standing,
    StuckTime,
    Watchdog,
)
from evometrics.schemas.service.http import HttpAddress, serve
from evometrics.schemas.service.settings import SettingsError


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def seconds_after(*standings: Standing) -> float:
    stuck = StuckTime()
    for standing in standings:
        stuck.observe(standing, 5.0)
    return stuck.seconds


BUSY = Standing(1, "5 messages")


def test_time_counts_only_with_work_to_do_nothing_moving_and_all_dependencies_there() -> None:
    assert seconds_after(BUSY) == 0
    assert seconds_after(BUSY, BUSY, BUSY) == 10
    assert seconds_after(BUSY, BUSY, Standing(2, "5 messages")) == 0
    assert seconds_after(BUSY, BUSY, Standing(1, None)) == 0
    assert seconds_after(BUSY, BUSY, Standing(1, "5 messages", "Kafka does not answer")) == 0
    assert seconds_after(BUSY, BUSY, Standing(1, None, "Kafka does not answer"), BUSY) == 5


def test_a_pause_of_the_whole_process_is_not_held_against_it() -> None:
    stuck = StuckTime()
    stuck.observe(BUSY, 5.0)
    stuck.observe(BUSY, 3600.0)
    assert stuck.seconds == LONGEST_STEP_SECONDS


def test_a_limit_of_nothing_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="stuck_seconds"):
        HealthSettings(0)


async def test_a_stuck_part_fails_liveness_and_shows_once_where_it_hangs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def look() -> Standing:
        return Standing(1, "5 messages are not committed")

    async def hangs_here() -> None:
        await asyncio.Event().wait()

    hanging = asyncio.create_task(hangs_here(), name="the-hanging-task")
    async with Watchdog("worker", HealthSettings(0.2), look) as watchdog:
        assert watchdog.live() is None
        while not caplog.records:  # noqa: ASYNC110 - the log is written by a thread
            await asyncio.sleep(0.1)
        wrong = watchdog.live()
        assert wrong is not None
        assert "5 messages are not committed" in wrong
        await asyncio.sleep(2.5)  # two more looks of the watchdog
    hanging.cancel()
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "the-hanging-task" in record.message
    assert "in hangs_here" in record.message
    assert "in wait\n" in record.message, "what it awaits is not shown"
    assert "thread MainThread" in record.message


async def test_a_part_whose_probe_fails_is_not_called_stuck() -> None:
    async def look() -> Standing:
        raise OSError("no answer")

    async with Watchdog("worker", HealthSettings(0.1), look) as watchdog:
        await asyncio.sleep(0.5)
        assert watchdog.live() is None


async def test_liveness_answers_while_the_event_loop_is_blocked() -> None:
    async def look() -> Standing:
        return Standing(0)

    async with Watchdog("worker", HealthSettings(1.5), look) as watchdog:
        server = await serve(HttpAddress(0), None, watchdog.live, lambda: None)
        found: list[tuple[int, str]] = []
        asked = threading.Event()

        def ask() -> None:
            while not found or found[-1][0] == 200:
                found.append(get(server.port, "/health/live"))
                time.sleep(0.1)
            found.append(get(server.port, "/health/ready"))
            asked.set()

        threading.Thread(target=ask, daemon=True).start()
        asked.wait(30)  # blocks the loop, as a part's own fault would
        assert found[0] == (200, "ok\n")
        assert found[-2][0] == 503
        assert "the event loop has been blocked" in found[-2][1]
        assert found[-1][0] == 503
        await asyncio.sleep(2.5)
        assert await asyncio.to_thread(get, server.port, "/health/live") == (200, "ok\n")
        await server.close()


async def test_a_taken_port_is_named() -> None:
    server = await serve(HttpAddress(0), None, lambda: None, lambda: None)
    with pytest.raises(OSError, match=f"127.0.0.1:{server.port}"):
        await serve(HttpAddress(server.port), None, lambda: None, lambda: None)
    await server.close()
