"""Runs a part as the product would, but for one guarantee switched off, or up to a named crash point.

`EVOMETRICS_FAULTS_WITHOUT` names a guarantee, `EVOMETRICS_FAULTS_CRASH` a crash point and after how many
passes it kills the process (`sink:after-plan:3`), `EVOMETRICS_FAULTS_MARK` a file that notes that it did,
so that the successor lives. Nothing of this is in the product: functions are replaced from outside.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

GUARANTEES = ("fence", "plan", "outbox", "insert-before-commit", "deduplication")
CRASH_POINTS = (
    "publisher:after-outbox-commit",
    "publisher:after-send",
    "publisher:after-ack",
    "publisher:after-delete",
    "stream:after-outputs",
    "stream:after-partials",
    "stream:after-state",
    "stream:after-ack",
    "sink:after-fetch",
    "sink:after-plan",
    "sink:after-insert",
    "sink:after-commit",
)
#: The crash that shows at once what each guarantee is for; without one, ordinary running does.
REVEALED_BY: dict[str, str] = {
    "outbox": "publisher:after-outbox-commit:30",
    "insert-before-commit": "sink:after-plan:4",
    "plan": "sink:after-insert:4",
    "fence": "stream:after-partials:5",
    "deduplication": "",
}


class CrashPoint:
    """Counts passes and kills the process at the wanted one, once in a run."""

    def __init__(self, wanted: str, mark: str) -> None:
        self.name, _, passes = wanted.rpartition(":")
        self.left = int(passes or 1)
        self.mark = Path(mark)

    def __call__(self, name: str) -> None:
        if name == self.name and not self.mark.exists():
            self.left -= 1
            if self.left <= 0:
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)


def after(owner: Any, method: str, reached: Callable[..., str | None], crash: CrashPoint) -> None:
    """Make a method pass a crash point once it has returned; `reached` names it from the arguments."""
    original = getattr(owner, method)

    async def waits(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = await original(self, *args, **kwargs)
        crash(reached(self, *args, **kwargs) or "")
        return result

    def returns(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        crash(reached(self, *args, **kwargs) or "")
        return result

    setattr(owner, method, waits if asyncio.iscoroutinefunction(original) else returns)


def before(owner: Any, method: str, name: str, crash: CrashPoint) -> None:
    """Make a method pass a crash point before it does anything."""
    original = getattr(owner, method)

    async def waits(self: Any, *args: Any, **kwargs: Any) -> Any:
        crash(name)
        return await original(self, *args, **kwargs)

    def returns(self: Any, *args: Any, **kwargs: Any) -> Any:
        crash(name)
        return original(self, *args, **kwargs)

    setattr(owner, method, waits if asyncio.iscoroutinefunction(original) else returns)


def crash_publisher(crash: CrashPoint) -> None:
    from evometrics.producers.outbox import Outbox
    from evometrics.producers.publisher import Publisher

    def written(_: Any, rows: list[Any], sent: list[int]) -> str:
        return "publisher:after-outbox-commit" if rows else "publisher:after-delete" if sent else ""

    after(Outbox, "write", written, crash)
    after(Publisher, "fill", lambda *_: "publisher:after-send", crash)
    before(Publisher, "acknowledged", "publisher:after-ack", crash)


def crash_stream(crash: CrashPoint) -> None:
    from evometrics.streams.lane import Lane
    from evometrics.streams.outputs import OutputProducer
    from evometrics.streams.tables import StateTable

    def produced(_: Any, messages: Any) -> str:
        return "stream:after-outputs"

    def wrote(table: Any, *_: Any) -> str | None:
        return {"partials": "stream:after-partials", "evolutions": "stream:after-state"}.get(table.name)

    after(OutputProducer, "send_all", produced, crash)
    after(StateTable, "write", wrote, crash)
    before(Lane, "count", "stream:after-ack", crash)


def crash_sink(crash: CrashPoint) -> None:
    from evometrics.sinks.cycle import SinkCycle
    from evometrics.sinks.writer import TableWriter

    after(SinkCycle, "collect", lambda *_: "sink:after-fetch", crash)
    before(TableWriter, "store", "sink:after-plan", crash)
    after(SinkCycle, "insert", lambda *_: "sink:after-insert", crash)
    after(SinkCycle, "flush", lambda *_: "sink:after-commit", crash)


def without_fence() -> None:
    """Every event counts as new to a state."""
    from evometrics.streams import batches, state

    original = state.decode_state

    def forgetful(cls: Any, value: bytes) -> Any:
        found = original(cls, value)
        for name in ("applied", "started_applied", "completed_applied"):
            if hasattr(found, name):
                setattr(found, name, state.NONE_APPLIED)
        return found

    batches.decode_state = forgetful  # type: ignore[assignment]


def without_plan() -> None:
    """A sink's successor does not learn what may be stored."""
    from evometrics.sinks.source import KafkaSource, Position

    original = KafkaSource.positions

    async def planless(self: Any, partitions: Any) -> Any:
        return {p: Position(found.offset, None) for p, found in (await original(self, partitions)).items()}

    KafkaSource.positions = planless  # type: ignore[method-assign]


def without_outbox() -> None:
    """A recorded event waits in memory for a second before it reaches the disk."""
    from evometrics.producers.outbox import Outbox

    original = Outbox.append
    later: set[asyncio.Task[bool]] = set()

    async def hasty(self: Any, topic: str, key: str, value: bytes) -> bool:
        async def wait() -> bool:
            await asyncio.sleep(1)
            return await original(self, topic, key, value)

        task = asyncio.create_task(wait())
        later.add(task)
        task.add_done_callback(later.discard)
        return True

    Outbox.append = hasty  # type: ignore[method-assign]


def without_insert_before_commit() -> None:
    """The sink commits a batch's end and only then inserts it."""
    from evometrics.sinks.cycle import SinkCycle
    from evometrics.sinks.source import Position

    original = SinkCycle.insert

    async def early(self: Any, batch: Any) -> None:
        await self.source.commit({p: Position(r.last + 1, None) for p, r in batch.ranges.items()})
        await original(self, batch)

    SinkCycle.insert = early  # type: ignore[method-assign]


def without_deduplication() -> None:
    """The stream takes every event for new."""
    from evometrics.streams.state import SeenIds

    SeenIds.add = lambda self, event_id: True  # type: ignore[assignment, method-assign, misc]


def weaken() -> None:
    """Replace what the environment names."""
    missing = os.environ.get("EVOMETRICS_FAULTS_WITHOUT", "")
    if missing:
        {
            "fence": without_fence,
            "plan": without_plan,
            "outbox": without_outbox,
            "insert-before-commit": without_insert_before_commit,
            "deduplication": without_deduplication,
        }[missing]()
    wanted = os.environ.get("EVOMETRICS_FAULTS_CRASH", "")
    if wanted:
        crash = CrashPoint(wanted, os.environ["EVOMETRICS_FAULTS_MARK"])
        part = wanted.partition(":")[0]
        {"publisher": crash_publisher, "stream": crash_stream, "sink": crash_sink}[part](crash)


if __name__ == "__main__":
    weaken()
    if sys.argv[1] == "orchestrator":
        from tests.faults.orchestrator import main as orchestrator

        del sys.argv[1]
        sys.exit(orchestrator())
    from evometrics.deploy.cli import main

    sys.exit(main())
