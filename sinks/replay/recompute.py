"""A replay's first step: derived rows of all events in shadow tables, from wherever it was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from evometrics.schemas.topics import KPI_SNAPSHOTS
from evometrics.sinks.raw.event import RawEvent
from evometrics.sinks.raw.steps import Step, steps
from evometrics.sinks.replay.checkpoints import Checkpoints, ReplayProgress, new_number
from evometrics.sinks.replay.compute import Computing
from evometrics.sinks.replay.made import MadeSnapshot
from evometrics.sinks.replay.settings import ReplaySettings
from evometrics.sinks.replay.shadow import ShadowTables
from evometrics.sinks.replay.source import EventSource
from evometrics.sinks.replay.store import Storing
from evometrics.streams.formulas.windows import SECOND
from evometrics.streams.producer import Message
from evometrics.streams.settings import StreamSettings

HOUR = 3600 * SECOND
#: The most event time that is computed at once: well below the stream's lateness.
SPAN = 6 * HOUR
#: The most checkpoints of one replay, so that they cost little beside the computing.
CHECKPOINTS = 50


@dataclass(slots=True)
class Computed:
    """The result of the first step.

    Attributes:
        events: raw events read, including those that an interrupted replay had read.
        resumed: the latter alone.
        rows: rows written to the shadow tables, corrected ones counted again.
        unreadable: events that the stream turns into dead letters.
        seconds, cpu_seconds: time taken, and this process's CPU time, for the others.
    """

    events: int = 0
    resumed: int = 0
    rows: int = 0
    unreadable: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


class Recomputation:
    """The first step of one replay.

    Attributes:
        progress: how far it has come.
        resumed: events that an interrupted replay, with which this one goes on, had computed.
    """

    def __init__(
        self,
        settings: ReplaySettings,
        stream: StreamSettings,
        source: EventSource,
        shadow: ShadowTables,
        progress: ReplayProgress,
    ) -> None:
        self.settings = settings
        self.stream = stream
        self.source = source
        self.shadow = shadow
        self.span = min(SPAN, stream.allowed_lateness_seconds * SECOND // 2)
        self.progress = progress
        self.resumed = progress.events
        self.storing: Storing | None = None

    @property
    def resumable(self) -> bool:
        """Whether another process can go on from here, and not only begin again."""
        return self.resumed > 0 or (self.storing is not None and self.storing.saved)

    async def run(self, done: Callable[[int], object], reached: int) -> Computed:
        """Compute what is left; `done` is called with the number of events of each step.

        Evolutions count as abandoned by the clock up to `reached`, microseconds.
        """
        began, used = time.monotonic(), time.process_time()
        result = Computed(resumed=self.resumed)
        if not self.progress.computed:
            result.cpu_seconds = await self.rest(done, reached) - used
        result.events, result.rows = self.progress.events, self.progress.rows
        result.unreadable = self.progress.unreadable
        result.seconds = time.monotonic() - began
        return result

    async def rest(self, done: Callable[[int], object], reached: int) -> float:
        """Compute what is left; return the CPU seconds of all processes."""
        slices = self.source.slices(self.settings.slice_events)
        between = max(self.settings.step_events, self.source.events // CHECKPOINTS)
        saved = self.progress.events
        async with (
            Computing(self.stream, self.source.wire, self.settings.processes) as computing,
            aclosing(slices),
            Storing(self.shadow, self.progress.rows) as storing,
        ):
            self.storing = storing
            await self.restore(computing)
            async for events in slices:
                for step in steps(events, self.progress.watermark, self.settings.step_events, self.span):
                    messages = await self.computed(computing, step.events)
                    await storing.put(step.events, messages, step.events[-1].timestamp)
                    self.count(step)
                    done(len(step.events))
                if self.source.passed is not None and self.progress.events - saved >= between:
                    await self.checkpoint(computing, storing)
                    saved = self.progress.events
            await storing.put([], await self.abandoned(computing, reached), reached // 1000)
            self.note(computing, computed=self.source.passed is not None)
            rows = await storing.end(self.progress if self.progress.computed else None)
            self.progress = replace(self.progress, rows=rows)
            return computing.cpu_seconds

    def count(self, step: Step) -> None:
        """Count a step's events as computed."""
        made = sum(isinstance(event, MadeSnapshot) for event in step.events)
        self.progress = replace(
            self.progress,
            watermark=step.watermark,
            events=self.progress.events + len(step.events),
            made=self.progress.made + made,
        )

    def note(self, computing: Computing, *, computed: bool = False) -> None:
        """Note how far the source was read, and what could not be."""
        self.progress = replace(
            self.progress,
            passed=self.source.passed or 0,
            computed=computed,
            source=self.source.known(),
            unreadable=computing.unreadable,
        )

    async def restore(self, computing: Computing) -> None:
        """Give the states of the last checkpoint to the computations."""
        computing.unreadable_before = self.progress.unreadable
        if self.progress.chain:
            async with aclosing(Checkpoints(self.shadow).states(self.progress)) as states:
                async for change in states:
                    await computing.restore([change])
        # the next checkpoint has all states again
        self.progress = replace(self.progress, chain=[])

    async def checkpoint(self, computing: Computing, storing: Storing) -> None:
        """Begin to store a checkpoint."""
        self.note(computing)
        self.progress = replace(self.progress, chain=[*self.progress.chain, new_number()])
        await storing.begin(self.progress, await computing.changes())

    async def computed(self, computing: Computing, events: Sequence[RawEvent]) -> list[Message]:
        """Return the derived events of a step, restricted to the selected agents.

        All agents' evolutions are computed: those of a partition together decide what is abandoned.
        """
        agents = {agent.encode() for agent in self.settings.meant.agents}
        if not agents:
            return await computing.step(events)
        some = [event for event in events if event.topic != KPI_SNAPSHOTS.name or event.key in agents]
        return [message for message in await computing.step(some) if message.key in agents]

    async def abandoned(self, computing: Computing, now: int) -> list[Message]:
        """Return the reports of evolutions that count as abandoned by the clock at the end of the history."""
        agents = {agent.encode() for agent in self.settings.meant.agents}
        found = await computing.abandon(now)
        return [message for message in found if not agents or message.key in agents]
