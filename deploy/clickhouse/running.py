"""Statements that run: known by their clients' ids, ended wherever they are."""

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
        left: it has ended, and its id is free.
        text: as in `Listed`.
    """

    request: Request
    pipe: ResultPipe | None = None
    thread: int | None = None
    stopped: EngineError | None = None
    done: asyncio.Future[Result] | None = None
    left: bool = False
    text: str = ""
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
            self.request.close_files()

    def kill(self, kill_thread: Callable[[int], None]) -> None:
        """Tell the engine to end it. Its thread can't go on to another statement meanwhile."""
        with self._at_thread:
            if self.thread is not None:
                kill_thread(self.thread)

    async def stop(self, error: EngineError, kill: Callable[[Running], asyncio.Future[None]]) -> None:
        """End it with `error`; returns once its id is free. `kill` has `Running.kill` called on a thread."""
        self.stopped = self.stopped or error
        if self.pipe is not None:
            self.pipe.abandon()
        attempt = 0
        while self.done is not None and not self.left:
            await asyncio.sleep(KILL_SECONDS[min(attempt, len(KILL_SECONDS) - 1)])
            await kill(self)
            attempt += 1


@dataclass(frozen=True, slots=True)
class Listed:
    """A running statement as its clients know it.

    Attributes:
        thread: native id of the thread that runs it.
        text: the statement, where the engine was given another one in its place; empty otherwise.
    """

    thread: int
    query_id: str
    user: str
    text: str = ""


class Statements:
    """The statements that run, by the ids that their clients gave them. Usable by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, Running] = {}

    def enter(self, running: Running) -> None:
        """Add one; raises `EngineError` (216) where one with its id is running."""
        name = running.request.query_id
        with self._lock:
            if name in self._by_id:
                message = f"Query with id = {name} is already running"
                raise EngineError.named(216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", message)
            self._by_id[name] = running

    def leave(self, running: Running) -> None:
        """Remove one that has ended."""
        with self._lock:
            self._by_id.pop(running.request.query_id, None)
            running.left = True

    def named(self, query_id: str) -> Running | None:
        """Return the one with an id, if it is running."""
        with self._lock:
            return self._by_id.get(query_id)

    def owner(self, query_id: str) -> str | None:
        """Return whose the one with an id is; None if there is none."""
        running = self.named(query_id)
        return running.request.user if running is not None else None

    def on(self, thread: int) -> Running | None:
        """Return the one that runs on a thread."""
        with self._lock:
            return next((each for each in self._by_id.values() if each.thread == thread), None)

    def listed(self) -> list[Listed]:
        """Return those that are on a thread."""
        with self._lock:
            running = list(self._by_id.values())
        return [
            Listed(thread, each.request.query_id, each.request.user, each.text)
            for each in running
            if (thread := each.thread) is not None
        ]
