"""DEAP's own algorithms with the adapter: what is recorded is what the logbook and `tools.History` say."""

from __future__ import annotations

import functools
import math
import multiprocessing
import pickle
import random
from collections.abc import Callable, Iterator
from multiprocessing.pool import RemoteTraceback  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any

import numpy
import pytest
from deap import algorithms, base, cma, creator, tools

from evometrics.producers.integrations.deap import EvometricsStatistics
from tests.support.recorded_runs import RecordedRuns, recorder_in

creator.create("Highest", base.Fitness, weights=(1.0,))
creator.create("Bits", list, fitness=creator.Highest)
creator.create("Lowest", base.Fitness, weights=(-0.1,))
creator.create("Point", list, fitness=creator.Lowest)
creator.create("Both", base.Fitness, weights=(1.0, -1.0))
creator.create("Pair", list, fitness=creator.Both)


def tenths(bits: list[float]) -> tuple[float]:
    return (sum(bits) * 0.1,)


def unwilling(bits: list[float]) -> tuple[float]:
    if sum(bits) == 8:
        raise ValueError("eight is refused")
    return tenths(bits)


def toolbox_of(individual: Any = creator.Bits, evaluate: Callable[..., Any] = tenths) -> base.Toolbox:
    random.seed(7)
    toolbox = base.Toolbox()
    toolbox.register("individual", tools.initRepeat, individual, lambda: random.randint(0, 1), 12)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("evaluate", evaluate)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.1)
    toolbox.register("select", tools.selTournament, tournsize=3)
    return toolbox


simple = functools.partial(algorithms.eaSimple, cxpb=0.5, mutpb=0.3, ngen=5, verbose=False)
plus = functools.partial(
    algorithms.eaMuPlusLambda, mu=10, lambda_=14, cxpb=0.5, mutpb=0.3, ngen=5, verbose=False
)
comma = functools.partial(
    algorithms.eaMuCommaLambda, mu=10, lambda_=14, cxpb=0.5, mutpb=0.3, ngen=5, verbose=False
)


@pytest.mark.parametrize("algorithm", [simple, plus, comma])
def test_every_evaluation_of_the_logbook_is_a_candidate(algorithm: Any, tmp_path: Path) -> None:
    evaluated: list[float] = []

    def noted(bits: list[float]) -> tuple[float]:
        evaluated.append(tenths(bits)[0])
        return tenths(bits)

    toolbox, recorder = toolbox_of(evaluate=noted), recorder_in(tmp_path)
    own = tools.Statistics(lambda each: each.fitness.values[0])
    own.register("worst", min)
    with EvometricsStatistics(toolbox, own, recorder=recorder) as stats:
        _, logbook = algorithm(toolbox.population(n=10), toolbox, stats=stats)
    found = RecordedRuns.of(recorder, tmp_path)
    nevals = logbook.select("nevals")
    names = [f"{generation}-{each}" for generation, count in enumerate(nevals) for each in range(count)]
    assert list(found.by_name) == names
    assert [kpis["fitness"] for kpis in found.scores.values()] == evaluated
    assert [each.generation for each in found.candidates] == [int(name.split("-")[0]) for name in names]
    assert [each.iteration for each in found.progress] == logbook.select("gen")
    assert [each.evaluations for each in found.progress] == numpy.cumsum(nevals).tolist()
    assert [each.extras for each in found.progress] == [{"worst": each} for each in logbook.select("worst")]
    assert {each.strategy_used for each in found.candidates} >= {"", "cxTwoPoint", "mutFlipBit"}
    [session] = found.sessions
    assert (session.status, session.post_kpis) == ("succeeded", {"fitness": max(evaluated)})
    assert (session.evaluations, session.direction) == (len(evaluated), "maximize")


