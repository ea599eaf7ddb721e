"""Crash points: named steps of the product at which a process kills itself, as often as a plan says.

A plan is text: `sink:after-plan:3,stream:after-state`. A process takes the entries of its own kind, in order:
each kills it at the given pass (1 where none is given) counted from its last start. A file beside its data
counts the crashes it had, so that its successor goes on with the next entry, and lives after the last.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CRASH_POINTS = (
    "publisher:after-outbox-commit",
    "publisher:after-send",
    "publisher:after-ack",
    "publisher:after-delete",
    "stream:after-marks",
    "stream:after-take-over",
    "stream:after-outputs",
    "stream:after-partials",
    "stream:after-state",
    "stream:after-ack",
    "sink:after-fetch",
    "sink:after-plan",
    "sink:after-claim",
    "sink:after-insert",
    "sink:after-commit",
)


@dataclass(frozen=True)
class Crash:
    """One planned crash: the point, and at which pass of it."""

    point: str
    passes: int

    @property
    def kind(self) -> str:
        """The kind of process it is for: publisher, stream or sink."""
        return self.point.partition(":")[0]


def parse_crashes(text: str) -> list[Crash]:
    """Return the crashes of a plan. Raises `ValueError` naming an entry that means nothing."""
    crashes = []
    for entry in filter(None, text.split(",")):
        point, _, passes = entry.rpartition(":")
        if entry in CRASH_POINTS:
            crashes.append(Crash(entry, 1))
        elif point in CRASH_POINTS and passes.isdecimal() and int(passes) > 0:
            crashes.append(Crash(point, int(passes)))
        else:
            raise ValueError(
                f"{entry!r} is not a crash point: give POINT or POINT:PASSES, such as sink:after-plan:3"
            )
    return crashes


def crashes_had(counter: Path) -> int:
    """Return how many planned crashes a process has had."""
    return counter.stat().st_size if counter.exists() else 0


class Crasher:
    """Counts passes and kills this process at the next planned one."""

    def __init__(self, crashes: list[Crash], counter: Path) -> None:
        self.left = crashes[crashes_had(counter) :]
        self.counter = counter
        self.passes = 0

    def __call__(self, point: str) -> None:
        if not self.left or point != self.left[0].point:
            return
        self.passes += 1
        if self.passes == self.left[0].passes:
            with self.counter.open("ab") as file:
                file.write(b"x")
            os.kill(os.getpid(), signal.SIGKILL)


def after(owner: Any, name: str, reached: Callable[..., Iterable[str]], crasher: Crasher) -> None:
    """Pass crash points once a function has returned; `reached` names them from its arguments."""
    original = getattr(owner, name)

    async def waits(*args: Any) -> Any:
        result = await original(*args)
        for point in reached(*args):
            crasher(point)
        return result

    def returns(*args: Any) -> Any:
        result = original(*args)
        for point in reached(*args):
            crasher(point)
        return result

    setattr(owner, name, waits if asyncio.iscoroutinefunction(original) else returns)


def before(owner: Any, name: str, point: str, crasher: Crasher) -> None:
    """Pass a crash point whenever a function is about to begin."""
    original = getattr(owner, name)

    async def waits(*args: Any) -> Any:
        crasher(point)
        return await original(*args)

    def returns(*args: Any) -> Any:
        crasher(point)
        return original(*args)

    setattr(owner, name, waits if asyncio.iscoroutinefunction(original) else returns)


def crash_publisher(crasher: Crasher) -> None:
    from evometrics.producers.outbox.outbox import Outbox
    from evometrics.producers.publisher import publisher

    def written(_: Any, rows: list[Any], sent: list[int]) -> list[str]:
        return ["publisher:after-outbox-commit"] * bool(rows) + ["publisher:after-delete"] * bool(sent)

    after(Outbox, "write", written, crasher)
    after(publisher, "send_batch", lambda *_: ["publisher:after-send"], crasher)
    before(publisher.Publisher, "acknowledged", "publisher:after-ack", crasher)


def crash_stream(crasher: Crasher) -> None:
    from evometrics.streams.changelog.ownership import Ownership
    from evometrics.streams.changelog.tables import StateTable
    from evometrics.streams.worker.lane import Lane

    # Of the evolutions' batches, whose three state writes follow each other: partials, evolutions, progress.
    # Only those with a completion count: the others write no partials, nothing is halved between two writes.
    with_completions: set[int] = set()
    original = StateTable.write

    async def write(self: Any, producer: Any, writes: Any) -> None:
        writes = list(writes)
        if self.name == "partials":
            with_completions.clear()
            with_completions.update(partition for partition, values in writes if values)
            if with_completions:
                crasher("stream:after-outputs")
        await original(self, producer, writes)
        if any(partition in with_completions for partition, _ in writes):
            if self.name == "partials":
                crasher("stream:after-partials")
            elif self.name == "evolutions":
                crasher("stream:after-state")

    StateTable.write = write  # type: ignore[method-assign]
    before(StateTable, "adopt", "stream:after-marks", crasher)
    after(Ownership, "load", lambda *_: ["stream:after-take-over"], crasher)
    before(Lane, "count", "stream:after-ack", crasher)


def crash_sink(crasher: Crasher) -> None:
    from evometrics.sinks.worker.cycle import SinkCycle
    from evometrics.sinks.worker.recovery import Recovery
    from evometrics.sinks.worker.writer import TableWriter

    after(SinkCycle, "collect", lambda *_: ["sink:after-fetch"], crasher)
    before(TableWriter, "insert", "sink:after-plan", crasher)
    after(Recovery, "claim", lambda *_: ["sink:after-claim"], crasher)
    after(SinkCycle, "insert", lambda *_: ["sink:after-insert"], crasher)
    after(SinkCycle, "flush", lambda *_: ["sink:after-commit"], crasher)


def arm(kind: str, plan: str, counter: Path) -> None:
    """Have this process, of a kind, crash as a plan says."""
    crashes = [crash for crash in parse_crashes(plan) if crash.kind == kind]
    if crashes:
        {"publisher": crash_publisher, "stream": crash_stream, "sink": crash_sink}[kind](
            Crasher(crashes, counter)
        )
