"""A child process that is started again when it dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from evometrics.deploy.process import ChildProcess, ProcessFailedError
from evometrics.schemas.tasks import end_tasks

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# A part that ran this long has recovered; its next death is met with the first pause again.
RECOVERED_SECONDS = 60.0

Report = Callable[[str], None]


def pause_before(deaths: int) -> float:
    """Seconds to wait before the start that follows the given number of deaths in a row (1 or more)."""
    return float(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(deaths - 1, 16)))


class SupervisedPart:
    """Keeps a child process running between `start` and `stop`, and reports its deaths.

    Args:
        child: the process.
        report: is told of each death, with the exit code and the end of the log, and of each return.
        restarted: is called after each new start (the process id has changed).
    """

    def __init__(self, child: ChildProcess, report: Report, restarted: Callable[[], None]) -> None:
        self.child = child
        self._report = report
        self._restarted = restarted
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the child, wait until it is ready, and watch it from then on."""
        await self.child.start()
        self._watch = asyncio.create_task(self._keep_running(), name=f"watch {self.child.spec.name}")

    async def stop(self) -> None:
        """Stop watching, then end the child."""
        if self._watch is not None:
            await end_tasks([self._watch])
        await self.child.stop()

    async def _keep_running(self) -> None:
        name, deaths = self.child.spec.name, 0
        while True:
            began = time.monotonic()
            await self.child.wait()
            deaths = 1 if time.monotonic() - began > RECOVERED_SECONDS else deaths + 1
            pause = pause_before(deaths)
            told = f"{name} {self.child.describe_exit()}; starting it again in {pause:.1f} s."
            self._report(f"{told} The end of {self.child.spec.log}:\n{self.child.log_tail()}")
            await asyncio.sleep(pause)
            try:
                await self.child.start()
            except ProcessFailedError as error:
                self._report(str(error))
                continue
            self._restarted()
            self._report(f"{name} is ready again")
