"""OpenEvolve: `EvometricsTracer.attach(controller)` before `await controller.run()`.

Seen with openevolve 0.4.1 (`openevolve/process_parallel.py`, `openevolve/database.py`). It takes the place
of the controller's `evolution_tracer`, which OpenEvolve calls also where tracing is off, and hands
everything on to a tracer that was there; and it is told of each `database.add`. All calls come in the main
thread, inside a running loop. Nothing is raised into them: OpenEvolve would swallow it and skip that
iteration's island count, migration and checkpoint. `run_evolution()` makes a controller of its own: use
`OpenEvolve(...)`. The population strategy's `admit`, the only hook there, decides, and ends the run where
it raises: it is not used.

- An evaluation that raised has the metrics `{'error': 0.0}`, which OpenEvolve takes for a score of 0.0:
  here it has failed and has no score; a timeout, too. Without `combined_score` the score is OpenEvolve's
  own fitness, the mean of the metrics.
- Initial programs, copies that migrate between islands, and programs that the population strategy or the
  novelty check refuses (`rejected`) are never traced: `database.add` has them.
- Iterations come out of order: progress counts them as they come; a program's own `iteration` is in its
  metadata, and its generation is its depth in the tree.
- An iteration that gave no program is the candidate `iteration-N`: rejected where the model answered (no
  diff, an identical rewrite), failed where it did not, or the iteration timed out (then without a parent).
- A run that is resumed from a checkpoint goes on under its id, which is in the output folder
  (`evometrics_run.json`); the checkpoint's programs count once. Iterations that it repeats are
  `iteration-N-after-M`.
- Tokens are known, cost is not.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping
from typing import Any, Self

from evometrics.producers.integrations.continued import Continued
from evometrics.producers.recording import Recorder, Run

logger = logging.getLogger(__name__)
SCORE = "combined_score"


class EvometricsTracer:
    """Records the run of an OpenEvolve controller, with all of its programs.

    `run_id`: by default that of the run that is resumed, or else the recorder's.
    """

    def __init__(
        self,
        controller: Any,
        *,
        recorder: Recorder | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> None:
        self.controller, self.inner, self.add = (
            controller,
            controller.evolution_tracer,
            controller.database.add,
        )
        self.options: dict[str, Any] = {"recorder": recorder, "agent_id": agent_id}
        self.run_id = run_id
        self.run: Run | None = None
        self.closed = True

    @classmethod
    def attach(cls, controller: Any, **options: Any) -> Self:
        """Make a tracer for a controller and attach it; the options are the constructor's."""
        tracer = cls(controller, **options)
        controller.evolution_tracer, controller.database.add = tracer, tracer.added
        return tracer

    def added(self, program: Any, *args: Any, **named: Any) -> str | None:
        """Add a program to the database; record what will not be traced."""
        try:
            self.opened()
        except Exception:
            logger.exception("the run's begin is not recorded")
        admitted: str | None = self.add(program, *args, **named)
        try:
            if admitted is None:
                self.program(program, status="rejected", insights=["the population did not admit it"])
            elif program.parent_id is None or program.metadata.get("migrant"):
                self.program(program)
        except Exception:
            logger.exception("program %s is not recorded", program.id)
        return admitted

    def log_trace(self, **trace: Any) -> None:
        """Record a program that was evaluated and admitted."""
        try:
            seconds = (trace.get("metadata") or {}).get("iteration_time")
            said = (trace.get("artifacts") or {}).get("stderr")
            self.program(trace["child_program"], duration_seconds=seconds, insights=[said] if said else [])
        except Exception:
            logger.exception("iteration %s is not recorded", trace.get("iteration"))
        if self.inner:
            self.inner.log_trace(**trace)

    def log_failure(self, **failure: Any) -> None:
        """Record an iteration that gave no program."""
        try:
            parent, answer = failure.get("parent_id"), failure.get("llm_response")
            run, number = self.opened(), failure["iteration"]
            run.candidate(
                f"iteration-{number}-after-{self.resumed}" if self.resumed else f"iteration-{number}",
                parents=[parent] if parent else [],
                status="rejected" if answer else "failed",
                strategy=failure.get("evolution_mode"),
                insights=[failure["error"]],
                candidate=answer,
                metadata={"iteration": number, "island": failure.get("island_id")},
                **tokens(failure.get("token_usage")),
            )
            self.progress()
        except Exception:
            logger.exception("failed iteration %s is not recorded", failure.get("iteration"))
        if self.inner:
            self.inner.log_failure(**failure)

    def close(self) -> None:
        """Record the run's end; OpenEvolve calls this too while an exception ends the run."""
        if self.run is not None and not self.closed:
            raised = sys.exc_info()[1]
            self.run.end(error=None if raised is self.outer else raised, evaluations=self.evaluations)
        self.closed = True
        if self.inner:
            self.inner.close()

    def opened(self) -> Run:
        """Return the run; begun where none is, with the programs that a checkpoint brought."""
        if self.run is None or self.closed:
            self.closed, self.outer = False, sys.exc_info()[1]
            database, folder = self.controller.database, self.controller.output_dir
            self.resumed = database.last_iteration if database.programs else 0
            before = Continued.of(folder) if database.programs else None
            run_id = self.run_id or (before.run_id if before else None)
            self.run = Run("openevolve", run_id=run_id, objective=SCORE, **self.options)
            self.run.begin(metadata={"iterations": self.controller.config.max_iterations})
            Continued(self.run.run_id).keep(folder)
            self.scores: list[float] = []
            self.evaluations, self.iterations = 0, 0
            for program in list(database.programs.values()):
                self.program(program)
        return self.run

    def program(self, program: Any, **more: Any) -> None:
        """Record a program, and the progress."""
        run, metadata = self.opened(), program.metadata
        score = self.score(program.metrics)
        migrant, usage = metadata.get("migrant", False), metadata.get("token_usage")
        numbers = {name: float(v) for name, v in program.metrics.items() if type(v) in (int, float)}
        strategy = "seed" if program.parent_id is None else metadata.get("evolution_mode")
        run.candidate(
            program.id,
            score=score,
            parents=[program.parent_id] if program.parent_id else [],
            status=more.pop("status", None),
            strategy="migration" if migrant else strategy,
            generation=program.generation,
            ended_at=program.timestamp,
            evaluations=0 if migrant else 1,
            model=None if migrant else metadata.get("llm_model"),
            identity=f"{run.run_id}/{program.id}",
            candidate=program.code,
            kpis={name: v for name, v in numbers.items() if name not in (SCORE, "error")},
            metadata={"iteration": program.iteration_found, "island": metadata.get("island")},
            **({} if migrant else tokens(usage)),
            **more,
        )
        if not migrant:
            self.evaluations += 1
            if score is not None:
                self.scores.append(score)
            self.progress()

    def progress(self) -> None:
        """Record how far the run is: iterations are counted as they end."""
        if self.run is not None:
            mean = math.fsum(self.scores) / len(self.scores) if self.scores else None
            best = max(self.scores, default=None)
            self.run.progress(self.iterations, best=best, mean=mean, evaluations=self.evaluations)
            self.iterations += 1

    def score(self, metrics: Mapping[str, Any]) -> float | None:
        """Return what OpenEvolve takes for the score; None of an evaluation that failed."""
        from openevolve.utils.metrics_utils import get_fitness_score

        failed = metrics.get("timeout") is True or isinstance(metrics.get("error"), str)
        if failed or not metrics or metrics.keys() == {"error"}:
            return None
        return float(get_fitness_score(metrics, self.controller.config.database.feature_dimensions))


def tokens(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an iteration's usage as fields of a completion."""
    names = {"tokens_in": "prompt_tokens", "tokens_out": "completion_tokens"}
    return {name: usage[key] for name, key in names.items() if key in usage} if usage else {}
