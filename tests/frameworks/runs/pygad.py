"""PyGAD: elitism and kept parents, threads, processes, several objectives, a failure, and runs that go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from evometrics.producers.recording import Recorder
from tests.frameworks.expected import Candidate, Expected

PACKAGES = ("pygad",)


class Fitness:
    """Notes what PyGAD asks for, by generation and row; raises at `refused`."""

    def __init__(self, objectives: int = 1, refused: tuple[int, int] | None = None) -> None:
        self.objectives, self.refused = objectives, refused
        self.given: dict[tuple[int, int], list[float]] = {}
        self.parents: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {}
        self.rows: dict[int, list[tuple[int, int]]] = {}

    def __call__(self, ga: Any, solution: Any, row: int) -> Any:
        place = (ga.generations_completed, row)
        if place == self.refused:
            self.given[place] = []
            raise ValueError("refused")
        value = float(1.0 / (0.1 + numpy.abs(solution - 0.3).sum()))
        values = [value, float(-(solution**2).sum())][: self.objectives]
        self.given.setdefault(place, values)
        return values if self.objectives > 1 else value

    def settle(self, ga: Any) -> None:
        """After a generation: which solution stands in which row, and whose child it is."""
        generation, selected = ga.generations_completed, ga.last_generation_parents_indices
        before = self.rows.setdefault(
            generation - 1, [(generation - 1, row) for row in range(len(ga.population))]
        )
        kept = ga.last_generation_elitism_indices if ga.keep_elitism else selected
        first = len(ga.population) - ga.num_offspring
        rows = [before[index] for index in kept[:first]]
        for child in range(ga.num_offspring):
            place = (generation, first + child)
            both = [before[selected[(child + n) % len(selected)]] for n in (0, 1)]
            self.parents[place] = tuple(dict.fromkeys(both))
            rows.append(place)
        self.rows[generation] = rows

    def candidates(self, run_id: str) -> list[Candidate]:
        names = ["fitness"] if self.objectives == 1 else ["fitness_0", "fitness_1"]
        return [
            Candidate(
                f"{run_id}/{place[0]}-{place[1]}",
                dict(zip(names, values, strict=False)),
                tuple(f"{run_id}/{g}-{row}" for g, row in self.parents.get(place, ())),
            )
            for place, values in self.given.items()
        ]


def run(recorder: Recorder, folder: Path) -> Expected:
    import pygad

    from evometrics.producers.integrations.pygad import EvometricsRecorder

    kinds: dict[str, dict[str, Any]] = {
        "pygad-elitism": {},
        "pygad-parents": {"keep_elitism": 0},
        "pygad-threads": {"parallel_processing": ["thread", 4]},
        "pygad-front": {"parent_selection_type": "nsga2"},
        "pygad-resumed": {},
    }
    candidates: list[Candidate] = []
    for run_id, options in kinds.items():
        fitness = Fitness(2 if run_id == "pygad-front" else 1)
        ga = pygad.GA(
            num_generations=8,
            num_parents_mating=5,
            sol_per_pop=20,
            num_genes=4,
            fitness_func=fitness,
            on_generation=fitness.settle,
            random_seed=3,
            suppress_warnings=True,
            **options,
        )
        with EvometricsRecorder(ga, recorder=recorder, run_id=run_id):
            ga.run()
        if run_id != "pygad-resumed":
            assert ga.num_fitness_evaluations == len(fitness.given)
        else:
            ga.run()
            ga.save(str(folder / "saved"))
            ga = pygad.load(str(folder / "saved"))
            ga.run()
            fitness = ga.fitness_func
        candidates += fitness.candidates(run_id)
    return Expected(tuple(kinds), ("fitness", "fitness_0", "fitness_1"), tuple(candidates))
