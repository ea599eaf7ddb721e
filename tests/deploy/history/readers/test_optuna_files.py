"""Optuna's storages, written by Optuna: each trial as its study has it and as the callback records it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from evometrics.deploy.history.run import opened
from evometrics.deploy.history.sources import AboutFile
from evometrics.producers.integrations.optuna import EvometricsCallback
from evometrics.producers.recording import Recorder
from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.service.settings import SettingsError
from tests.support.history_imports import evolutions, rejected
from tests.support.later import Later
from tests.support.tool_files import tool_file

if TYPE_CHECKING:
    import optuna
else:
    optuna = Later("optuna")

KINDS = ("storage.db", "storage.log")
SAME = (
    "event_id",
    "agent_id",
    "evolution_id",
    "evolution_type",
    "occurred_at",
    "started_at",
    "status",
    "success",
)
SAME += (
    "pre_kpis",
    "post_kpis",
    "duration_seconds",
    "fitness_trajectory",
    "metadata",
    "parent_agent_id",
    "cost_usd",
)


def storage_in(path: Path) -> optuna.storages.BaseStorage:
    """Return a storage in a file: a journal if it is named like one."""
    return (
        optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
        if path.suffix == ".log"
        else optuna.storages.RDBStorage(f"sqlite:///{path}")
    )


def value(trial: optuna.Trial) -> float:
    """Ends in every way that Optuna has."""
    x = trial.suggest_float("x", -3, 3)
    trial.suggest_categorical("kind", ["a", None])
    trial.set_user_attr("cost_usd", 0.25)
    trial.report(x, 0)
    trial.report(x / 3, 1)
    if trial.number == 2:
        raise optuna.TrialPruned
    if trial.number == 3:
        raise KeyError
    return {4: math.nan, 5: math.inf}.get(trial.number, x * x / 3)


@pytest.fixture(params=KINDS, scope="module")
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage of a study that was recorded live, too: 7 trials have ended, one is running, one waits."""
    folder = tmp_path_factory.mktemp("optuna")
    path = folder / str(request.param)
    study = optuna.create_study(
        study_name="night", storage=storage_in(path), sampler=optuna.samplers.RandomSampler(seed=1)
    )
    with Recorder({"db_path": str(folder / "live.db")}) as recorder:
        callback = EvometricsCallback(recorder)
        study.optimize(value, n_trials=6, catch=(KeyError,), callbacks=[callback])
        with pytest.raises(ZeroDivisionError):
            study.optimize(lambda trial: 1 / 0, n_trials=1, callbacks=[callback])
        callback.close()
    study.ask()
    study.enqueue_trial({"x": 1.0})
    return path


def trials_of(path: Path) -> dict[str, EvolutionCompleted]:
    return {event.agent_id: event for event in evolutions(path) if event.evolution_type == "optuna"}


def test_each_trial_that_has_ended_is_an_evolution_with_its_value_to_the_bit(path: Path) -> None:
    study = optuna.load_study(study_name="night", storage=storage_in(path))
    found = trials_of(path)
    ended = [trial for trial in study.trials if trial.state.is_finished()]
    assert len(found) == len(ended) == 7
    statuses = {optuna.trial.TrialState.PRUNED: "pruned", optuna.trial.TrialState.FAIL: "failed"}
    for trial in ended:
        event = found[f"{next(iter(found)).rpartition('/')[0]}/{trial.number}"]
        assert trial.datetime_complete is not None
        assert event.occurred_at == round(trial.datetime_complete.timestamp() * 1e6)
        assert event.fitness_trajectory == list(trial.intermediate_values.values())
        if trial.state in statuses:
            assert (event.status, event.post_kpis) == (statuses[trial.state], {})
        elif math.isinf(trial.values[0]):
            assert (event.status, event.post_kpis, event.metadata["score"]) == ("failed", {}, "inf")
        else:
            assert event.post_kpis == {"value": trial.value}


def test_trials_without_an_end_are_named_in_the_report(path: Path) -> None:
    evolutions(path)
    assert [entry["reason"].partition(";")[0] for entry in rejected(path)] == [
        "state: trial 7 is running",
        "state: trial 8 has not begun",
    ]


def test_a_study_that_was_recorded_live_gives_the_same_events(path: Path) -> None:
    live = {event.event_id: event for event in evolutions(path.with_name("live.db"))}
    found = trials_of(path)
    assert len(found) == 7
    for event in found.values():
        for name in SAME:
            assert getattr(event, name) == getattr(live[event.event_id], name), name


