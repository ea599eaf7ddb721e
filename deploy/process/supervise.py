"""Supervises a child process: restarts it after a death, kills it when stuck, holds it on request."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from evometrics.deploy.process.child import ChildProcess, ProcessFailedError
from evometrics.deploy.process.readiness import Liveness
from evometrics.schemas.service.backoff import backoff
from evometrics.schemas.service.tasks import end_tasks

log = logging.getLogger(__name__)

#: Longest pause before a part that has died is restarted.
LONGEST_PAUSE_SECONDS = 30.0
# A part that ran this long has recovered; after its next death the pauses begin with the shortest again.
RECOVERED_SECONDS = 60.0

LIVE_POLL_SECONDS = 5.0
#: Consecutive failed checks after which a part that reports itself stuck is killed.
STUCK_CHECKS = 3
#: The same for one that does not answer at all: the machine may be busy, or the part paused.
SILENT_CHECKS = 24

#: How often `hold` is asked whether a part may run.
HOLD_POLL_SECONDS = 1.0

Report = Callable[[str], None]


class SupervisedPart:
    """Keeps a child process running between `start` and `stop`, and reports its deaths.

    A part that fails its liveness checks repeatedly is killed, and so restarted.

    Args:
        child: the process.
        report: called at each death, with the exit code and the end of the log, and at each return.
        restarted: called after each restart (the process id has changed).
        hold: returns why the part must not run at present, None if it may. If it is running it is then
            stopped cleanly, and it is started only once it may run.

    Attributes:
        held: why it does not run at present; None if nothing keeps it from running.
    """

    def __init__(
        self,
        child: ChildProcess,
        report: Report,
        restarted: Callable[[], None],
        hold: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.child = child
        self.held: str | None = None
        self._hold = hold
        self._tell = report
        self._restarted = restarted
        self._watch: asyncio.Task[None] | None = None
        self._check: asyncio.Task[None] | None = None
        self._ready = False

    async def start(self) -> None:
        """Start the child once it may run, wait until it is ready, and watch it from then on."""
        await self._until_allowed()
        await self.child.start()
        self._ready = True
        self._watch = asyncio.create_task(self._keep_running(), name=f"watch {self.child.spec.name}")
        if self.child.spec.live is not None:
            live = self._keep_live(self.child.spec.live)
            self._check = asyncio.create_task(live, name=f"check {self.child.spec.name}")

    async def stop(self) -> None:
        """Stop watching, then end the child."""
        await end_tasks(task for task in (self._watch, self._check) if task is not None)
        await self.child.stop()

    async def _keep_running(self) -> None:
        name, deaths = self.child.spec.name, 0
        while True:
            began = time.monotonic()
            stopped = await self._run_out()
            self._ready = False
            if not stopped:
                deaths = 1 if time.monotonic() - began > RECOVERED_SECONDS else deaths + 1
                pause = backoff(deaths, LONGEST_PAUSE_SECONDS)
                told = f"{name} {self.child.describe_exit()}; restarting it in {pause:.1f} s."
                self._report(f"{told} The end of {self.child.spec.log}:\n{self.child.log_tail()}")
                await asyncio.sleep(pause)
            await self._until_allowed()
            try:
                await self.child.start()
            except ProcessFailedError as error:
                self._report(str(error))
                continue
            except Exception as error:  # no space for its log, no process left: retried
                log.exception("%s could not be started", name)
                self._report(f"{name} could not be started: {error!r}")
                continue
            self._ready = True
            try:
                self._restarted()
            except OSError:
                log.exception("%s is running again, but this could not be recorded", name)
            self._report(f"{name} is ready again")

    async def _run_out(self) -> bool:
        """Wait until the child has ended; return whether it was stopped because it may no longer run."""
        while self.child.running:
            if (why := self._hold()) is not None:
                self._ready = False
                self.held = why
                self._report(f"{self.child.spec.name} is stopped: {why}")
                await self.child.stop()
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(HOLD_POLL_SECONDS):
                    await self.child.wait()
            try:
                await self.child.rotate_log()
            except OSError as error:  # no space: tried again
                log.warning("the log of %s could not be rotated: %s", self.child.spec.name, error)
        return False

    async def _until_allowed(self) -> None:
        """Wait until the part may run, and report why it may not."""
        name = self.child.spec.name
        while (why := self._hold()) is not None:
            if self.held is None:
                self.held = why
                self._report(f"{name} is not started: {why}")
            await asyncio.sleep(HOLD_POLL_SECONDS)
        if self.held is not None:
            self.held = None
            self._report(f"{name} may run again; starting it")

    def _report(self, line: str) -> None:
        """Report a line; if reporting fails, the part is kept running all the same."""
        try:
            self._tell(line)
        except Exception:
            log.exception("this could not be reported: %s", line)

    async def _keep_live(self, live: Callable[[], Awaitable[Liveness]]) -> None:
        stuck = silent = 0
        stopped = None
        while True:
            await asyncio.sleep(LIVE_POLL_SECONDS)
            found = await live() if self._ready else Liveness(answered=True)
            if found.stopped is not None and found.stopped != stopped:
                self._report(f"{self.child.spec.name} {found.stopped}")
            stopped = found.stopped
            silent = 0 if found.answered else silent + 1
            stuck = 0 if found.wrong is None else stuck + 1
            if self._ready and (stuck >= STUCK_CHECKS or silent >= SILENT_CHECKS):
                why = found.wrong or "it does not answer"
                self._report(f"{self.child.spec.name} is not live ({why}); ending it")
                stuck = silent = 0
                self._ready = False
                self.child.kill()
