"""Liveness of a long-running process, judged by progress rather than by uptime.

A part is stuck when it has work to do, everything it depends on answers, and nothing has made progress for
long. An outage of a dependency is not the part's fault: a restart would not help. The watchdog checks this
from a thread of its own, so that a blocked event loop is noticed too; what it finds is written to the log
with the stacks of all threads and tasks, so that an operator sees where the part hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

from evometrics.schemas.service.settings import require
from evometrics.schemas.service.tasks import end_tasks

log = logging.getLogger(__name__)

PULSE_SECONDS = 1.0
PROBE_SECONDS = 5.0
PROBE_TIMEOUT_SECONDS = 20.0
#: The most that one check adds to the time without progress: this process may have been suspended.
LONGEST_STEP_SECONDS = 3 * PROBE_SECONDS


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """When a part counts as stuck.

    Attributes:
        stuck_seconds: seconds without progress, while there is work and all that the part depends on
            answers, after which `/health/live` fails.
    """

    stuck_seconds: float = 120.0

    def __post_init__(self) -> None:
        require(self.stuck_seconds > 0, "stuck_seconds", self.stuck_seconds, "must be above 0")


@dataclass(frozen=True, slots=True)
class Standing:
    """State of a part at one moment.

    Attributes:
        progress: differs from the previous check's value whenever the part has made progress.
        todo: the work that it has, in words; None where there is none.
        away: which of its dependencies is unreachable, in words; None where all answer.
    """

    progress: object
    todo: str | None = None
    away: str | None = None


class StuckTime:
    """How long a part has made no progress through its own fault; pure."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.standing: Standing | None = None

    def observe(self, standing: Standing, elapsed: float) -> None:
        """Update with the part's state now, `elapsed` seconds after the previous check."""
        before, self.standing = self.standing, standing
        moved = before is None or before.progress != standing.progress
        if moved or standing.todo is None or standing.away is not None:
            self.seconds = 0.0
        else:
            self.seconds += min(elapsed, LONGEST_STEP_SECONDS)


class Watchdog:
    """Watches a part from `start` to `stop`; both are called in the part's event loop.

    Args:
        name: the part's name in the log.
        settings: when it counts as stuck.
        look: returns the part's state; called in the event loop every `PROBE_SECONDS`, one call at a time.
    """

    def __init__(self, name: str, settings: HealthSettings, look: Callable[[], Awaitable[Standing]]) -> None:
        self.name = name
        self.settings = settings
        self.look = look
        self.stuck = StuckTime()
        self.blocked = 0.0
        self.beats = 0
        self.ended = threading.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.loop: asyncio.AbstractEventLoop

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.tasks = [
            asyncio.create_task(self.beat(), name="health-beat"),
            asyncio.create_task(self.probe(), name="health-probe"),
        ]
        threading.Thread(target=self.watch, name="watchdog", daemon=True).start()

    async def stop(self) -> None:
        self.ended.set()
        await end_tasks(self.tasks)

    def live(self) -> str | None:
        """Return the problem; None while the part makes progress, waits or has no work. From any thread."""
        limit = self.settings.stuck_seconds
        if self.blocked >= limit:
            return f"the event loop has been blocked for {self.blocked:.0f} s"
        standing = self.stuck.standing
        if standing is not None and self.stuck.seconds >= limit:
            return f"no progress for {self.stuck.seconds:.0f} s, but there is work: {standing.todo}"
        return None

    def seconds(self) -> float:
        """Return for how long the part has not made the progress that it should. From any thread."""
        return max(self.blocked, self.stuck.seconds)

    async def beat(self) -> None:
        """Show that the event loop is running."""
        while True:
            self.beats += 1
            await asyncio.sleep(PULSE_SECONDS)

    async def probe(self) -> None:
        """Check the part's state repeatedly."""
        looked = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                    standing = await self.look()
            except Exception as error:
                # nothing is known, so the part is not blamed
                standing = Standing(None, away=f"the probe failed: {error!r}")
            now = time.monotonic()
            self.stuck.observe(standing, now - looked)
            looked = now
            await asyncio.sleep(min(PROBE_SECONDS, self.settings.stuck_seconds / 4))

    def watch(self) -> None:
        """In a thread: measure how long the event loop has been blocked, and report once when not live."""
        beats, told, looked = self.beats, False, time.monotonic()
        while not self.ended.wait(PULSE_SECONDS):
            now = time.monotonic()
            # after a suspension of the process one missed beat proves nothing: the loop had no time for it
            self.blocked = 0.0 if self.beats != beats else self.blocked + min(now - looked, 2 * PULSE_SECONDS)
            beats, looked = self.beats, now
            wrong = self.live()
            if wrong is not None and not told:
                log.error("%s is stuck: %s; all stacks:\n%s", self.name, wrong, stacks(self.loop))
            told = wrong is not None


def waiting_in(awaited: Any) -> list[str]:
    """Return the frames of a coroutine and of what it awaits, the innermost last."""
    lines: list[str] = []
    while awaited is not None:
        for kind, inner in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            frame = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                summary = traceback.StackSummary.extract([(frame, frame.f_lineno)])
                lines += summary.format()
                awaited = getattr(awaited, inner)
                break
        else:
            return lines
    return lines


def stacks(loop: asyncio.AbstractEventLoop) -> str:
    """Return the stacks of all threads and of a loop's tasks, from any thread."""
    out = io.StringIO()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        out.write(f"thread {names.get(ident, ident)}\n{''.join(traceback.format_stack(frame))}\n")
    # a task may end while its stack is read
    with contextlib.suppress(RuntimeError):
        for task in asyncio.all_tasks(loop):
            out.write(f"task {task.get_name()}\n{''.join(waiting_in(task.get_coro()))}\n")
    return out.getvalue()
