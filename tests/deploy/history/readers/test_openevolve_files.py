"""OpenEvolve's trace and the file of its failed iterations, as OpenEvolve has written them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from evometrics.deploy.history.sources import AboutFile
from evometrics.schemas.events import EvolutionCompleted
from tests.support.history_imports import evolutions, rejected
from tests.support.tool_files import tool_file

TRACE, FAILURES = "openevolve_trace.jsonl", "openevolve_trace_failures.jsonl"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tool_file(FAILURES, tmp_path)
    return tool_file(TRACE, tmp_path)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def programs(path: Path) -> dict[str, EvolutionCompleted]:
    found = [event for event in evolutions(path) if event.evolution_type == "openevolve"]
    return {event.agent_id.rpartition("/")[2]: event for event in found}


def test_each_program_has_its_score_to_the_bit_its_parent_and_its_text(path: Path) -> None:
    found = programs(path)
    iterations = [line["iteration"] for line in lines(path)]
    assert iterations != sorted(iterations)
    for line in lines(path):
        event = found[line["child_id"]]
        run = event.agent_id.rpartition("/")[0]
        assert event.parent_agent_id == f"{run}/{line['parent_id']}"
        assert (event.generation, event.candidate) == (line["generation"], line["child_code"])
        assert event.tokens_in == line["metadata"]["token_usage"]["prompt_tokens"]
        assert event.model == "loopback"
        assert event.duration_seconds == line["metadata"]["iteration_time"]
        if "combined_score" in line["parent_metrics"]:
            assert event.pre_kpis == {"combined_score": line["parent_metrics"]["combined_score"]}
        assert event.metadata["iteration"] == str(line["iteration"])


def test_a_failed_evaluation_has_no_score_and_a_score_below_zero_is_one(path: Path) -> None:
    found = programs(path)
    for line in lines(path):
        event, metrics = found[line["child_id"]], line["child_metrics"]
        if metrics == {"error": 0.0}:
            assert (event.status, event.post_kpis) == ("failed", {})
            assert event.insights == [line["artifacts"]["stderr"]]
        else:
            assert event.post_kpis == metrics
            better = metrics["combined_score"] > event.pre_kpis["combined_score"]
            assert event.status == ("succeeded" if better else "rolled_back")
    assert any(event.post_kpis.get("combined_score", 0) < 0 for event in found.values())


@pytest.mark.parametrize("name", [TRACE, FAILURES])
def test_failed_iterations_are_read_with_the_trace_whichever_is_named(path: Path, name: str) -> None:
    (failure,) = lines(path.with_name(FAILURES))
    found = programs(path.with_name(name))
    assert len(found) == len(lines(path)) + 1
    (event,) = [event for own, event in found.items() if own.startswith("iteration-")]
    assert (event.status, event.insights) == ("rejected", [failure["error"]])
    assert event.tokens_in == failure["token_usage"]["prompt_tokens"]


def test_the_file_of_failures_alone_is_read_too(path: Path) -> None:
    path.unlink()
    assert len(programs(path.with_name(FAILURES))) == 1


def test_a_trace_that_was_compressed_is_the_same(path: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    failures = path.with_name(FAILURES)
    (tmp_path / "packed_failures.jsonl.gz").write_bytes(gzip.compress(failures.read_bytes()))
    assert [event.event_id for event in evolutions(packed)] == [event.event_id for event in evolutions(path)]


def test_a_cut_line_is_named_and_costs_only_itself(path: Path) -> None:
    path.write_text(path.read_text()[:-30])
    assert len(programs(path)) == 11
    (entry,) = rejected(path)
    assert (entry["table"], entry["line"]) == ("evolution_trace", 11)
    assert entry["reason"].startswith("is not JSON")


def test_scores_that_are_no_numbers_are_no_kpis(path: Path) -> None:
    first, *others = path.read_text().splitlines(keepends=True)
    line = json.loads(first)
    line["child_metrics"] = {"combined_score": float("inf"), "speed": float("nan"), "kind": "slow"}
    path.write_text("".join([json.dumps(line) + "\n", *others]))
    event = programs(path)[line["child_id"]]
    assert (event.status, event.post_kpis) == ("failed", {})
    assert (event.metadata["score"], event.metadata["score.speed"]) == ("inf", "NaN")


def test_the_run_id_that_it_was_recorded_under_makes_the_ids_of_the_tracer(path: Path) -> None:
    from evometrics.producers.recording.candidates import candidate_event_id

    found = evolutions(path, AboutFile(run_id="night"))
    ids = {event.event_id for event in found}
    assert {candidate_event_id("openevolve", f"night/{line['child_id']}") for line in lines(path)} <= ids
    assert "openevolve_run" not in {event.evolution_type for event in found}


def test_a_checkpoint_becomes_a_trace_by_openevolve_itself(path: Path, tmp_path: Path) -> None:
    from openevolve.database import Program
    from openevolve.evolution_trace import extract_evolution_trace_from_checkpoint

    folder = tmp_path / "checkpoint_1" / "programs"
    folder.mkdir(parents=True)
    for program in (
        Program(id="seed", code="a", metrics={"combined_score": 0.1}),
        Program(id="child", code="b", parent_id="seed", metrics={"combined_score": 0.30000000000000004}),
    ):
        (folder / f"{program.id}.json").write_text(json.dumps(program.to_dict()))
    made = str(tmp_path / "made.jsonl")
    extract_evolution_trace_from_checkpoint(folder.parent, made, include_prompts=False)
    event = programs(tmp_path / "made.jsonl")["child"]
    assert event.post_kpis == {"combined_score": 0.30000000000000004}
    assert event.agent_id == "openevolve-seed/child"


def test_a_line_that_is_not_as_openevolve_writes_it_costs_itself_only(path: Path) -> None:
    first, *others = path.read_text().splitlines(keepends=True)
    broken = {**json.loads(first), "iteration": float("inf"), "child_metrics": ["high"]}
    path.write_text("".join([json.dumps(broken) + "\n", *others]))
    assert len(programs(path)) == 11
    (entry,) = rejected(path)
    assert (entry["table"], entry["line"]) == ("evolution_trace", 1)
