"""Optuna: pruned, failed and infinite trials, threads, processes, two objectives, a resumed study."""

from __future__ import annotations

import math
import multiprocessing
from pathlib import Path
from typing import Any

from evometrics.producers.recording import Recorder
from tests.frameworks.expected import Candidate, Expected

PACKAGES = ("optuna",)


def bowl(trial: Any) -> float:
    """Of one objective; some trials are pruned, raise what is caught, or give no number."""
    import optuna

    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
    for step in range(3):
        trial.report(x * x + y * y + 2 - step, step)
        if trial.number % 7 == 3 and step == 1:
            raise optuna.TrialPruned
    if trial.number % 11 == 5:
        raise ValueError("no such point")
    return math.nan if trial.number % 13 == 6 else math.inf if trial.number % 13 == 7 else x * x + y * y


def both(trial: Any) -> tuple[float, float]:
    """Of two objectives."""
    x = trial.suggest_float("x", -2, 2)
    return x * x, (x - 1) ** 2


def uncaught(trial: Any) -> float:
    """Raises in the eighth trial what nobody catches."""
    if trial.number == 7:
        raise RuntimeError("of which Optuna tells no callback")
    return trial.suggest_float("x", 0, 1)


def process(url: str, name: str, callback: Any) -> None:
    """Run trials of a study that other processes run, too."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    study = optuna.load_study(study_name=name, storage=url)
    study.optimize(bowl, n_trials=15, catch=(ValueError,), callbacks=[callback])


def run(recorder: Recorder, folder: Path) -> Expected:
    import optuna

    from evometrics.producers.integrations.optuna import EvometricsCallback

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    url = f"sqlite:///{folder / 'studies.db'}"
    runs, candidates = list[str](), list[Candidate]()

    def expect(run_id: str, study: Any) -> None:
        runs.append(run_id)
        for trial in study.get_trials(deepcopy=False):
            complete = trial.state.name == "COMPLETE" and all(map(math.isfinite, trial.values))
            values = trial.values if complete else []
            names = ("value",) if len(study.directions) == 1 else ("values_0", "values_1")
            kpis = dict(zip(names, values, strict=True)) if values else {}
            parents = parents_of(study, trial) if len(study.directions) > 1 else ()
            candidates.append(
                Candidate(f"{run_id}/{trial.number}", kpis, tuple(f"{run_id}/{number}" for number in parents))
            )

    def optimize(run_id: str, study: Any, objective: Any, trials: int, **more: Any) -> None:
        callback = EvometricsCallback(recorder, run_id=run_id)
        study.optimize(objective, n_trials=trials, callbacks=[callback], **more)
        callback.close()

    single = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    optimize("optuna-single", single, bowl, 60, catch=(ValueError,))
    expect("optuna-single", single)
    threads = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    optimize("optuna-threads", threads, bowl, 200, catch=(ValueError,), n_jobs=4)
    expect("optuna-threads", threads)
    genetic = optuna.create_study(
        directions=["minimize", "minimize"], sampler=optuna.samplers.NSGAIISampler(population_size=10, seed=3)
    )
    optimize("optuna-genetic", genetic, both, 40)
    expect("optuna-genetic", genetic)
    broken = optuna.create_study()
    try:
        optimize("optuna-uncaught", broken, uncaught, 20)
    except RuntimeError:
        optimize("optuna-uncaught", broken, uncaught, 5)
    expect("optuna-uncaught", broken)
    for _ in range(2):  # the second time it is resumed
        resumed = optuna.create_study(study_name="resumed", storage=url, load_if_exists=True)
        optimize("optuna-resumed", resumed, bowl, 25, catch=(ValueError,))
    expect("optuna-resumed", resumed)
    shared = optuna.create_study(study_name="shared", storage=url)
    callback = EvometricsCallback(recorder, run_id="optuna-processes")
    started = multiprocessing.get_context("spawn")
    each = [started.Process(target=process, args=(url, "shared", callback)) for _ in range(4)]
    for one in each:
        one.start()
    for one in each:
        one.join()
    assert [one.exitcode for one in each] == [0] * 4
    expect("optuna-processes", shared)
    return Expected(tuple(runs), ("value", "values_0", "values_1"), tuple(candidates))


def parents_of(study: Any, trial: Any) -> tuple[int, ...]:
    """Return the numbers of the trials that a genetic sampler made a trial from, in its order."""
    generation = trial.system_attrs["NSGAIISampler:generation"]
    kept = study._storage.get_study_system_attrs(study._study_id).get(
        f"NSGAIISampler:parent:{generation}", []
    )
    parents = {each._trial_id: each.number for each in study.sampler.get_parent_population(study, generation)}
    return tuple(parents[one] for one in kept)
