"""The loop in a thread ends, whatever runs in it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from evometrics.producers.publisher import thread as background
from evometrics.producers.publisher.thread import BackgroundLoop


async def loses_cancellations(count: int) -> None:
    """Wait for ever, as a library's task that has lost its first cancellations."""
    for _ in range(count):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    await asyncio.Event().wait()


async def start_one(count: int) -> asyncio.Task[None]:
    return asyncio.create_task(loses_cancellations(count))


def stopped(loop: BackgroundLoop) -> threading.Thread:
    """Return a thread that stops the loop; a test must not hang where it does not."""
    stopping = threading.Thread(target=loop.stop, daemon=True)
    stopping.start()
    return stopping


def test_a_loop_that_cannot_be_had_is_an_error_not_a_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio, "new_event_loop", none_left)
    monkeypatch.setattr(asyncio.events, "new_event_loop", none_left)
    loop = BackgroundLoop("poor")
    with pytest.raises(OSError, match="Too many open files"):
        loop.start()
    loop.stop()


async def test_a_task_that_lost_a_cancellation_does_not_keep_the_loop_from_ending() -> None:
    loop = BackgroundLoop("stubborn")
    loop.start()
    thread, task = loop.thread, loop.call(start_one(1))
    loop.call(asyncio.sleep(0))
    stopping = stopped(loop)
    await asyncio.to_thread(stopping.join, 60)
    assert not stopping.is_alive()
    assert thread is not None and not thread.is_alive()
    assert task.cancelled()


async def test_stop_returns_where_a_task_never_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background, "STOP_SECONDS", 0.5)
    loop = BackgroundLoop("endless")
    loop.start()
    task = loop.call(start_one(3))
    stopping = stopped(loop)
    await asyncio.to_thread(stopping.join, 60)
    assert not stopping.is_alive()
    assert "thread endless did not end" in caplog.text
    while not task.done():  # noqa: ASYNC110 - it ends in another thread, after its fourth cancellation
        await asyncio.sleep(0.05)
