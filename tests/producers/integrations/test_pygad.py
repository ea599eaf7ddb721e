"""PyGAD with the adapter: what is recorded is what its fitness function was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest

from evometrics.producers.integrations.pygad import EvometricsRecorder
from tests.support.later import Later
from tests.support.recorded_runs import RecordedRuns, recorder_in

pygad: Any = Later("pygad")


def fitness(ga: Any, solution: Any, index: Any) -> float:
    """Of one solution."""
    return float(1.0 / (0.1 + numpy.abs(solution - 0.3).sum()))


def both(ga: Any, solution: Any, index: Any) -> list[float]:
    """Of one solution, for two objectives."""
    return [float(solution.sum()), float(-(solution**2).sum())]


def batch(ga: Any, solutions: Any, indices: Any) -> list[float]:
    """Of a batch of solutions."""
    return [fitness(ga, solution, None) for solution in solutions]


def unwilling(ga: Any, solution: Any, index: Any) -> float:
    """Of one solution, except for the seventh of a population after the first."""
    if ga.generations_completed == 1 and index == 6:
        raise ValueError("refused")
    return fitness(ga, solution, index)


def ga_of(function: Any = fitness, **more: Any) -> pygad.GA:
    given: dict[str, Any] = {"num_generations": 6, "num_parents_mating": 4, "sol_per_pop": 10, "num_genes": 3}
    given |= {"init_range_low": -1, "init_range_high": 1, "random_seed": 5, "suppress_warnings": True}
    return pygad.GA(fitness_func=function, **given | more)


KINDS: dict[str, dict[str, Any]] = {
    "elitism": {},
    "kept parents": {"keep_elitism": 0},
    "two kept parents": {"keep_elitism": 0, "keep_parents": 2},
    "nothing kept": {"keep_elitism": 0, "keep_parents": 0},
    "saved solutions": {"save_solutions": True, "gene_type": int, "init_range_high": 3},
    "adaptive": {"mutation_type": "adaptive", "mutation_num_genes": (2, 1)},
    "batches": {"function": batch, "fitness_batch_size": 4},
    "threads": {"parallel_processing": ["thread", 4]},
    "processes": {"parallel_processing": ["process", 2], "num_generations": 2},
    "copies": {"crossover_type": None},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_evaluation_is_a_candidate(kind: str, tmp_path: Path) -> None:
    recorder, ga = recorder_in(tmp_path), ga_of(**KINDS[kind])
    without = ga_of(**KINDS[kind])
    without.run()
    with EvometricsRecorder(ga, recorder=recorder):
        ga.run()
    assert numpy.array_equal(ga.population, without.population)
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.by_name) == ga.num_fitness_evaluations == without.num_fitness_evaluations
    last = ga.generations_completed
    assert [each.iteration for each in found.progress] == list(range(last + 1))
    assert [each.fitness for each in found.progress] == ga.best_solutions_fitness
    assert found.progress[-1].mean == ga.last_generation_fitness.mean()
    for row, value in enumerate(ga.last_generation_fitness):
        assert found.scores.get(f"{last}-{row}", {"fitness": value}) == {"fitness": value}
    [session] = found.sessions
    assert (session.status, session.direction) == ("succeeded", "maximize")
    assert session.evaluations == ga.num_fitness_evaluations


def test_scores_are_the_fitness_to_the_bit(tmp_path: Path) -> None:
    given: list[float] = []

    def noted(ga: Any, solution: Any, index: Any) -> float:
        given.append(fitness(ga, solution, index))
        return given[-1]

    recorder, ga = recorder_in(tmp_path), ga_of(noted)
    with EvometricsRecorder(ga, recorder=recorder):
        ga.run()
    found = RecordedRuns.of(recorder, tmp_path)
    assert [kpis["fitness"] for kpis in found.scores.values()] == given
    assert all(each.duration_seconds > 0 for each in found.candidates)


@pytest.mark.parametrize("crossover", ["single_point", "two_points", "uniform", "scattered", "sbx"])
def test_parents_are_those_whose_genes_a_child_has(crossover: str, tmp_path: Path) -> None:
    genes: dict[str, Any] = {}

    def noted(ga: Any, solution: Any, index: int) -> float:
        genes[f"{ga.generations_completed}-{index}"] = solution.copy()
        return fitness(ga, solution, index)

    recorder = recorder_in(tmp_path)
    ga = ga_of(noted, crossover_type=crossover, mutation_type=None, gene_type=[float, 6])
    with EvometricsRecorder(ga, recorder=recorder):
        ga.run()
    found = RecordedRuns.of(recorder, tmp_path)
    children = [name for name, parents in found.parents.items() if parents]
    assert len(children) == len(found.by_name) - 10
    for child in children:
        first, *second = (genes[parent] for parent in found.parents[child])
        low, high = numpy.minimum(first, *second or [first]), numpy.maximum(first, *second or [first])
        spread = (high - low) * (10 if crossover == "sbx" else 0)  # which goes beyond both
        assert numpy.all((genes[child] >= low - spread) & (genes[child] <= high + spread))
        if crossover != "sbx":
            assert numpy.all((genes[child] == low) | (genes[child] == high))


def test_parents_that_are_drawn_are_not_guessed(tmp_path: Path) -> None:
    recorder, ga = recorder_in(tmp_path), ga_of(crossover_probability=0.5)
    with EvometricsRecorder(ga, recorder=recorder):
        ga.run()
    assert set(RecordedRuns.of(recorder, tmp_path).parents.values()) == {()}


def test_several_objectives_are_kpis(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    ga = ga_of(both, parent_selection_type="nsga2")
    with EvometricsRecorder(ga, recorder=recorder):
        ga.run()
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.by_name) == ga.num_fitness_evaluations
    assert all(kpis.keys() == {"fitness_0", "fitness_1"} for kpis in found.scores.values())
    [fronts] = ga.non_dominated_sorting(ga.last_generation_fitness)[:1]
    assert found.progress[-1].front_size == len(fronts[0])
    assert (found.started[0].objective, found.started[0].direction) == (None, "pareto")


def test_a_population_that_nsga3_enlarges_is_recorded_once(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    ga = ga_of(both, parent_selection_type="nsga3", nsga3_num_divisions=14, num_generations=2)
    with EvometricsRecorder(ga, recorder=recorder):
        ga.run()
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(ga.population) == 15
    assert [name for name in found.by_name if name.startswith("0-")] == [f"0-{row}" for row in range(15)]
    assert len(found.by_name) == ga.num_fitness_evaluations - 10


def test_your_own_callbacks_are_called_and_may_stop_the_run(tmp_path: Path) -> None:
    called: list[str] = []

    def stop(ga: Any) -> str:
        called.append("generation")
        return "stop"

    recorder = recorder_in(tmp_path)
    ga = ga_of(on_start=lambda ga: called.append("start"), on_generation=stop)
    with EvometricsRecorder(ga, recorder=recorder):
        ga.run()
    found = RecordedRuns.of(recorder, tmp_path)
    assert called == ["start", "generation"]
    assert [each.iteration for each in found.progress] == [0, 1]


@pytest.mark.parametrize("parallel", [None, ["thread", 4]])
def test_an_evaluation_that_raises_is_recorded_and_ends_the_run(parallel: Any, tmp_path: Path) -> None:
    recorder, ga = recorder_in(tmp_path), ga_of(unwilling, parallel_processing=parallel)
    with pytest.raises(ValueError, match="refused"), EvometricsRecorder(ga, recorder=recorder):
        ga.run()
    found = RecordedRuns.of(recorder, tmp_path)
    assert list(found.by_name)[10:] == [f"1-{row}" for row in range(1, 7)]
    failed = found.by_name["1-6"]
    assert (failed.status, failed.insights) == ("failed", ["ValueError('refused')"])
    assert len(found.parents["1-6"]) == 2
    [session] = found.sessions
    assert (session.status, session.evaluations) == ("failed", 15)


def test_nan_is_no_score_and_ends_the_run(tmp_path: Path) -> None:
    recorder, ga = (
        recorder_in(tmp_path),
        ga_of(lambda ga, solution, index: float("nan") if index == 3 else 1.0),
    )
    with pytest.raises(ValueError, match="finite"), EvometricsRecorder(ga, recorder=recorder):
        ga.run()
    found = RecordedRuns.of(recorder, tmp_path)
    assert found.by_name["0-3"].status == "failed"
    assert found.by_name["0-3"].metadata["score"] == "nan"
    assert len(found.by_name) == 4
    assert found.sessions[0].status == "failed"


@pytest.mark.parametrize("again", [True, False], ids=["given a recorder again", "as it was loaded"])
def test_a_second_run_and_a_loaded_one_continue_the_first(tmp_path: Path, again: bool) -> None:
    recorder, ga = recorder_in(tmp_path), ga_of(num_generations=3)
    EvometricsRecorder(ga, recorder=recorder)
    ga.run()
    ga.run()
    ga.save(str(tmp_path / "saved"))
    recorder.close()
    loaded = pygad.load(str(tmp_path / "saved"))
    if again:
        with EvometricsRecorder(loaded, recorder=recorder):
            loaded.run()
    else:
        loaded.run()
    found = RecordedRuns.of(recorder, tmp_path)
    assert [each.iteration for each in found.progress] == list(range(10))
    generations = [each.generation for each in found.candidates]
    assert generations == [0] * 10 + [n for n in range(1, 10) for _ in range(9)]
    assert len(found.by_name) == 10 + 9 * 9
    assert len({each.run_id for each in found.candidates}) == 1
    assert len(found.sessions) == 3
    named = {parent for parents in found.parents.values() for parent in parents}
    assert named <= found.by_name.keys()
    assert {len(found.parents[name]) for name in found.by_name if not name.startswith("0-")} <= {1, 2}
