"""Records a program's start and end, in a thread: loaded beside the program, which does not wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from evometrics.deploy.program.plan import Plan
from evometrics.deploy.program.result import Said
from evometrics.deploy.program.running import Ended, Program
from evometrics.deploy.terminal import tell
from evometrics.schemas.errors import EvometricsError

if TYPE_CHECKING:
    from evometrics.producers.collector.collector import EvolutionMetricsCollector
    from evometrics.producers.resources.children import ChildrenSampler
    from evometrics.producers.resources.sampler import ResourceSampler

#: Seconds for all of what follows the program's end, above `stop_timeout`: for a disk that does not answer.
PATIENCE = 15.0
#: Seconds after a Ctrl-C for the completion to reach the disk.
SHORT_PATIENCE = 3.0
#: How often it is looked whether somebody wants an end, seconds.
LOOK_SECONDS = 0.05


class ProgramRecording:
    """One evolution's recording. Nothing that fails here reaches the program or its exit code: it is told.

    Attributes:
        stored: set once the completion is on disk, or never will be.
        sent: set once nothing is left to do.
    """

    def __init__(self, plan: Plan, program: Program, *, traceback: bool = False) -> None:
        """`traceback`: show that of an error, too."""
        self.plan = plan
        self.traceback = traceback
        self.program = program
        self.outcome: tuple[Ended, Said] | None = None
        self.over, self.stored, self.sent = threading.Event(), threading.Event(), threading.Event()
        self.stop_timeout = 10.0
        self.thread = threading.Thread(target=self.run, name="evometrics-record", daemon=True)

    def start(self) -> None:
        """Load what records, and record the start."""
        self.thread.start()

    def finish(self, ended: Ended, said: Said) -> bool:
        """Record the end and send what waits; return False where that is cut short, by a signal or by time.

        What is on disk by then is sent by the next recording in its place.
        """
        self.outcome = ended, said
        self.over.set()
        begun = time.monotonic()
        while not self.sent.wait(LOOK_SECONDS):
            waited = time.monotonic() - begun
            urged = self.program.urged() and (self.stored.is_set() or waited > SHORT_PATIENCE)
            if urged or waited > self.stop_timeout + PATIENCE:
                if not self.stored.is_set():
                    tell("evometrics record: the end of the evolution is not recorded: it took too long")
                return False
        return True

    def run(self) -> None:
        """Body of the thread."""
        import asyncio
        import logging
        from traceback import format_exception

        logging.basicConfig(level=logging.WARNING, format="evometrics record: %(message)s")
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the publisher says what it means
        try:
            asyncio.run(self.record())
        except Exception as error:
            if self.traceback:
                tell("".join(format_exception(error)).rstrip())
            tell(f"evometrics record: not recorded: {said_of(error)}")
        finally:
            self.stored.set()
            self.sent.set()

    async def record(self) -> None:
        """Record start and end."""
        from asyncio import to_thread

        collector, sampler = collector_of(self.program)
        self.stop_timeout = collector.settings.stop_timeout
        await collector.start()
        try:
            await self.put("start", collector.record_evolution_start(self.started()))
            await to_thread(self.over.wait)
            assert self.outcome is not None
            ended, said = self.outcome
            sampler.ended = ended.clock
            await self.put("end", collector.record_evolution_completion(self.completed(ended, said)))
            self.stored.set()
        finally:
            await collector.stop()

    async def put(self, what: str, recording: Awaitable[str | None]) -> None:
        """Wait until an event is on disk; tell if it is not."""
        if await recording is None:
            tell(f"evometrics record: the {what} of the evolution is not recorded")

    def started(self) -> dict[str, Any]:
        """Return the fields of the start."""
        return self.plan.start | {"timestamp": self.program.began}

    def completed(self, ended: Ended, said: Said) -> dict[str, Any]:
        """Return the fields of the completion; the collector has the others from the start."""
        metadata = self.plan.start["metadata"] | said.metadata | {"exit_code": ended.code}
        if ended.signal:
            metadata["signal"] = ended.signal
        insights = said.fields.get("insights", [])
        insights = list(insights) if isinstance(insights, list) else [insights]
        if ended.reason:
            insights.insert(0, f"error: {ended.reason}")
        return said.fields | {
            "agent_id": self.plan.start["agent_id"],
            "evolution_id": self.plan.start["evolution_id"],
            "status": "failed" if ended.reason else "succeeded",
            "timestamp": ended.at,
            "duration_seconds": ended.clock - self.program.clock,
            "post_evolution_kpis": said.kpis,
            "parent_agent_ids": self.plan.parents,
            "insights": insights,
            "metadata": metadata,
        }


def collector_of(program: Program) -> tuple[EvolutionMetricsCollector, ChildrenSampler]:
    """Return a collector that measures a program, with settings from the environment, and its sampler.

    Raises `SettingsError` naming a bad setting.
    """
    from evometrics.producers.collector.collector import EvolutionMetricsCollector
    from evometrics.producers.resources.children import ChildrenSampler

    sampler = ChildrenSampler(began=program.clock, inherited_mb=program.inherited_mb)

    class ProgramCollector(EvolutionMetricsCollector):
        """Records one program's evolution."""

        def new_sampler(self) -> ResourceSampler:
            """Return what measures the program, and not this process."""
            return sampler

    return ProgramCollector(), sampler


def said_of(error: Exception) -> str:
    """Return an error in one line: its message where a person can correct it."""
    return str(error) if isinstance(error, EvometricsError | OSError) else f"{type(error).__name__}: {error}"
