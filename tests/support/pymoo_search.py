"""Problems for pymoo whose values are noted, its algorithms, and the adapter, for the tests of that."""

from __future__ import annotations

from typing import Any

import numpy
from pymoo.algorithms.moo.moead import MOEAD as MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2 as NSGA2
from pymoo.algorithms.soo.nonconvex.cmaes import SimpleCMAES as SimpleCMAES
from pymoo.algorithms.soo.nonconvex.ga import GA as GA
from pymoo.algorithms.soo.nonconvex.nelder import NelderMead as NelderMead
from pymoo.algorithms.soo.nonconvex.pattern import PatternSearch as PatternSearch
from pymoo.constraints.eps import AdaptiveEpsilonConstraintHandling as AdaptiveEpsilonConstraintHandling
from pymoo.core.callback import CallbackCollection as CallbackCollection
from pymoo.core.problem import ElementwiseProblem as ElementwiseProblem
from pymoo.core.problem import Problem as Problem
from pymoo.optimize import minimize as minimize
from pymoo.parallelization.starmap import StarmapParallelization as StarmapParallelization
from pymoo.util.ref_dirs import get_reference_directions as get_reference_directions

from evometrics.producers.integrations.pymoo import EvometricsCallback as EvometricsCallback

#: By name, as a test takes them.
ALGORITHMS = {
    "GA": GA(pop_size=10),
    "NelderMead": NelderMead(),
    "PatternSearch": PatternSearch(),
    "SimpleCMAES": SimpleCMAES(),
    "NSGA2": NSGA2(pop_size=12),
    "MOEAD": MOEAD(get_reference_directions("uniform", 2, n_partitions=11)),
}


class Bowl(ElementwiseProblem):  # type: ignore[misc]
    """A problem that notes what it gives; `refused`: the number of the evaluation that raises."""

    def __init__(self, objectives: int = 1, *, refused: int = -1, constraints: int = 0, **more: Any) -> None:
        super().__init__(n_var=3, n_obj=objectives, n_ieq_constr=constraints, xl=-2.0, xu=3.0, **more)
        self.refused, self.given = refused, list[tuple[float, ...]]()

    def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if len(self.given) == self.refused:
            raise ValueError("refused")
        values = tuple(float(numpy.sum((x - n) ** 2)) for n in range(self.n_obj))
        self.given.append(values)
        out["F"] = values
        if self.n_ieq_constr:
            out["G"] = [1.0 - x[0]]
