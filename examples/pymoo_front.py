"""pymoo: a steel beam that is to be light and stiff: the front between both, within what the steel bears.

python examples/pymoo_front.py
"""

import sqlite3
from pathlib import Path

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.optimize import minimize

from evometrics.producers.integrations.pymoo import EvometricsCallback
from evometrics.producers.recording import Recorder

LOAD, SPAN = 12_000.0, 2.0  # newtons at the free end, metres
YOUNG, DENSITY, STRENGTH = 210e9, 7850.0, 160e6  # pascals, kg/m3, pascals


class Cantilever(Problem):
    """A hollow rectangular beam: width, height and wall, in metres."""

    def __init__(self) -> None:
        lowest, highest = [0.04, 0.06, 0.003], [0.15, 0.30, 0.015]
        super().__init__(n_var=3, n_obj=2, n_ieq_constr=1, xl=np.array(lowest), xu=np.array(highest))

    def _evaluate(self, x, out, *args, **kwargs):
        width, height, wall = x.T
        inner_width, inner_height = width - 2 * wall, height - 2 * wall
        area = width * height - inner_width * inner_height
        inertia = (width * height**3 - inner_width * inner_height**3) / 12
        mass = DENSITY * area * SPAN
        deflection = LOAD * SPAN**3 / (3 * YOUNG * inertia) * 1000  # millimetres
        stress = LOAD * SPAN * height / 2 / inertia
        out["F"] = np.column_stack([mass, deflection])
        out["G"] = stress / STRENGTH - 1


def main() -> None:
    with Recorder() as recorder:
        callback = EvometricsCallback(recorder=recorder)
        result = minimize(Cantilever(), NSGA2(pop_size=40), ("n_gen", 30), seed=2, callback=callback)
    lightest, stiffest = result.F[result.F[:, 0].argmin()], result.F[result.F[:, 1].argmin()]
    print(f"front: {len(result.F)} beams")
    print(f"  from {lightest[0]:.1f} kg that bends {lightest[1]:.1f} mm")
    print(f"  to   {stiffest[0]:.1f} kg that bends {stiffest[1]:.1f} mm")
    print(f"evaluated: {result.algorithm.evaluator.n_eval} beams in {result.algorithm.n_gen - 1} generations")
    show(recorder.run_id)


def show(run_id: str) -> None:
    """Print what was recorded of the run, from the rows on this node."""
    if not Path("evolution_metrics.db").exists():
        print(f"recorded: sent to your broker, with run_id {run_id}")
        return
    sql = """
        SELECT generation, count(*), sum(success) FROM evolution_metrics
        WHERE agent_id LIKE ? || '/%' GROUP BY generation ORDER BY generation
    """
    with sqlite3.connect("evolution_metrics.db") as history:
        rows = history.execute(sql, [run_id]).fetchall()
    print(f"recorded: {sum(count for _, count, _ in rows)} candidates, run {run_id}")
    for generation, count, fronts in (rows[0], rows[len(rows) // 2], rows[-1]):
        print(f"  generation {generation:>2}: {count} beams, {fronts} of which no earlier one dominates")


if __name__ == "__main__":
    main()