def test_parents_are_those_of_deap_s_own_history(tmp_path: Path) -> None:
    history = tools.History()
    evaluated: list[int] = []

    def noted(bits: Any) -> tuple[float]:
        evaluated.append(bits.history_index)
        return tenths(bits)

    toolbox, recorder = toolbox_of(evaluate=noted), recorder_in(tmp_path)
    toolbox.decorate("mate", history.decorator)
    toolbox.decorate("mutate", history.decorator)
    population = toolbox.population(n=10)
    history.update(population)
    with EvometricsStatistics(toolbox, recorder=recorder) as stats:
        simple(population, toolbox, stats=stats)
    found = RecordedRuns.of(recorder, tmp_path)
    name_of = dict(zip(evaluated, found.by_name, strict=True))

    def ancestors(index: int) -> Iterator[str]:
        for parent in history.genealogy_tree[index]:
            if parent in name_of:
                yield name_of[parent]
            else:  # a child of `mate` that `mutate` changed before it was evaluated
                yield from ancestors(parent)

    for index, name in name_of.items():
        assert set(found.parents[name]) == set(ancestors(index))
    assert {len(parents) for parents in found.parents.values()} == {0, 1, 2}
    assert {each.strategy_used for each in found.candidates} == {"", "mate", "mutate", "mate+mutate"}


def test_a_run_is_the_same_with_and_without_it(tmp_path: Path) -> None:
    toolbox = toolbox_of()
    without = simple(toolbox.population(n=10), toolbox)
    toolbox, recorder = toolbox_of(), recorder_in(tmp_path)
    before = vars(toolbox).copy()
    with EvometricsStatistics(toolbox, recorder=recorder) as stats:
        found = simple(toolbox.population(n=10), toolbox, stats=stats)
    recorder.close()
    assert found == without
    assert vars(toolbox) == before


def test_scores_are_what_the_evaluation_gave_and_not_what_the_weights_made_of_it(tmp_path: Path) -> None:
    toolbox = toolbox_of(creator.Point, lambda point: (0.05 + sum(point),))
    recorder = recorder_in(tmp_path)
    with EvometricsStatistics(toolbox, recorder=recorder, objective="error") as stats:
        population, _ = simple(toolbox.population(n=10), toolbox, stats=stats)
    found = RecordedRuns.of(recorder, tmp_path)
    assert {kpis["error"] for kpis in found.scores.values()} <= {0.05 + n for n in range(13)}
    assert {each.direction for each in found.candidates} == {"minimize"}
    assert found.progress[-1].fitness == min(each.fitness.values[0] for each in population)


def test_several_objectives_are_kpis_and_the_front_is_deap_s(tmp_path: Path) -> None:
    toolbox = toolbox_of(creator.Pair, lambda pair: (float(sum(pair)), float(sum(pair[:6]))))
    toolbox.register("select", tools.selNSGA2)
    recorder = recorder_in(tmp_path)
    own = tools.Statistics()
    own.register("front", lambda all_: len(tools.sortNondominated(all_, len(all_), True)[0]))
    with EvometricsStatistics(toolbox, own, recorder=recorder) as stats:
        _, logbook = plus(toolbox.population(n=10), toolbox, stats=stats)
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.candidates) == sum(logbook.select("nevals"))
    assert all(kpis.keys() == {"fitness_0", "fitness_1"} for kpis in found.scores.values())
    assert [each.front_size for each in found.progress] == logbook.select("front")
    [started] = found.started
    assert (started.objective, started.direction) == (None, "pareto")
    assert found.candidates[0].metadata["direction.fitness_1"] == "minimize"


def test_an_evaluation_that_raises_is_recorded_and_ends_the_run(tmp_path: Path) -> None:
    toolbox, recorder = toolbox_of(evaluate=unwilling), recorder_in(tmp_path)
    population = toolbox.population(n=10)
    refused = [sum(each) for each in population].index(8)
    with pytest.raises(ValueError, match="eight"), EvometricsStatistics(toolbox, recorder=recorder) as stats:
        simple(population, toolbox, stats=stats)
    found = RecordedRuns.of(recorder, tmp_path)
    assert list(found.by_name) == [f"0-{each}" for each in range(refused + 1)]
    failed = found.candidates[-1]
    assert (failed.status, failed.insights) == ("failed", ["ValueError('eight is refused')"])
    assert failed.post_kpis == {}
    assert found.sessions[0].status == "failed"
    assert found.sessions[0].insights == ["error: ValueError: eight is refused"]


