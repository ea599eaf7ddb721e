"""Tasks end even where one cancellation is lost."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from evometrics.schemas.service.tasks import end_tasks, ended_within, run


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    lost = 0

    async def stubborn() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost == 2:
                    raise

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(asyncio.sleep(0))]
    await asyncio.sleep(0.01)
    await asyncio.wait_for(end_tasks(tasks), 60)
    assert lost == 2
    assert all(task.done() for task in tasks)


async def test_what_a_task_raises_does_not_reach_the_one_who_ends_it() -> None:
    async def fails() -> None:
        raise ValueError

    task = asyncio.create_task(fails())
    await asyncio.wait({task})
    await end_tasks([task])
    assert isinstance(task.exception(), ValueError)


def test_a_program_ends_whatever_it_has_left_running() -> None:
    left: list[asyncio.Task[None]] = []

    async def loses_one() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    async def program() -> int:
        left.append(asyncio.create_task(loses_one()))
        await asyncio.sleep(0)
        return 7

    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(run(program())), daemon=True)
    thread.start()
    thread.join(60)
    assert results == [7], "it never ended"
    assert left[0].cancelled()


async def test_an_end_that_takes_too_long_is_abandoned_though_it_loses_its_cancellation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    released = asyncio.Event()

    async def stop() -> None:
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    assert not await ended_within(0.05, "the client", stop())
    assert "the client did not end within 0.05 s and is abandoned" in caplog.text
    released.set()


async def test_an_end_in_time_is_waited_for_and_its_error_is_raised() -> None:
    async def refuse() -> None:
        await asyncio.sleep(0)
        raise ConnectionError("gone")

    assert await ended_within(60, "it", asyncio.sleep(0))
    with pytest.raises(ConnectionError, match="gone"):
        await ended_within(60, "it", refuse())
