"""pymoo: threads, a front most of whose evaluations no hook shows, constraints, a failure, and two parts."""

from __future__ import annotations

import itertools
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import cloudpickle
import numpy

from evometrics.producers.recording import Recorder
from tests.frameworks.expected import Candidate, Expected

PACKAGES = ("pymoo", "cloudpickle")


def run(recorder: Recorder, folder: Path) -> Expected:
    from pymoo.algorithms.moo.moead import MOEAD
    from pymoo.algorithms.soo.nonconvex.ga import GA
    from pymoo.core.callback import Callback, CallbackCollection
    from pymoo.core.population import Population
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.optimize import minimize
    from pymoo.parallelization.starmap import StarmapParallelization
    from pymoo.util.ref_dirs import get_reference_directions

    from evometrics.producers.integrations.pymoo import EvometricsCallback

    class Bowl(ElementwiseProblem):  # type: ignore[misc]
        """Notes what it gives, by solution; raises at the evaluation `refused`."""

        def __init__(self, objectives: int = 1, refused: int = -1, **more: Any) -> None:
            super().__init__(n_var=3, n_obj=objectives, xl=-2.0, xu=3.0, **more)
            self.refused, self.given = refused, list[tuple[float, ...]]()

        def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            if len(self.given) == self.refused:
                raise ValueError("refused")
            out["F"] = tuple(float(numpy.sum((x - n) ** 2)) for n in range(self.n_obj))
            out["G"] = [1.0 - x[0]] * self.n_ieq_constr
            self.given.append(out["F"])

    class Witness(Callback):  # type: ignore[misc]
        """pymoo's own counts after each generation, and the values of its batch, in order."""

        def __init__(self) -> None:
            super().__init__()
            self.counts, self.batches = [0], list[tuple[float, ...]]()

        def _update(self, algorithm: Any) -> None:
            self.counts.append(algorithm.evaluator.n_eval)
            if isinstance(algorithm.off, Population):  # of MOEAD it is only the last solution
                self.batches += [tuple(each) for each in algorithm.off.get("F").tolist()]

    def candidates_of(run_id: str, counts: list[int], values: list[tuple[float, ...]]) -> list[Candidate]:
        """Return candidates; in a generation that has no values, they failed."""
        names = ["F"] if len(values[0]) == 1 else ["F_0", "F_1"]
        pairs = list(enumerate(itertools.pairwise(counts), 1))
        agents = [
            f"{run_id}/{generation}-{n}" for generation, (low, high) in pairs for n in range(high - low)
        ]
        kpis = [dict(zip(names, each, strict=True)) for each in values]
        return [Candidate(agent, kpis[n] if n < len(kpis) else {}) for n, agent in enumerate(agents)]

    candidates: list[Candidate] = []
    with ThreadPool(4) as pool:
        problem, witness = Bowl(elementwise_runner=StarmapParallelization(pool.starmap)), Witness()
        callback = CallbackCollection(EvometricsCallback(recorder=recorder, run_id="pymoo-threads"), witness)
        minimize(problem, GA(pop_size=20), ("n_gen", 10), seed=1, callback=callback)
        candidates += candidates_of("pymoo-threads", witness.counts, witness.batches)

    directions = get_reference_directions("uniform", 2, n_partitions=11)
    for run_id, problem, algorithm in (
        ("pymoo-front", Bowl(2), MOEAD(directions)),
        ("pymoo-constrained", Bowl(n_ieq_constr=1), GA(pop_size=20)),
        ("pymoo-failing", Bowl(refused=70), GA(pop_size=20)),
    ):
        witness, counted = Witness(), problem.given
        recording = EvometricsCallback(recorder=recorder, run_id=run_id)
        try:
            with recording:
                both = CallbackCollection(recording, witness)
                minimize(problem, algorithm, ("n_gen", 10), seed=1, callback=both)
        except ValueError:
            witness.counts.append(witness.counts[-1] + 20)  # those that were evaluated together
            counted = counted[: witness.counts[-2]]
        candidates += candidates_of(run_id, witness.counts, counted)

    algorithm, witness = GA(pop_size=20), Witness()
    recording = EvometricsCallback(recorder=recorder, run_id="pymoo-resumed")
    both = CallbackCollection(recording, witness)
    algorithm.setup(Bowl(), termination=("n_gen", 5), seed=1, callback=both)
    algorithm.run()
    algorithm = cloudpickle.loads(cloudpickle.dumps(algorithm))
    algorithm.termination = type(algorithm.termination)(10)
    algorithm.run()
    witness = algorithm.callback.callbacks[1]
    candidates += candidates_of("pymoo-resumed", witness.counts, algorithm.problem.given)
    runs = ("pymoo-threads", "pymoo-front", "pymoo-constrained", "pymoo-failing", "pymoo-resumed")
    return Expected(runs, ("F", "F_0", "F_1"), tuple(candidates))