def test_the_study_is_an_evolution_of_its_own(path: Path) -> None:
    (study,) = [event for event in evolutions(path) if event.evolution_type == "optuna_run"]
    trials = list(trials_of(path).values())
    assert (study.agent_id, study.success) == ("night", True)
    assert study.evolution_id == trials[0].agent_id.rpartition("/")[0]
    assert study.post_kpis == {"value": min(e.post_kpis["value"] for e in trials if e.post_kpis)}
    assert study.occurred_at == max(event.occurred_at for event in trials)


@pytest.mark.parametrize("name", KINDS)
def test_several_objectives_are_kpis_under_their_names_and_parents_those_of_the_sampler(
    name: str, tmp_path: Path
) -> None:
    storage = storage_in(tmp_path / name)
    optuna.create_study(study_name="other", storage=storage).optimize(lambda trial: 1.0, n_trials=1)
    sampler = optuna.samplers.NSGAIISampler(population_size=3, seed=1)
    study = optuna.create_study(storage=storage, directions=["minimize", "maximize"], sampler=sampler)
    study.set_metric_names(["loss", "speed"])
    study.optimize(lambda t: (t.suggest_float("x", 0, 1), t.suggest_float("y", 0, 1)), n_trials=7)
    found = {event.agent_id: event for event in evolutions(tmp_path / name) if "loss" in event.post_kpis}
    assert len(found) == 7
    for trial in study.trials:
        (event,) = [event for agent, event in found.items() if agent.endswith(f"/{trial.number}")]
        assert event.post_kpis == dict(zip(["loss", "speed"], trial.values, strict=True))
        assert event.metadata["direction.speed"] == "maximize"
        generation = trial.system_attrs["NSGAIISampler:generation"]
        assert event.generation == generation
        assert (event.parent_agent_id is None) == (generation == 0)


@pytest.mark.parametrize("name", ["optuna4.sqlite", "optuna4.log"])
def test_local_times_of_older_versions_are_read_in_the_zone_that_is_given(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tool_file(name, tmp_path)
    first = evolutions(path, AboutFile(zone=ZoneInfo("America/New_York")))[0]
    assert not caplog.records
    as_utc = evolutions(path)[0]
    assert "local times without their zone; they are read as UTC" in caplog.text
    assert first.occurred_at - as_utc.occurred_at == 5 * 3600 * 1_000_000
    assert datetime.fromtimestamp(first.occurred_at / 1e6, UTC).hour in (17, 18)


def test_a_run_id_can_name_one_study_only(tmp_path: Path) -> None:
    path = tmp_path / "storage.log"
    for name in ("a", "b"):
        optuna.create_study(study_name=name, storage=storage_in(path))
    with pytest.raises(SettingsError, match=r"has 2 runs \(a, b\); --run-id can name only one"):
        opened(path, None, AboutFile("night"))


def lines_of(path: Path, change: Callable[[list[str]], list[str]]) -> Path:
    """Return the copy of a journal with other lines."""
    copy = path.with_name("changed.log")
    copy.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    return copy


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "storage.log"
    study = optuna.create_study(study_name="night", storage=storage_in(path))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return path


def test_a_journal_cut_in_its_last_line_gives_all_trials_before_it(journal: Path) -> None:
    journal.write_text(journal.read_text()[:-20])
    assert len(trials_of(journal)) == 2
    assert [entry["reason"] for entry in rejected(journal)] == [
        "is not one of Optuna's operations, or not all of it",
        "state: trial 2 is running; import the study again when it has ended",
    ]


def test_behind_a_damaged_line_that_may_have_made_a_trial_nothing_is_guessed(journal: Path) -> None:
    created = [json.loads(line)["op_code"] for line in journal.read_text().splitlines()].index(4)
    damaged = lines_of(journal, lambda lines: [*lines[:created], lines[created][:40], *lines[created + 1 :]])
    assert trials_of(damaged) == {}
    (entry,) = rejected(damaged)
    assert entry["line"] == created + 1
    assert "can't be told apart, and are not read" in entry["reason"]


def test_studies_that_were_deleted_are_left_out(journal: Path) -> None:
    optuna.delete_study(study_name="night", storage=storage_in(journal))
    again = optuna.create_study(study_name="night", storage=storage_in(journal))
    again.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert sorted(event.post_kpis["value"] for event in trials_of(journal).values()) == sorted(
        trial.value or 0 for trial in again.trials
    )


def test_an_operation_that_is_not_as_optuna_writes_it_is_named_with_its_line(journal: Path) -> None:
    lines = journal.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if '"op_code":5' in line)
    changed = lines_of(journal, lambda _: [*lines[:at], '{"op_code": 5, "trial_id": 0}', *lines[at + 1 :]])
    assert len(trials_of(changed)) == 3
    (entry,) = rejected(changed)
    assert (entry["line"], entry["reason"][:16]) == (at + 1, "can't be applied")
