"""One evolution as a `with` block: the twin of the collector's `EvolutionRun` for code without `await`."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, Self

from evometrics.producers.collector.evolution_run import LEFT_OPEN, message


class Blocking(Protocol):
    """What records an evolution: the recorder, whose methods say more."""

    def start(self, agent_id: object, **fields: object) -> str:
        """Record that an evolution begins."""

    def progress(
        self, agent_id: object, iteration: object = None, fitness: object = None, **fields: object
    ) -> None:
        """Record an iteration of a running evolution."""

    def complete(self, agent_id: object, **fields: object) -> None:
        """Record that an evolution has ended."""


class RecordedEvolution:
    """Records its start when entered and its completion by `complete`.

    An exception in the block is recorded as a failure and propagates; leaving the block without `complete` is
    recorded as a failure too. Made by `Recorder.evolution`.

    Attributes:
        evolution_id: the id that all its events carry; empty before the block is entered.
    """

    def __init__(self, recorder: Blocking, agent_id: object, fields: dict[str, Any]) -> None:
        self.recorder = recorder
        self.agent_id = agent_id
        self.fields = fields
        self.evolution_id = ""
        self.completed = False
        self.iterations = 0

    def __enter__(self) -> Self:
        self.evolution_id = self.recorder.start(self.agent_id, **self.fields)
        return self

    def progress(self, iteration: object = None, fitness: object = None, **fields: object) -> None:
        """Record the fitness reached in an iteration, counted from 0; without a number: the next one."""
        number = self.iterations if iteration is None else iteration
        self.recorder.progress(self.agent_id, number, fitness, evolution_id=self.evolution_id, **fields)
        self.iterations = number + 1 if type(number) is int else self.iterations + 1

    def complete(self, **fields: object) -> None:
        """Record the end, as `Recorder.complete` does. A second call is ignored."""
        if self.completed:
            return
        self.completed = True
        self.recorder.complete(self.agent_id, evolution_id=self.evolution_id, **fields)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.completed:
            insight = LEFT_OPEN if error is None else f"error: {type(error).__name__}: {message(error)}"
            self.complete(success=False, insights=[insight])
