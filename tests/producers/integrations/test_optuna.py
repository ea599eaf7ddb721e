"""Optuna's trials as it keeps them are what is recorded: each once, with its value to the bit."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evometrics.producers import Recorder
from evometrics.producers.integrations.optuna import EvometricsCallback
from evometrics.schemas.events import EvolutionCompleted
from tests.support.history_of import completed
from tests.support.later import Later

if TYPE_CHECKING:
    import optuna
    from optuna.trial import Trial
else:
    optuna = Later("optuna")


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recorded.db"


@pytest.fixture
def callback(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EvometricsCallback]:
    monkeypatch.delenv("EVOMETRICS_KAFKA_BROKERS", raising=False)
    with Recorder({"db_path": str(file)}) as recorder:
        yield EvometricsCallback(recorder)
        assert recorder.lost == 0


def trials_in(file: Path) -> dict[int, EvolutionCompleted]:
    """Return the recorded trials by number; each is recorded once."""
    found = [event for event in completed(file) if event.evolution_type == "optuna"]
    numbers = [int(event.evolution_id.rpartition("/")[2]) for event in found]
    assert len(set(numbers)) == len(numbers)
    return dict(zip(numbers, found, strict=True))


def runs_in(file: Path) -> list[EvolutionCompleted]:
    return [event for event in completed(file) if event.evolution_type == "optuna_run"]


def objective(trial: Trial) -> float:
    """Succeed, be pruned, return NaN or inf, fail in a way that is caught, and in one that is not."""
    x = trial.suggest_float("x", -1, 1)
    trial.report(2 * x, 0)
    trial.report(3 * x, 1)
    trial.set_user_attr("cost_usd", 0.25)
    trial.set_user_attr("note", "own")
    special = trial.number % 10
    if special == 1:
        raise optuna.TrialPruned
    if special == 2:
        return math.nan
    if special == 3:
        return math.inf
    if special == 4:
        raise ValueError("caught")
    if special == 5:
        raise KeyError("uncaught")
    return x * x


def optimize(study: optuna.Study, callback: Any, trials: int, **more: Any) -> None:
    """Continue until so many trials have ended, however they end."""
    while (left := trials - len(study.trials)) > 0:
        try:
            study.optimize(objective, n_trials=left, catch=(ValueError,), callbacks=[callback], **more)
        except KeyError:
            continue


def check(study: optuna.Study, found: dict[int, EvolutionCompleted]) -> None:
    """Compare what is recorded with what Optuna has."""
    trials = study.trials
    assert set(found) == {trial.number for trial in trials}
    for trial in trials:
        event = found[trial.number]
        state = trial.state.name
        usable = state == "COMPLETE" and trial.value is not None and math.isfinite(trial.value)
        assert event.post_kpis.get("value") == (trial.value if usable else None)
        assert event.metadata["state"] == state
        if state == "PRUNED":
            assert event.status == "pruned"
        elif not usable:
            assert event.status == "failed"
        else:
            assert event.status in ("succeeded", "rolled_back")
        assert event.fitness_trajectory == list(trial.intermediate_values.values())
        assert trial.datetime_complete is not None
        assert event.occurred_at == round(trial.datetime_complete.timestamp() * 1e6)


def test_every_trial_is_recorded_as_optuna_has_it(callback: EvometricsCallback, file: Path) -> None:
    study = optuna.create_study(study_name="all", sampler=optuna.samplers.TPESampler(seed=1))
    optimize(study, callback, 30)
    callback.recorder.close()
    found = trials_in(file)
    check(study, found)
    first = found[0]
    assert (first.cost_usd, first.objective, first.direction) == (0.25, "value", "minimize")
    assert first.strategy_used == "TPESampler"
    assert first.metadata["note"] == "own"
    assert first.candidate == f'{{"x": {study.trials[0].params["x"]!r}}}'
    assert found[1].metadata["last_report"] == repr(study.trials[1].value)
    assert found[3].metadata["score"] == "inf"
    (run,) = runs_in(file)
    assert run.post_kpis == {"value": study.best_value}
    assert (run.evaluations, run.run_id, run.agent_id) == (30, run.evolution_id, "all")
    assert {event.run_id for event in found.values()} == {run.run_id}
    best = math.inf
    for number, event in sorted(found.items()):
        if (value := event.post_kpis.get("value")) is not None:
            assert event.success == (value < best), number
            best = min(best, value)


def test_four_threads_lose_and_double_nothing(callback: EvometricsCallback, file: Path) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1), direction="maximize")
    optimize(study, callback, 60, n_jobs=4)
    callback.recorder.close()
    check(study, trials_in(file))


@pytest.mark.parametrize("caught", [(), (ValueError,)], ids=["ends the study", "is caught"])
def test_a_run_that_an_exception_ended_has_failed(
    callback: EvometricsCallback, file: Path, caught: tuple[type[Exception], ...]
) -> None:
    study = optuna.create_study()

    def fail_last(trial: Trial) -> float:
        if trial.number == 3:
            raise ValueError("no value there")
        return 1.0

    with contextlib.suppress(ValueError):
        study.optimize(fail_last, n_trials=4, callbacks=[callback], catch=caught)
    callback.recorder.close()
    (run,) = runs_in(file)
    assert (run.status, run.error_count) == (("succeeded", 0) if caught else ("failed", 1))


def test_a_run_lasts_from_its_first_trial_to_its_last(callback: EvometricsCallback, file: Path) -> None:
    studies = [optuna.create_study(study_name=name) for name in ("one", "other")]
    for study in studies:
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3, callbacks=[callback])
        time.sleep(0.3)
    callback.recorder.close()
    for study, run in zip(studies, runs_in(file), strict=True):
        first, last = study.trials[0].datetime_start, study.trials[-1].datetime_complete
        assert first is not None
        assert last is not None
        assert (run.started_at, run.occurred_at) == (
            round(first.timestamp() * 1e6),
            round(last.timestamp() * 1e6),
        )
        assert run.duration_seconds == pytest.approx((last - first).total_seconds(), abs=1e-3)


def test_an_uncaught_failure_is_recorded_with_the_next_callback(
    callback: EvometricsCallback, file: Path
) -> None:
    study = optuna.create_study()

    def fail_once(trial: Trial) -> float:
        if trial.number == 1:
            raise KeyboardInterrupt  # as by Ctrl-C
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        study.optimize(fail_once, n_trials=5, callbacks=[callback])
    study.optimize(fail_once, n_trials=1, callbacks=[callback])
    assert callback.recorder.flush(30)
    callback.recorder.close()
    found = trials_in(file)
    assert [found[n].status for n in sorted(found)] == ["succeeded", "failed", "rolled_back"]
    assert list(found) == [0, 1, 2]


def test_several_objectives_are_each_a_kpi(callback: EvometricsCallback, file: Path) -> None:
    study = optuna.create_study(
        directions=["minimize", "maximize"], sampler=optuna.samplers.NSGAIISampler(population_size=4, seed=1)
    )
    study.set_metric_names(["loss", "speed"])
    optuna.create_study().optimize(lambda trial: 1.0, n_trials=3)  # ids of trials are not their numbers
    study.optimize(
        lambda t: (t.suggest_float("x", 0, 1), t.suggest_float("y", 0, 1)), n_trials=16, callbacks=[callback]
    )
    callback.recorder.close()
    found = trials_in(file)
    for trial in study.trials:
        event = found[trial.number]
        assert event.post_kpis == dict(zip(("loss", "speed"), trial.values, strict=True))
        assert (event.objective, event.direction) == (None, "pareto")
        assert event.metadata["direction.loss"] == "minimize"
        assert event.generation == trial.system_attrs["NSGAIISampler:generation"]
        run_id = event.run_id
        kept = study._storage.get_study_system_attrs(study._study_id)
        parents = kept.get(f"NSGAIISampler:parent:{event.generation}", [])
        ids = {each._trial_id: each.number for each in study.trials}
        assert event.parent_agent_ids == [f"{run_id}/{ids[parent]}" for parent in parents]
    assert sum(len(event.parent_agent_ids) for event in found.values()) == 4 * 12
    front = {tuple(trial.values): trial.number for trial in reversed(study.best_trials)}
    assert all(found[number].success for number in front.values())  # one that equals another is no gain


def test_ask_and_tell_and_added_trials_are_recorded_by_sync(callback: EvometricsCallback, file: Path) -> None:
    study = optuna.create_study()
    for value in (3.0, 1.0, 2.0):
        study.tell(study.ask(), value)
    callback.sync(study)
    study.add_trial(optuna.create_trial(value=0.5))
    study.ask()  # runs still
    callback.sync(study)
    callback.sync(study)
    callback.recorder.close()
    statuses = [event.status for _, event in sorted(trials_in(file).items())]
    assert statuses == ["succeeded", "succeeded", "rolled_back", "succeeded"]


def test_a_resumed_study_counts_each_trial_once(file: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    for target in (7, 14):
        with Recorder({"db_path": str(file)}) as recorder:
            study = optuna.create_study(study_name="again", storage=url, load_if_exists=True)
            callback = EvometricsCallback(recorder)
            optimize(study, callback, target)
            callback.sync(study)  # once more, from the storage
    found = trials_in(file)
    check(study, found)
    assert len({event.run_id for event in found.values()}) == 1
    assert len({run.evolution_id for run in runs_in(file)}) == 2
    best = min(found[number].post_kpis.get("value", math.inf) for number in range(7))
    resumed = [event for number, event in found.items() if number >= 7 and event.pre_kpis]
    assert resumed and max(event.pre_kpis["value"] for event in resumed) <= best


def work(url: str, callback: EvometricsCallback, seed: int) -> None:
    study = optuna.load_study(
        study_name="shared", storage=url, sampler=optuna.samplers.RandomSampler(seed=seed)
    )
    for _ in range(6):
        try:
            study.optimize(objective, n_trials=1, catch=(ValueError,), callbacks=[callback])
        except KeyError:
            continue


def test_four_processes_on_one_storage_lose_and_double_nothing(file: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(study_name="shared", storage=url)
    recorder = Recorder({"db_path": str(file)})
    callback = EvometricsCallback(recorder)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(url, callback, seed)) for seed in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    recorder.close()
    check(study, trials_in(file))


def test_what_a_study_finds_is_the_same_with_and_without(callback: EvometricsCallback) -> None:
    found = []
    for callbacks in ([], [callback]):
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=7))
        study.optimize(lambda t: t.suggest_float("x", -1, 1) ** 2, n_trials=40, callbacks=callbacks)
        found.append([(trial.params, trial.value) for trial in study.trials])
    assert found[0] == found[1]


def test_a_callback_may_be_pickled_and_given_odd_attributes(callback: EvometricsCallback, file: Path) -> None:
    other = pickle.loads(pickle.dumps(callback))
    assert other.recorder is callback.recorder

    def odd(trial: Trial) -> float:
        trial.set_user_attr("cost_usd", "not a number")
        trial.set_user_attr("list", [1, {"a": 2}])
        trial.suggest_categorical("kind", ["a", None, 1.5])
        return 1.0

    study = optuna.create_study()
    study.optimize(odd, n_trials=1, callbacks=[other])
    callback.recorder.close()
    other.recorder.close()
    (event,) = trials_in(file).values()
    assert event.cost_usd is None
    assert event.metadata["list"] == '[1, {"a": 2}]'


def test_a_callback_raises_nothing_into_a_study(callback: EvometricsCallback) -> None:
    broken: Any = object()
    callback(broken, broken)
    callback.sync(broken)
    assert callback.recorder.lost == 2
    callback.recorder.failed = 0


def test_a_stale_trial_is_recorded(callback: EvometricsCallback, file: Path) -> None:
    study = optuna.create_study()
    stale = study.ask()
    study.optimize(lambda trial: 1.0, n_trials=1, callbacks=[callback])
    # as `fail_stale_trials` does, of which no callback hears
    study._storage.set_trial_state_values(stale._trial_id, optuna.trial.TrialState.FAIL)
    callback.recorder.close()
    found = trials_in(file)
    assert found[stale.number].status == "failed"
    assert isinstance(study.trials[0], optuna.trial.FrozenTrial)
