"""An event loop in a thread of its own, so that an evolution that keeps its loop busy delays no sending."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class BackgroundLoop:
    """Runs coroutines in a daemon thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        ready = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(ready,), name=self.name, daemon=True)
        self.thread.start()
        ready.wait()

    def run(self, ready: threading.Event) -> None:
        """The thread: like `asyncio.run`, until `stop`; tasks that are left are cancelled."""
        with asyncio.Runner() as runner:
            self.loop = runner.get_loop()
            self.loop.call_soon(ready.set)
            self.loop.run_forever()

    async def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread and await its result in the caller's loop."""
        assert self.loop is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self.loop))

    def stop(self) -> None:
        """Cancel what still runs and end the thread; blocking."""
        if self.loop is not None and self.thread is not None:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
        self.loop = self.thread = None