def test_a_pool_s_batch_is_recorded_to_its_end(tmp_path: Path) -> None:
    toolbox, recorder = toolbox_of(evaluate=unwilling), recorder_in(tmp_path)
    population = toolbox.population(n=10)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        toolbox.register("map", pool.map)
        stats = EvometricsStatistics(toolbox, recorder=recorder)
        with pytest.raises(ValueError, match="eight") as raised, stats:
            simple(population, toolbox, stats=stats)
    assert isinstance(raised.value.__cause__, RemoteTraceback)
    found = RecordedRuns.of(recorder, tmp_path)
    assert [(each.status == "failed") for each in found.candidates] == [sum(each) == 8 for each in population]
    assert all(each.duration_seconds > 0 for each in found.candidates)


def test_nan_is_no_score(tmp_path: Path) -> None:
    toolbox = toolbox_of(evaluate=lambda bits: (math.nan if bits[0] else float(sum(bits)),))
    recorder = recorder_in(tmp_path)
    with EvometricsStatistics(toolbox, recorder=recorder) as stats:
        _, logbook = simple(toolbox.population(n=10), toolbox, stats=stats)
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.candidates) == sum(logbook.select("nevals"))
    nan = [each for each in found.candidates if each.metadata.get("score") == "nan"]
    assert nan
    assert all(each.status == "failed" and not each.post_kpis for each in nan)
    assert all(math.isfinite(each.fitness) for each in found.progress)


def test_a_pickled_population_continues_its_run(tmp_path: Path) -> None:
    nevals, state = 0, b""
    for part in range(2):
        toolbox, recorder = toolbox_of(), recorder_in(tmp_path)
        population = pickle.loads(state) if state else toolbox.population(n=10)
        with EvometricsStatistics(toolbox, recorder=recorder, run_id="night") as stats:
            population, logbook = plus(population, toolbox, stats=stats)
        nevals += sum(logbook.select("nevals"))
        found, state = RecordedRuns.of(recorder, tmp_path), pickle.dumps(population)
        assert len(found.by_name) == nevals
        assert [each.iteration for each in found.progress] == list(range(6 + 5 * part))
    assert {parent for parents in found.parents.values() for parent in parents} <= found.by_name.keys()
    assert {len(found.parents[name]) for name in found.by_name if name.startswith("6-")} <= {1, 2}


def test_what_a_strategy_generates_has_no_parents(tmp_path: Path) -> None:
    toolbox = toolbox_of(creator.Point, lambda point: (sum(each * each for each in point),))
    numpy.random.seed(1)
    strategy = cma.Strategy(centroid=[3.0] * 4, sigma=1.0, lambda_=8)
    toolbox.register("generate", strategy.generate, creator.Point)
    toolbox.register("update", strategy.update)
    recorder = recorder_in(tmp_path)
    with EvometricsStatistics(toolbox, recorder=recorder) as stats:
        _, logbook = algorithms.eaGenerateUpdate(toolbox, ngen=5, stats=stats, verbose=False)
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.by_name) == sum(logbook.select("nevals")) == 40
    assert [each.iteration for each in found.progress] == logbook.select("gen")
    assert set(found.parents.values()) == {()}


def test_a_map_that_was_registered_afterwards_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    toolbox, recorder = toolbox_of(), recorder_in(tmp_path)
    with EvometricsStatistics(toolbox, recorder=recorder) as stats:
        toolbox.register("map", map)
        simple(toolbox.population(n=10), toolbox, stats=stats)
    found = RecordedRuns.of(recorder, tmp_path)
    assert "generation 0 was not evaluated by toolbox.map" in caplog.text
    assert [each.iteration for each in found.progress] == [0, 1, 2, 3, 4, 5]
    assert found.candidates == []
