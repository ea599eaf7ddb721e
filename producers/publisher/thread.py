"""An event loop in its own thread, so that an evolution that keeps its loop busy delays no sending."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from evometrics.producers.publisher.executor import LastingExecutor
from evometrics.schemas.service.tasks import end_left

logger = logging.getLogger(__name__)

#: What does not end within these seconds, such as a blocking call, is left to the end of the process.
STOP_SECONDS = 15.0

T = TypeVar("T")


class Signal(asyncio.Event):
    """An event of the running loop that any thread may set."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()

    def give(self) -> None:
        if not self.is_set():
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody is left to wake
                self.loop.call_soon_threadsafe(self.set)


class BackgroundLoop:
    """Runs coroutines in a daemon thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. Raises OSError where an event loop can't be made."""
        ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.thread = threading.Thread(target=self.run, args=(ready,), name=self.name, daemon=True)
        self.thread.start()
        ready.result()

    def run(self, ready: concurrent.futures.Future[None]) -> None:
        """Body of the thread: like `asyncio.run`, until `stop`; remaining tasks are cancelled."""
        runner = asyncio.Runner()
        try:
            self.loop = loop = runner.get_loop()
        except OSError as error:  # for example because the process has no file descriptors left
            self.thread = None
            ready.set_exception(error)
            return
        loop.set_default_executor(LastingExecutor(f"{self.name}-call"))
        with runner:
            loop.call_soon(ready.set_result, None)
            loop.run_forever()
            end_left(runner)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread and return its result; blocking."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def stop(self) -> None:
        """Cancel what still runs and end the thread; blocking."""
        if self.loop is not None and self.thread is not None:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(STOP_SECONDS)
            if self.thread.is_alive():
                logger.error("thread %s did not end; it ends with the process", self.name)
        self.loop = self.thread = None
