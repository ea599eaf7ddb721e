"""Nevergrad: `optimizer.register_callback("tell", EvometricsRecorder())` records every candidate that is
told.

Seen with nevergrad 1.0.12 (`nevergrad/optimization/base.py`). Nevergrad minimises. The call comes in the
thread that tells, also with an executor, before the optimizer takes the loss: `num_tell` is one less. What
it raises would end `minimize`. Candidates that were told and not asked for are recorded too.

- A loss that is NaN, infinite or 5e20 and more comes as 5e20, so that none of them can be told from
  another: such a candidate has failed, and has no score.
- With several objectives the loss is a gain of hypervolume; the scores are `candidate.losses`. The front
  counts all that are not dominated: `pareto_front()` leaves out what is above the first 15 losses.
- A candidate's name is its `uid`. Its parents are those of its `parents_uids` that were told: NelderMead,
  random search and a first candidate name an origin that never was one.
- What `generation` counts is the optimizer's own affair, and many have only one: progress is recorded with
  each tenth candidate (with more workers, each `num_workers`th), and counts them.
- An objective that raises ends `minimize`, and nothing is told. In `with EvometricsRecorder(optimizer):`
  the run ends as failed, and so does the candidate whose result was asked for. Else it ends when the
  budget is used.
- `optimizer.dump` takes this with it, and a loaded optimizer continues the run.
"""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any, Self

from evometrics.producers.integrations.sessions import continued, guarded
from evometrics.producers.recording import Recorder, Run

#: What Nevergrad puts in the place of a loss that is not below it.
STAND_IN = 5.0e20
STANDS_FOR = "5e20, which Nevergrad gives for NaN, infinity and more than that"
#: Fewest candidates from one progress to the next.
STEP = 10


class EvometricsRecorder:
    """Records an optimizer's run with all its candidates; a callback for "tell".

    `optimizer`: registers itself there, for use in a `with` block. `objective`: the KPI; several
    objectives are `loss_0`, `loss_1`, and so on.
    """

    def __init__(
        self,
        optimizer: Any = None,
        *,
        recorder: Recorder | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        objective: str = "loss",
    ) -> None:
        self.optimizer, self.objective = optimizer, objective
        self.named: dict[str, Any] = {"recorder": recorder, "agent_id": agent_id, "run_id": run_id}
        self.run: Run | None = None
        self.told: dict[str, int] = {}
        self.since: list[float] = []
        if optimizer is not None:
            optimizer.register_callback("tell", self)

    @guarded
    def __call__(self, optimizer: Any, candidate: Any, loss: float) -> None:
        self.optimizer = optimizer
        objectives, count = optimizer.num_objectives, optimizer.num_tell + 1
        if self.run is not None and self.run.ended:
            self.run = continued(self.run, optimizer.num_tell)
        run = self.opened(objectives)
        if objectives > 1:
            values = {f"{self.objective}_{n}": value for n, value in enumerate(candidate.losses)}
            self.record(candidate, scores=values)
        elif loss < STAND_IN:
            self.record(candidate, score=loss)
            self.since.append(loss)
        else:
            self.record(candidate, metadata={"score": STANDS_FOR})
        if count % max(STEP, optimizer.num_workers) == 0:
            front = len(run.scores.front) if objectives > 1 else None
            mean = math.fsum(self.since) / len(self.since) if self.since else None
            run.progress(count, best=run.scores.best, mean=mean, evaluations=count, front_size=front)
            self.since.clear()
        if count == optimizer.budget:
            self.close()

    def record(self, candidate: Any, **found: Any) -> None:
        """Record a candidate; one that is told again, or after its failure, under a name of its own."""
        times = self.told[candidate.uid] = self.told.get(candidate.uid, 0) + 1
        self.opened().candidate(
            candidate.uid if times == 1 else f"{candidate.uid}-{times}",
            parents=[parent for parent in candidate.parents_uids if parent in self.told],
            generation=candidate.generation,
            **found,
        )

    def opened(self, objectives: int = 1) -> Run:
        """Return the run, which the first candidate opens."""
        if self.run is None:
            names = [f"direction.{self.objective}_{n}" for n in range(objectives)] if objectives > 1 else []
            self.run = Run(
                "nevergrad",
                objective=self.objective,
                direction="pareto" if names else "minimize",
                strategy=getattr(self.optimizer, "name", ""),
                metadata=dict.fromkeys(names, "minimize"),
                **self.named,
            )
            self.run.begin()
        return self.run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)

    @guarded
    def close(self, error: BaseException | None = None) -> None:
        """End the run; where an exception ended it, as failed, with the candidate whose result that was."""
        jobs = getattr(self.optimizer, "_finished_jobs", ())
        if isinstance(error, Exception) and jobs and jobs[0][0].uid not in self.told:
            self.record(jobs[0][0], insights=[repr(error)])
        if self.run is not None or error is not None:
            self.opened().end(error)
