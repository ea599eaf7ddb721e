"""DEAP: which of four machines each of 30 jobs goes to, so that the last one ends as early as possible.

python examples/deap_schedule.py
"""

import random
import sqlite3
from pathlib import Path

from deap import algorithms, base, creator, tools

from evometrics.producers.integrations.deap import EvometricsStatistics
from evometrics.producers.recording import Recorder

MACHINES = 4
random.seed(11)
MINUTES = [random.randint(5, 90) for _ in range(30)]

creator.create("Makespan", base.Fitness, weights=(-1.0,))
creator.create("Plan", list, fitness=creator.Makespan)


def makespan(plan: list[int]) -> tuple[float]:
    """Return when the last machine is ready, in minutes."""
    loads = [0.0] * MACHINES
    for machine, minutes in zip(plan, MINUTES, strict=True):
        loads[machine] += minutes
    return (max(loads),)


toolbox = base.Toolbox()
toolbox.register("machine", random.randrange, MACHINES)
toolbox.register("plan", tools.initRepeat, creator.Plan, toolbox.machine, len(MINUTES))
toolbox.register("population", tools.initRepeat, list, toolbox.plan)
toolbox.register("evaluate", makespan)
toolbox.register("mate", tools.cxUniform, indpb=0.5)
toolbox.register("mutate", tools.mutUniformInt, low=0, up=MACHINES - 1, indpb=0.05)
toolbox.register("select", tools.selTournament, tournsize=3)


def main() -> None:
    best = tools.HallOfFame(1)
    recorder = Recorder()
    with recorder, EvometricsStatistics(toolbox, recorder=recorder, objective="makespan") as stats:
        population = toolbox.population(n=40)
        _, logbook = algorithms.eaMuPlusLambda(
            population, toolbox, 40, 60, 0.5, 0.4, ngen=30, stats=stats, halloffame=best, verbose=False
        )
    ideal = sum(MINUTES) / MACHINES
    print(f"best plan: {best[0].fitness.values[0]:.0f} minutes (no plan can be below {ideal:.1f})")
    print(f"evaluated: {sum(logbook.select('nevals'))} plans in {len(logbook)} generations")
    show(recorder.run_id)


def show(run_id: str) -> None:
    """Print what each operator gave, from the rows on this node."""
    if not Path("evolution_metrics.db").exists():
        print(f"recorded: sent to your broker, with run_id {run_id}")
        return
    sql = """
        SELECT strategy_used, count(*), sum(success), max(improvement_delta)
        FROM evolution_metrics WHERE agent_id LIKE ? || '/%' GROUP BY strategy_used ORDER BY 2 DESC
    """
    with sqlite3.connect("evolution_metrics.db") as history:
        rows = history.execute(sql, [run_id]).fetchall()
    print(f"recorded: {sum(count for _, count, *_ in rows)} candidates, run {run_id}")
    for operator, count, better, gain in rows:
        name = operator or "(initial population)"
        print(f"  {name:<22} {count:>4}, {better:>3} better than their parents, by {gain or 0:.0f} at most")


if __name__ == "__main__":
    main()
