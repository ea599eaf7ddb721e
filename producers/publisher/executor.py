"""Threads for blocking calls of a background loop, which also work while the interpreter is exiting.

`ThreadPoolExecutor` refuses work once the main thread has ended, before `atexit` runs: what is recorded until
then could not be written any more.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

MOST_THREADS = 4


class LastingExecutor(ThreadPoolExecutor):
    """Up to four daemon threads, made as they are needed. (A loop accepts no other class of executor.)"""

    def __init__(self, name: str) -> None:
        super().__init__(max_workers=1)
        self.name = name
        self.calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.changing = threading.Lock()
        self.idle = 0
        self.workers = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return the future result of a call. Raises RuntimeError where no thread can be started."""
        future: Future[Any] = Future()

        def call() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(error)

        with self.changing:
            if self.idle <= 0 and self.workers < MOST_THREADS:
                self.add_thread()
            self.idle -= 1
            self.calls.put(call)
        return future

    def add_thread(self) -> None:
        """Start another thread; where there is one already, it is no failure if this is impossible."""
        try:
            threading.Thread(target=self.run, name=self.name, daemon=True).start()
        except RuntimeError:  # an interpreter that is exiting starts none
            if not self.workers:
                raise
        else:
            self.workers += 1
            self.idle += 1

    def run(self) -> None:
        """Body of a thread."""
        while (call := self.calls.get()) is not None:
            with contextlib.suppress(Exception):
                call()
            del call
            with self.changing:
                self.idle += 1

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads once they have finished what they do; returns at once."""
        with self.changing:
            for _ in range(self.workers):
                self.calls.put(None)
