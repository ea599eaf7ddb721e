"""Statements that run: found by their name, ended wherever they are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from evometrics.deploy.clickhouse.exchange import EngineError, Request, Result
from evometrics.deploy.clickhouse.pipe import ResultPipe

#: Seconds between two attempts to end a statement; it may not have begun, or not look for an end at once.
KILL_SECONDS = (0.0, 0.02, 0.1, 0.5)


@dataclass(eq=False, slots=True)
class Running:
    """One statement, from its arrival to the end of its execution.

    The engine knows it by the thread that it runs on, which is one of its `system.processes.thread_ids`.

    Attributes:
        pipe: where its result goes; None if it has none, or a small one.
        thread: native id of its thread while it runs.
        stopped: the error that it ends with because it was told to.
        done: its execution.
    """

    request: Request
    pipe: ResultPipe | None = None
    thread: int | None = None
    stopped: EngineError | None = None
    done: asyncio.Future[Result] | None = None
    _at_thread: threading.Lock = field(default_factory=threading.Lock)

    def execute(self, run: Callable[[Request, ResultPipe | None], Result]) -> Result:
        """Run it on the calling thread; raises `EngineError`."""
        self.thread = threading.get_native_id()
        try:
            if self.stopped is not None:
                raise self.stopped
            return run(self.request, self.pipe)
        except EngineError as error:
            raise (self.stopped or error) from None
        finally:
            with self._at_thread:
                self.thread = None
            if self.pipe is not None:
                self.pipe.finish()

    def kill(self, kill_thread: Callable[[int], None]) -> None:
        """Tell the engine to end it. Its thread can't go on to another statement meanwhile."""
        with self._at_thread:
            if self.thread is not None:
                kill_thread(self.thread)

    async def stop(self, error: EngineError, kill: Callable[[Running], None]) -> None:
        """End it with `error`; returns once it has ended. `kill` is called on other threads."""
        self.stopped = self.stopped or error
        if self.pipe is not None:
            self.pipe.abandon()
        attempt = 0
        while self.done is not None and not self.done.done():
            await asyncio.sleep(KILL_SECONDS[min(attempt, len(KILL_SECONDS) - 1)])
            await asyncio.to_thread(kill, self)
            attempt += 1
