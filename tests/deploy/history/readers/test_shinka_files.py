"""ShinkaEvolve's `programs.sqlite`: every program and every failed proposal, as Shinka has them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from evometrics.deploy.history.sources import AboutFile
from evometrics.schemas.events import EvolutionCompleted
from tests.deploy.history.test_report import open_folder, read_only  # noqa: F401 - a fixture
from tests.support.history_imports import evolutions, rejected
from tests.support.tool_files import tool_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tool_file("shinka.sqlite", tmp_path)


def rows(path: Path, table: str = "programs") -> list[dict[str, Any]]:
    with sqlite3.connect(path) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY rowid")]


def changed(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def by_name(path: Path, given: AboutFile = AboutFile()) -> dict[str, EvolutionCompleted]:  # noqa: B008
    return {event.agent_id.rpartition("/")[2]: event for event in evolutions(path, given)}


def test_each_program_has_its_score_to_the_bit_its_parent_and_its_text(path: Path) -> None:
    found = by_name(path)
    for row in rows(path):
        event = found[row["id"]]
        run = event.agent_id.rpartition("/")[0]
        assert event.evolution_type == "shinka"
        assert event.generation == row["generation"]
        assert event.parent_agent_id == (row["parent_id"] and f"{run}/{row['parent_id']}")
        assert event.candidate == row["code"]
        if row["correct"]:
            assert event.post_kpis["combined_score"] == row["combined_score"]
            assert event.post_kpis["value"] == json.loads(row["public_metrics"])["value"]
        else:
            assert (event.status, event.post_kpis) == ("failed", {})
            assert event.metadata["combined_score"] == "0.0"


def test_a_proposal_that_gave_no_program_is_one_too(path: Path) -> None:
    (attempt,) = rows(path, "attempt_log")
    told = json.loads(attempt["details"])
    event = by_name(path)["attempt-1"]
    assert (event.status, event.generation) == ("failed", attempt["generation"])
    assert event.insights == [told["failure_reason"]]
    assert event.parent_agent_id is not None
    assert event.parent_agent_id.endswith(told["parent_id"])


def test_what_a_program_gains_is_judged_against_its_parent(path: Path) -> None:
    found = by_name(path)
    for row in rows(path):
        event = found[row["id"]]
        if row["correct"] and row["parent_id"]:
            before = found[row["parent_id"]].post_kpis["combined_score"]
            assert event.pre_kpis == {"combined_score": before}
            assert event.success == (row["combined_score"] > before)


def test_cost_tokens_and_model_are_those_of_the_metadata_and_copies_cost_nothing(path: Path) -> None:
    changed(
        path,
        "UPDATE programs SET metadata = json_set(metadata, '$.api_costs', 0.1, '$.embed_cost', 0.2)",
    )
    found = by_name(path)
    for row in rows(path):
        told, event = json.loads(row["metadata"]), found[row["id"]]
        if told.get("_is_island_copy"):
            assert (event.cost_usd, event.strategy_used) == (None, "island_copy")
            assert event.metadata["copy_of"] == told["_original_program_id"]
        else:
            assert event.cost_usd == 0.1 + 0.2 + 0.0
        if "llm_result" in told:
            assert event.tokens_in == told["llm_result"]["input_tokens"]
            assert event.model == told["model_name"]


def test_a_proposal_refused_for_its_likeness_is_rejected(path: Path) -> None:
    changed(path, "UPDATE attempt_log SET stage = 'novelty'")
    assert by_name(path)["attempt-1"].status == "rejected"


def test_scores_that_are_no_numbers_are_no_kpis(path: Path) -> None:
    ids = [row["id"] for row in rows(path) if row["correct"]]
    changed(
        path,
        "UPDATE programs SET combined_score = 9e999, public_metrics = '{\"value\": NaN}' "
        f"WHERE id = '{ids[2]}'",
    )
    event = by_name(path)[ids[2]]
    assert (event.status, event.post_kpis) == ("failed", {"private.runs": 1.0})
    assert (event.metadata["score"], event.metadata["score.value"]) == ("inf", "NaN")


def test_a_row_that_is_broken_costs_itself_only(path: Path) -> None:
    first, second, *_ = [row["id"] for row in rows(path)][2:]
    changed(
        path,
        f"UPDATE programs SET metadata = '{{cut' WHERE id = '{first}'",
        f"UPDATE programs SET generation = 'two' WHERE id = '{second}'",
    )
    assert len(by_name(path)) == len(rows(path)) - 2 + 1 + 1
    assert [(entry["table"], entry["reason"][:20]) for entry in rejected(path)] == [
        ("programs", "metadata: '{cut' is "),
        ("programs", "generation: 'two' is"),
    ]


def test_the_run_is_called_after_its_first_program_or_as_it_was_recorded_live(path: Path) -> None:
    first = rows(path)[0]["id"]
    (run,) = [event for event in evolutions(path) if event.evolution_type == "shinka_run"]
    assert run.evolution_id == f"shinka-{first}"
    assert run.post_kpis == {"combined_score": max(row["combined_score"] for row in rows(path))}
    live = evolutions(path, AboutFile(run_id="night"))
    assert {event.agent_id.partition("/")[0] for event in live} == {"night"}
    assert "shinka_run" not in {event.evolution_type for event in live}


def test_a_database_in_wal_mode_is_read_in_a_read_only_folder(open_folder: Path) -> None:  # noqa: F811
    path = tool_file("shinka.sqlite", open_folder)
    path.chmod(0o644)
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()
    with read_only(open_folder):
        from evometrics.deploy.history.run import opened

        assert len(list(opened(path, None).rows())) == 9
