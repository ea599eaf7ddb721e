"""pymoo's own algorithms with the adapter: what is recorded is what the evaluator counts."""

from __future__ import annotations

import math
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import cloudpickle
import numpy
import pytest

from tests.support.later import Later
from tests.support.recorded_runs import RecordedRuns, recorder_in

search: Any = Later("tests.support.pymoo_search")


@pytest.mark.parametrize("name", ["GA", "NelderMead", "PatternSearch", "SimpleCMAES"])
def test_every_evaluation_is_a_candidate(name: str, tmp_path: Path) -> None:
    problem, recorder, algorithm = search.Bowl(), recorder_in(tmp_path), search.ALGORITHMS[name]
    result = search.minimize(
        problem, algorithm, ("n_gen", 6), seed=1, callback=search.EvometricsCallback(recorder=recorder)
    )
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.by_name) == result.algorithm.evaluator.n_eval
    assert [(kpis["F"],) for kpis in found.scores.values()] == problem.given
    assert [each.iteration for each in found.progress] == [1, 2, 3, 4, 5, 6]
    assert {each.generation for each in found.candidates} == {1, 2, 3, 4, 5, 6}
    assert found.progress[-1].fitness == result.F[0]
    assert found.progress[-1].evaluations == result.algorithm.evaluator.n_eval
    [session] = found.sessions
    assert (session.status, session.direction) == ("succeeded", "minimize")
    assert session.post_kpis == {"F": result.F[0]}


@pytest.mark.parametrize("name", ["NSGA2", "MOEAD"])
def test_several_objectives_are_kpis_and_the_front_is_pymoo_s(name: str, tmp_path: Path) -> None:
    problem, recorder, algorithm = search.Bowl(2), recorder_in(tmp_path), search.ALGORITHMS[name]
    result = search.minimize(
        problem, algorithm, ("n_gen", 4), seed=1, callback=search.EvometricsCallback(recorder=recorder)
    )
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.by_name) == result.algorithm.evaluator.n_eval == 48
    assert [(kpis["F_0"], kpis["F_1"]) for kpis in found.scores.values()] == problem.given
    assert found.progress[-1].front_size == len(result.opt)
    [started] = found.started
    assert (started.objective, started.direction) == (None, "pareto")
    assert found.candidates[0].metadata["direction.F_1"] == "minimize"


def test_a_run_is_the_same_with_and_without_it(tmp_path: Path) -> None:
    without = search.minimize(search.Bowl(2), search.NSGA2(pop_size=12), ("n_gen", 5), seed=3)
    recorder = recorder_in(tmp_path)
    callback = search.EvometricsCallback(recorder=recorder)
    found = search.minimize(
        search.Bowl(2), search.NSGA2(pop_size=12), ("n_gen", 5), seed=3, callback=callback, save_history=True
    )
    recorder.close()
    assert numpy.array_equal(found.F, without.F)
    assert len(found.history) == 5


@pytest.mark.parametrize("adaptive", [False, True])
def test_what_violates_a_constraint_keeps_its_value_and_is_not_the_best(
    adaptive: bool, tmp_path: Path
) -> None:
    problem, recorder = search.Bowl(constraints=1), recorder_in(tmp_path)
    algorithm = (
        search.AdaptiveEpsilonConstraintHandling(search.GA(pop_size=10))
        if adaptive
        else search.GA(pop_size=10)
    )
    result = search.minimize(
        problem, algorithm, ("n_gen", 6), seed=1, callback=search.EvometricsCallback(recorder=recorder)
    )
    found = RecordedRuns.of(recorder, tmp_path)
    assert [(kpis["F"],) for kpis in found.scores.values()] == problem.given
    violating = [each for each in found.candidates if each.post_kpis["constraint_violation"] > 0]
    assert violating
    assert {each.status for each in violating} == {"rolled_back"}
    assert found.sessions[0].post_kpis == {"F": result.F[0]}
    assert found.sessions[0].evaluations == len(problem.given)


def test_an_evaluation_that_raises_is_recorded_and_ends_the_run(tmp_path: Path) -> None:
    problem, recorder = search.Bowl(refused=25), recorder_in(tmp_path)
    with pytest.raises(ValueError, match="refused"), search.EvometricsCallback(recorder=recorder) as callback:
        search.minimize(problem, search.GA(pop_size=10), ("n_gen", 6), seed=1, callback=callback)
    found = RecordedRuns.of(recorder, tmp_path)
    names = [f"{generation}-{each}" for generation in (1, 2, 3) for each in range(10)]
    assert list(found.by_name) == names
    assert [each.status == "failed" for each in found.candidates] == [False] * 20 + [True] * 10
    assert found.candidates[-1].insights == ["ValueError('refused')"]
    assert (found.sessions[0].status, found.sessions[0].evaluations) == ("failed", 20)


