"""Runs a part as the product would, except for guarantees switched off, or with crashes planned for it.

`FAULTS_WITHOUT` names guarantees, `FAULTS_CRASH` a plan of crashes (see `crash`),
and `FAULTS_COUNTER` the file that counts those it had. Nothing of this is in the product:
functions are replaced from outside.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.crash import arm


@dataclass(frozen=True)
class Guarantee:
    """How the lack of a guarantee is made to show, whatever the timing.

    Attributes:
        crash: crashes at the steps between which only this guarantee keeps the count right.
        shown_as: the field of `Result` that can't be 0 then.
    """

    crash: str
    shown_as: str


GUARANTEES = {
    # Between two state writes of one batch: it is read again, and the partial counts hold it already.
    "fence": Guarantee("stream:after-partials,stream:after-partials:2", "differing"),
    # Between an insert and the commit of its offsets: the successor is given the same messages again.
    "plan": Guarantee("sink:after-insert:2", "stored_twice"),
    # While the last second's events are recorded and in memory alone.
    "outbox": Guarantee("publisher:after-outbox-commit:3,publisher:after-outbox-commit:3", "lost"),
    # Between the commit of offsets and the insert that should have come first.
    "insert-before-commit": Guarantee("sink:after-plan", "lost"),
    # Between the broker's acknowledgement and the deletion of the rows: they are sent again. Several times,
    # for completions to be among them: a snapshot that comes again leads to the same rows by itself.
    "deduplication": Guarantee(",".join(["publisher:after-ack:20"] * 4), "differing"),
}


def without_fence() -> None:
    """Every event counts as new to a state, whatever offset was applied to it last."""
    from evometrics.streams.states import agent_states as state

    def forgetful(cls: Any) -> None:
        original = cls.decode

        def decode(*given: Any) -> Any:
            found = original(*given)
            for name in ("applied", "started_applied", "completed_applied"):
                if hasattr(found, name):
                    setattr(found, name, state.NONE_APPLIED)
            return found

        cls.decode = decode

    for cls in (state.EvolutionState, state.PartialState, state.SnapshotState):
        forgetful(cls)


def without_plan() -> None:
    """A sink's successor does not learn what may be stored."""
    from evometrics.sinks.worker.source import KafkaSource, Position

    original = KafkaSource.positions

    async def planless(self: Any, partitions: Any) -> Any:
        return {p: Position(found.offset, None) for p, found in (await original(self, partitions)).items()}

    KafkaSource.positions = planless  # type: ignore[method-assign]


def without_outbox() -> None:
    """A recorded event waits in memory for a second before it reaches the disk."""
    from evometrics.producers.outbox.outbox import Outbox

    original = Outbox.append
    later: set[asyncio.Task[None]] = set()

    def hasty(self: Any, topic: str, key: str, value: bytes) -> asyncio.Future[bool]:
        async def wait() -> None:
            await asyncio.sleep(1)
            stored = original(self, topic, key, value)
            assert stored is None or await stored

        task = asyncio.create_task(wait())
        later.add(task)
        task.add_done_callback(later.discard)
        answer = asyncio.get_running_loop().create_future()
        answer.set_result(True)
        return answer

    Outbox.append = hasty  # type: ignore[method-assign]


def without_insert_before_commit() -> None:
    """The sink commits a batch's end and only then inserts it."""
    from evometrics.sinks.worker.cycle import SinkCycle
    from evometrics.sinks.worker.source import Position

    original = SinkCycle.insert

    async def early(self: Any, batch: Any) -> None:
        await self.source.commit({p: Position(r.last + 1, None) for p, r in batch.ranges.items()})
        await original(self, batch)

    SinkCycle.insert = early  # type: ignore[method-assign]


def without_deduplication() -> None:
    """The stream takes every event for new."""
    from evometrics.streams.processors import evolutions, snapshots
    from evometrics.streams.states.id_rings import Rings

    class Forgetful(Rings):
        def new(self, topic: str, node_id: str, event_id: str, offset: int) -> bool:
            super().new(topic, node_id, event_id, offset)
            return True

    for module in (evolutions, snapshots):
        module.Rings = Forgetful  # type: ignore[attr-defined]


WEAKENED = {
    "fence": without_fence,
    "plan": without_plan,
    "outbox": without_outbox,
    "insert-before-commit": without_insert_before_commit,
    "deduplication": without_deduplication,
}


def main() -> int:
    """Replace what the environment names, then run the part that the arguments name."""
    for missing in filter(None, os.environ.get("FAULTS_WITHOUT", "").split(",")):
        WEAKENED[missing]()
    part = sys.argv[1]
    kind = "publisher" if part == "orchestrator" else part
    arm(kind, os.environ.get("FAULTS_CRASH", ""), Path(os.environ["FAULTS_COUNTER"]))
    if part == "orchestrator":
        from tests.faults.orchestrator import main as orchestrator

        return orchestrator(sys.argv[2:])
    from evometrics.deploy.cli.main import main as evometrics

    return evometrics()


if __name__ == "__main__":
    sys.exit(main())
