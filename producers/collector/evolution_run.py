"""One evolution as an `async with` block."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from evometrics.producers.events.evolution_events import EvolutionCompletionEvent, EvolutionEvent
from evometrics.producers.events.given import with_more
from evometrics.producers.events.left_out import LeftOut, said
from evometrics.producers.events.values import truth_of

logger = logging.getLogger(__name__)

LEFT_OPEN = "error: the evolution's block ended without complete()"


class EvolutionRecorder(Protocol):
    """What records an evolution: the collector, whose methods say more."""

    async def record_evolution_start(self, event: object) -> str | None:
        """Record that an evolution begins."""

    async def record_evolution_progress(
        self,
        agent_id: object,
        iteration: object,
        fitness: object,
        *,
        evolution_id: object,
        **metadata: object,
    ) -> str | None:
        """Record an iteration of a running evolution."""

    async def record_evolution_completion(self, event: object) -> str | None:
        """Record that an evolution has ended."""


@dataclass(slots=True)
class EvolutionRun:
    """Records its start when entered and its completion by `complete`.

    An exception in the block is recorded as a failure and propagates; leaving the block without `complete` is
    recorded as a failure too. Made by `EvolutionMetricsCollector.evolution`.
    """

    recorder: EvolutionRecorder
    start: EvolutionEvent
    completed: bool = False
    iterations: int = field(default=0)

    @property
    def evolution_id(self) -> str:
        """The id that all events of this evolution carry."""
        return str(self.start.evolution_id)

    async def __aenter__(self) -> Self:
        await self.recorder.record_evolution_start(self.start)
        return self

    async def progress(self, iteration: object = None, fitness: object = None, **metadata: object) -> None:
        """Record the fitness reached in an iteration, counted from 0; without a number: the next one."""
        number = self.iterations if iteration is None else iteration
        await self.recorder.record_evolution_progress(
            self.start.agent_id, number, fitness, evolution_id=self.evolution_id, **metadata
        )
        self.iterations = number + 1 if type(number) is int else self.iterations + 1

    async def complete(
        self,
        *,
        post_kpis: object = None,
        success: object = None,
        rollback_performed: object = None,
        status: object = None,
        insights: object = None,
        duration_seconds: object = None,
        convergence_iterations: object = None,
        fitness_trajectory: object = None,
        metadata: object = None,
        parent_agent_id: object = None,
        cost_usd: object = None,
        parent_agent_ids: object = None,
        tokens_in: object = None,
        tokens_out: object = None,
        evaluations: object = None,
        candidate: object = None,
        candidate_hash: object = None,
        run_id: object = None,
        model: object = None,
        objective: object = None,
        direction: object = None,
        **more: object,
    ) -> None:
        """Record the end. Values left out are measured, or come from the start and the progress.

        `status` takes precedence over `rollback_performed`, and that over `success`; without any of them it
        succeeded.
        Keywords that are not fields of a completion go into its metadata.
        """
        if self.completed:
            logger.error("evolution %s: complete() was already called; ignored", self.evolution_id)
            return
        self.completed = True
        success = success_of(success, status, rollback_performed)
        await self.recorder.record_evolution_completion(
            EvolutionCompletionEvent(
                agent_id=self.start.agent_id,
                evolution_id=self.evolution_id,
                success=success,
                post_evolution_kpis=post_kpis,
                rollback_performed=rollback_performed,
                status=status,
                insights=insights,
                duration_seconds=duration_seconds,
                convergence_iterations=convergence_iterations,
                fitness_trajectory=fitness_trajectory,
                metadata=with_more(metadata, more),
                parent_agent_id=parent_agent_id,
                cost_usd=cost_usd,
                parent_agent_ids=parent_agent_ids,
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                evaluations=evaluations,
                candidate=candidate,
                candidate_hash=candidate_hash,
                run_id=run_id,
                model=model,
                objective=objective,
                direction=direction,
            )
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.completed:
            return
        insight = LEFT_OPEN if error is None else f"error: {type(error).__name__}: {message(error)}"
        await self.complete(success=False, insights=[insight])


def success_of(success: object, status: object, rollback_performed: object) -> object:
    """Return whether an evolution succeeded: as said, and without a word unless it was rolled back."""
    if success is None and status is None:
        return not truth_of(rollback_performed, "rollback_performed", LeftOut())
    return success


def message(error: BaseException) -> str:
    """Return an exception's message, whatever its `__str__` does."""
    try:
        return str(error)
    except Exception:
        return said(error)
