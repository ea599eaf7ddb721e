#!/usr/bin/env bash
# pymoo 0.6.2: a callback that takes each generation's solutions from `algorithm.off` misses most of them with several
# algorithms: MOEAD puts only the last solution of a generation there, PatternSearch (Hooke and Jeeves) the last of its
# moves, so nothing that a callback can reach has the others. Seen: "MOEAD: 17 of 72, PatternSearch: 25 of 62, GA: 120
# of 120". The way round: an `Evaluator` of one's own, which all evaluations go through.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pymoo==0.6.2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.algorithms.soo.nonconvex.pattern import PatternSearch
from pymoo.core.individual import Individual
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from pymoo.util.ref_dirs import get_reference_directions

directions = get_reference_directions("das-dennis", 2, n_partitions=11)
found = []
for algorithm, problem in (
    (MOEAD(directions), get_problem("zdt1", n_var=5)),
    (PatternSearch(), get_problem("sphere", n_var=4)),
    (GA(pop_size=20), get_problem("sphere", n_var=4)),
):
    seen = {}

    def look(algorithm):
        off = [algorithm.off] if isinstance(algorithm.off, Individual) else algorithm.off
        seen.update({id(each): each for each in off})

    result = minimize(problem, algorithm, ("n_gen", 6), seed=1, callback=look)
    found.append((type(algorithm).__name__, len(seen), result.algorithm.evaluator.n_eval))
print(", ".join(f"{name}: {seen} of {evaluated}" for name, seen, evaluated in found))
few = [name for name, seen, evaluated in found if seen < evaluated / 2]
sys.exit(few != ["MOEAD", "PatternSearch"])
PYTHON
