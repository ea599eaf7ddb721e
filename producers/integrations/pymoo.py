"""pymoo: `minimize(problem, algorithm, termination, callback=EvometricsCallback())`, and every evaluated
solution.

Seen with pymoo 0.6.2 (`pymoo/core/algorithm.py`, `pymoo/core/callback.py`, `pymoo/core/evaluator.py`). The
callback is called in the caller's thread after each generation, the initial population's (`n_gen` 1) and
the last one's too; with ask and tell as well. What it raises would end the run. pymoo always minimises,
and tells no parents.

- `algorithm.off` has the last batch of a generation only: 17 of 72 evaluations of a MOEAD run, 25 of 62 of
  PatternSearch. So the first call puts this into the algorithm's evaluator, whose `n_eval` is then met
  exactly. Before that only `off` is seen: MOPSO_CD's setup evaluates one population that is in no hook.
- An evaluation that raises ends the run before any call. From generation 2 on its solutions are recorded
  as failed, with those evaluated together with it, whose values are lost. The run's end needs `with
  EvometricsCallback() as ...`.
- Solutions that violate constraints keep their objectives, with the KPI `constraint_violation`, and are no
  best.
- Algorithms copy callbacks that their constructors get, and `CallbackCollection` calls `update` alone:
  this one stays one object, and needs no other call.
- A pickled algorithm brings its callback, and continues the run; `n_gen` goes on. A run with `n_gen` 1 is
  a new one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from pymoo.core.callback import Callback
from pymoo.core.individual import Individual, calc_cv

from evometrics.producers.integrations.sessions import continued, guarded
from evometrics.producers.recording import Recorder, Run


class EvometricsCallback(Callback):
    """Records each run with all its solutions.

    `objective`: the KPI; several objectives are `F_0`, `F_1`, and so on.
    """

    def __init__(
        self,
        *,
        recorder: Recorder | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        objective: str = "F",
    ) -> None:
        super().__init__()
        self.objective = objective
        self.named: dict[str, Any] = {"recorder": recorder, "agent_id": agent_id, "run_id": run_id}
        self.run: Run | None = None
        self.generation, self.count, self.evaluations = 1, 0, 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @guarded
    def _update(self, algorithm: Any) -> None:
        evaluator = algorithm.evaluator
        while hasattr(evaluator, "wrapped"):  # of AdaptiveConstraintHandling, whose own counts nothing
            evaluator = evaluator.wrapped
        if self.run is None or algorithm.n_gen == 1:
            self.begin(algorithm.problem.n_obj)
            if evaluator.n_eval:
                self.record([each for each in listed(algorithm.off) if "F" in each.evaluated])
        elif self.run.ended:
            self.run = continued(self.run, algorithm.n_gen)
        if getattr(vars(evaluator).get("_eval"), "func", None) != self.evaluate:
            evaluator._eval = functools.partial(self.evaluate, evaluator)
        self.evaluations = evaluator.n_eval
        self.survived(algorithm)
        self.generation, self.count = algorithm.n_gen + 1, 0
        if algorithm.termination.has_terminated():
            self.close()

    def begin(self, objectives: int) -> None:
        """Begin a run; only the first has the `run_id` that was given."""
        self.names = (
            [f"{self.objective}_{n}" for n in range(objectives)] if objectives > 1 else [self.objective]
        )
        ways = {f"direction.{name}": "minimize" for name in self.names} if objectives > 1 else {}
        direction = "pareto" if objectives > 1 else "minimize"
        self.run = Run("pymoo", objective=self.objective, direction=direction, metadata=ways, **self.named)
        self.run.begin()
        self.named["run_id"] = None
        self.generation, self.count = 1, 0

    def evaluate(self, evaluator: Any, problem: Any, population: Any, values: Any, **named: Any) -> None:
        """Evaluate as the evaluator does, and record the solutions; those of an exception as failed."""
        try:
            type(evaluator)._eval(evaluator, problem, population, values, **named)
        except Exception as error:
            self.record(population, error)
            raise
        if "F" in values:
            self.record(population)

    @guarded
    def record(self, population: Iterable[Any], error: Exception | None = None) -> None:
        assert self.run is not None
        for each in population:
            name, several = f"{self.generation}-{self.count}", len(self.names) > 1
            values = {} if error is not None else dict(zip(self.names, each.F, strict=True))
            violation = 0.0 if error is not None else float(calc_cv(each.G, each.H, each.config))
            violated = {"constraint_violation": violation} if len(each.G) + len(each.H) else {}
            judged = violation <= each.config.get("cv_eps", 0.0)
            self.run.candidate(
                name,
                score=next(iter(values.values()), None) if judged and not several else None,
                scores=values if judged and several else None,
                kpis={**({} if judged else values), **violated},
                status=None if judged else "rolled_back",
                generation=self.generation,
                insights=[] if error is None else [repr(error)],
                identity=f"{self.run.run_id}/{name}/{values}",
            )
            self.count += 1

    def survived(self, algorithm: Any) -> None:
        assert self.run is not None
        best = [each for each in listed(algorithm.opt) if each.FEAS.all()]
        scores = [float(each.F[0]) for each in listed(algorithm.pop) if math.isfinite(each.F[0])]
        self.run.progress(
            algorithm.n_gen,
            best=min((float(each.F[0]) for each in best), default=None) if len(self.names) == 1 else None,
            mean=math.fsum(scores) / len(scores) if scores and len(self.names) == 1 else None,
            evaluations=self.evaluations,
            front_size=len(best) if len(self.names) > 1 else None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error)

    @guarded
    def close(self, error: BaseException | None = None) -> None:
        """End the run, failed where an exception ended it."""
        if self.run is None and error is not None:
            self.begin(1)
        if self.run is not None:
            self.run.end(error, evaluations=self.evaluations)


def listed(found: Any) -> list[Any]:
    """Return solutions as a list: pymoo has None, one of them, or a population."""
    return [] if found is None else [found] if isinstance(found, Individual) else list(found)
