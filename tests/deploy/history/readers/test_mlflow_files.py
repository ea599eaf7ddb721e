"""MLflow's store in SQLite: every run as an evolution, as MLflow has written it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from evometrics.deploy.history.run import opened
from evometrics.deploy.history.sources import AboutFile
from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.service.settings import SettingsError
from tests.support.history_imports import evolutions, rejected
from tests.support.tool_files import tool_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tool_file("mlflow.sqlite", tmp_path)


@pytest.fixture
def found(path: Path) -> dict[str, EvolutionCompleted]:
    """The evolutions by the names of their runs."""
    return {event.metadata["name"]: event for event in evolutions(path)}


def query(path: Path, statement: str) -> list[Any]:
    with sqlite3.connect(path) as db:
        return db.execute(statement).fetchall()


def test_each_run_that_has_ended_is_an_evolution_with_its_latest_metrics_to_the_bit(
    path: Path, found: dict[str, EvolutionCompleted]
) -> None:
    assert sorted(found) == ["ends-KILLED", "night", "trial-0", "trial-1", "trial-2"]
    assert found["trial-0"].post_kpis == {"loss": 0.30000000000000004, "accuracy": 1 - 0.30000000000000004}
    assert found["trial-1"].metadata["param.lr"] == "0.01"
    for uuid, name, started, ended in query(path, "SELECT run_uuid, name, start_time, end_time FROM runs"):
        if name in found:
            assert found[name].agent_id.endswith(f"/{uuid}")
            assert (found[name].started_at, found[name].occurred_at) == (started * 1000, ended * 1000)


def test_a_run_names_its_parent_by_the_tag(found: dict[str, EvolutionCompleted]) -> None:
    assert found["trial-1"].parent_agent_id == found["night"].agent_id
    assert found["night"].parent_agent_id is None
    assert found["trial-1"].run_id == "search"


def test_what_mlflow_stores_in_place_of_nan_and_infinity_is_no_kpi(
    found: dict[str, EvolutionCompleted],
) -> None:
    failed = found["trial-2"]
    assert (failed.status, failed.post_kpis) == ("failed", {})
    assert (failed.metadata["score.loss"], failed.metadata["score.accuracy"]) == ("NaN", "-Infinity")


def test_no_metric_is_taken_for_the_objective(found: dict[str, EvolutionCompleted]) -> None:
    assert {(event.objective, event.direction) for event in found.values()} == {(None, None)}


def test_a_run_that_is_running_is_named_and_a_deleted_one_left_out(
    path: Path, found: dict[str, EvolutionCompleted]
) -> None:
    (entry,) = rejected(path)
    assert entry["reason"] == "status: the run is RUNNING; import the store again when it has ended"
    assert query(path, "SELECT name FROM runs WHERE lifecycle_stage = 'deleted'") == [("ends-FINISHED",)]


def test_its_runs_have_ids_of_their_own(path: Path) -> None:
    with pytest.raises(SettingsError, match="whose runs have ids of their own: leave out --run-id"):
        opened(path, None, AboutFile(run_id="night"))


def test_a_row_that_is_not_as_mlflow_writes_it_costs_itself_only(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE runs SET end_time = 'soon' WHERE name = 'trial-0'")
        db.execute("UPDATE latest_metrics SET value = 'much' WHERE key = 'accuracy' AND value = 0.9")
    db.close()
    assert len(evolutions(path)) == 3
    reasons = [entry["reason"] for entry in rejected(path)]
    assert len([reason for reason in reasons if reason.startswith("can't be read: TypeError")]) == 2
