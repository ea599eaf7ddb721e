"""OpenEvolve's runs, recorded by its tracer: every program once, and the iterations that gave none."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evometrics.producers.integrations.openevolve import EvometricsTracer
from evometrics.producers.recording import Recorder
from tests.support.later import Later
from tests.support.outboxes import config
from tests.support.recorded import all_completions, as_expected, candidates, progress_of, run_of, wanted

openevolve: Any = Later("tests.support.openevolve_search")


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """OpenEvolve adds handlers to the root logger, sets its level and takes over SIGINT and SIGTERM."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    signals = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    for number, handler in signals.items():
        signal.signal(number, handler)


def recorded(folder: Path, run_id: str | None = "r", **options: Any) -> tuple[Any, Any]:
    """Run OpenEvolve in a folder with a recorder of its own; return the controller and its account."""
    search = openevolve.controller(folder / "search", **options)
    account = openevolve.Account(search)
    node = folder / "node"
    node.mkdir(exist_ok=True)
    with Recorder(config(node)) as recorder:
        EvometricsTracer.attach(search, recorder=recorder, run_id=run_id)
        asyncio.run(search.run())
    assert recorder.lost == 0
    return search, account


def test_each_program_is_there_with_its_score_and_parent(tmp_path: Path) -> None:
    _, account = recorded(tmp_path, iterations=20)
    found = candidates(tmp_path / "node", "r")
    assert as_expected(found.values(), "combined_score") == wanted(account.candidates("r"), "combined_score")
    assert len(account.traced) + len(account.failures) == 20
    kinds = Counter(each.strategy_used for each in found.values())
    assert kinds["seed"] == 1
    assert kinds["migration"] >= 1
    assert len(progress_of(tmp_path / "node", "r")) == 20 + kinds["seed"]
    for program in account.programs.values():
        event = found[f"r/{program.id}"]
        assert event.candidate == program.code
        assert event.generation == program.generation
        if program.parent_id is not None and not program.metadata.get("migrant"):
            assert event.model == "numbers"
            assert event.tokens_in == program.metadata["token_usage"]["prompt_tokens"]
            assert event.tokens_out == 10
    assert found["r/" + next(iter(account.programs))].candidate == openevolve.PROGRAM


def test_what_failed_has_no_score_and_is_no_best_program(tmp_path: Path) -> None:
    search, account = recorded(tmp_path, iterations=20)
    found = candidates(tmp_path / "node", "r")
    raised = [each for each in account.programs.values() if each.metrics == {"error": 0.0}]
    assert raised
    assert search.database.get_best_program().metrics == {"error": 0.0}, "OpenEvolve's best has failed"
    for program in raised:
        event = found[f"r/{program.id}"]
        assert event.status == "failed"
        assert event.post_kpis == {}
        if not program.metadata.get("migrant"):
            assert any("division by zero" in each for each in event.insights)
    best = max(
        each.metrics["combined_score"] for each in account.programs.values() if "value" in each.metrics
    )
    assert run_of(tmp_path / "node", "r").post_kpis == {"combined_score": best}
    without = {each["iteration"]: each for each in account.failures}
    for iteration, failure in without.items():
        event = found[f"r/iteration-{iteration}"]
        assert event.status == ("failed" if failure["llm_response"] is None else "rejected")
        assert event.insights == [failure["error"]]
    assert {found[f"r/iteration-{each}"].status for each in without} == {"failed", "rejected"}


def test_an_error_of_the_recording_reaches_neither_openevolve_nor_the_other_tracer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvometricsTracer, "program", lambda *given, **more: 1 / 0)
    search, account = recorded(tmp_path)
    assert sum(search.database.island_generations) == len(account.traced) > 3
    assert len(account.traced) + len(account.failures) == 12


def test_a_program_that_the_population_refuses_is_recorded(tmp_path: Path) -> None:
    def admit(snapshot: Any, program: Any, island: int) -> bool:
        return program.code == openevolve.PROGRAM or "1" not in program.code

    _, account = recorded(tmp_path, population_strategy=openevolve.PopulationStrategy(admit=admit))
    found = candidates(tmp_path / "node", "r")
    assert account.refused
    for program_id in account.refused:
        assert found[f"r/{program_id}"].status == "rejected"
    assert as_expected(found.values(), "combined_score") == wanted(account.candidates("r"), "combined_score")


def test_a_run_that_is_resumed_from_a_checkpoint_goes_on_and_doubles_nothing(tmp_path: Path) -> None:
    _, first = recorded(tmp_path, iterations=4, workers=1)
    search = openevolve.controller(tmp_path / "search", iterations=8, workers=1)
    second = openevolve.Account(search)
    with Recorder(config(tmp_path / "node")) as recorder:
        EvometricsTracer.attach(search, recorder=recorder)  # which is not told the run's id
        checkpoint = str(tmp_path / "search" / "output" / "checkpoints" / "checkpoint_4")
        asyncio.run(search.run(checkpoint_path=checkpoint))
    found = candidates(tmp_path / "node", "r")
    every = [*first.candidates("r"), *second.candidates("r", after="-after-4")]
    assert as_expected(found.values(), "combined_score") == wanted(every, "combined_score")
    times: dict[str, set[int]] = {}
    for event in all_completions(tmp_path / "node"):
        times.setdefault(event.event_id, set()).add(event.occurred_at)
    assert all(len(each) == 1 for each in times.values()), "what is given again is the same row"


def test_a_run_without_a_single_program_has_failed(tmp_path: Path) -> None:
    search = openevolve.controller(tmp_path / "search", iterations=1)
    (tmp_path / "search" / "evaluator.py").write_text(
        "def evaluate(path):\n    return {'combined_score': 0}\n"
    )
    search.config.llm.models[0].init_client = None
    search.config.llm.models[0].api_base = "http://127.0.0.1:1"
    search.config.llm.models[0].api_key = "none"
    search.config.llm.models[0].retries = 0
    with Recorder(config(tmp_path)) as recorder:
        EvometricsTracer.attach(search, recorder=recorder, run_id="r")
        with pytest.raises(openevolve.EvolutionFailedError):
            asyncio.run(search.run())
    ended = run_of(tmp_path, "r")
    assert ended.status == "failed"
    assert "EvolutionFailedError" in ended.insights[0]
    assert {each.status for each in candidates(tmp_path, "r").values()} == {"succeeded", "failed"}


def test_a_tracer_that_was_there_is_told_everything(tmp_path: Path) -> None:
    search = openevolve.controller(tmp_path / "search")
    file = tmp_path / "trace.jsonl"
    search.evolution_tracer = openevolve.EvolutionTracer(output_path=str(file), include_failures=True)
    with Recorder(config(tmp_path)) as recorder:
        EvometricsTracer.attach(search, recorder=recorder, run_id="r")
        asyncio.run(search.run())
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    failures = file.with_name("trace_failures.jsonl").read_text().splitlines()
    assert len(lines) + len(failures) == 12
    assert {f"r/{each['child_id']}" for each in lines} <= candidates(tmp_path, "r").keys()


def test_a_run_that_someone_begins_while_handling_an_error_has_not_failed(tmp_path: Path) -> None:
    try:
        raise ValueError("of before")
    except ValueError:
        recorded(tmp_path, iterations=2)
    assert run_of(tmp_path / "node", "r").status == "succeeded"