def test_a_first_generation_that_raises_leaves_the_run_s_failure(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    with pytest.raises(ValueError, match="refused"), search.EvometricsCallback(recorder=recorder) as callback:
        search.minimize(
            search.Bowl(refused=3), search.GA(pop_size=10), ("n_gen", 6), seed=1, callback=callback
        )
    found = RecordedRuns.of(recorder, tmp_path)
    assert (found.candidates, len(found.started)) == ([], 1)
    assert found.sessions[0].insights == ["error: ValueError: refused"]


def test_nan_is_no_score(tmp_path: Path) -> None:
    class Holed(search.Problem):  # type: ignore[misc]
        def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            out["F"] = numpy.where(x[:, :1] > 0, numpy.nan, x[:, :1])

    recorder = recorder_in(tmp_path)
    problem = Holed(n_var=1, n_obj=1, xl=-1.0, xu=1.0)
    search.minimize(
        problem,
        search.GA(pop_size=10),
        ("n_gen", 3),
        seed=1,
        callback=search.EvometricsCallback(recorder=recorder),
    )
    found = RecordedRuns.of(recorder, tmp_path)
    nan = [each for each in found.candidates if each.status == "failed"]
    assert len(found.by_name) == 30
    assert nan
    assert all(each.metadata["score"] == "nan" and not each.post_kpis for each in nan)
    assert all(math.isfinite(each.mean) for each in found.progress)


def test_evaluations_in_threads_are_all_recorded(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    with ThreadPool(4) as pool:
        problem = search.Bowl(elementwise_runner=search.StarmapParallelization(pool.starmap))
        search.minimize(
            problem,
            search.GA(pop_size=20),
            ("n_gen", 5),
            seed=1,
            callback=search.EvometricsCallback(recorder=recorder),
        )
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.by_name) == 100
    assert sorted((kpis["F"],) for kpis in found.scores.values()) == sorted(problem.given)


def test_a_callback_that_is_copied_or_within_a_collection_records_too(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    search.minimize(
        search.Bowl(),
        search.GA(pop_size=10, callback=search.EvometricsCallback(recorder=recorder)),
        ("n_gen", 2),
        seed=1,
    )
    both = search.CallbackCollection(search.EvometricsCallback(recorder=recorder))
    search.minimize(search.Bowl(), search.GA(pop_size=10), ("n_gen", 2), seed=1, callback=both)
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.candidates) == 40
    assert len({each.run_id for each in found.candidates}) == len(found.sessions) == 2


def test_two_runs_with_one_callback_are_two_runs(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    callback = search.EvometricsCallback(recorder=recorder, run_id="first")
    for _ in range(2):
        search.minimize(search.Bowl(), search.GA(pop_size=10), ("n_gen", 2), seed=1, callback=callback)
    found = RecordedRuns.of(recorder, tmp_path)
    assert [each.run_id == "first" for each in found.candidates] == [True] * 20 + [False] * 20
    assert [each.evaluations for each in found.sessions] == [20, 20]


def test_an_algorithm_that_goes_on_continues_its_run(tmp_path: Path) -> None:
    problem, recorder = search.Bowl(), recorder_in(tmp_path)
    algorithm = search.GA(pop_size=10)
    algorithm.setup(
        problem, termination=("n_gen", 3), seed=1, callback=search.EvometricsCallback(recorder=recorder)
    )
    search.minimize(problem, algorithm, copy_algorithm=False)
    state = cloudpickle.dumps(algorithm)
    recorder.close()
    continued = cloudpickle.loads(state)  # as in another process
    continued.termination = type(algorithm.termination)(6)
    result = search.minimize(problem, continued, copy_algorithm=True)
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.by_name) == result.algorithm.evaluator.n_eval == 60
    assert [(kpis["F"],) for kpis in found.scores.values()] == result.algorithm.problem.given
    assert [each.iteration for each in found.progress] == [1, 2, 3, 4, 5, 6]
    assert len({each.run_id for each in found.candidates}) == 1
    assert [each.evaluations for each in found.sessions] == [30, 60]
