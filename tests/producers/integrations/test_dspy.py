"""DSPy's compiles, recorded by its callback: the programs that an optimizer evaluated, each once."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evometrics.producers.integrations import gepa
from evometrics.producers.recording import Recorder
from evometrics.schemas.events import EvolutionCompleted
from tests.support.later import Later
from tests.support.outboxes import config
from tests.support.recorded import all_completions, candidates, progress_of, run_of

dspy: Any = Later("dspy")
adapter: Any = Later("evometrics.producers.integrations.dspy")
search: Any = Later("tests.support.dspy_search")


@contextmanager
def recording(folder: Path) -> Iterator[Any]:
    """Have DSPy use a model of its own, and the callback, in this block."""
    engine = search.Engine()
    with (
        Recorder(config(folder), run_id="r") as recorder,
        dspy.context(lm=search.model(engine), callbacks=[adapter.EvometricsCallback(recorder=recorder)]),
    ):
        yield engine
    assert recorder.lost == 0


def scores(events: dict[str, EvolutionCompleted]) -> list[float]:
    """Return the scores of the candidates that have one, best first."""
    every = (event.post_kpis.get("score") for event in events.values())
    return sorted((score for score in every if score is not None), reverse=True)


def random_search(metric: Any = None, **options: Any) -> Any:
    settings = {"max_bootstrapped_demos": 1, "max_labeled_demos": 2, "num_threads": 4, **options}
    optimizer = dspy.BootstrapFewShotWithRandomSearch(
        metric=metric or search.exact, num_candidate_programs=4, **settings
    )
    return optimizer.compile(search.program(), trainset=search.EXAMPLES)


def test_random_search_has_a_candidate_for_each_program(tmp_path: Path) -> None:
    with recording(tmp_path) as engine:
        compiled = random_search()
    found = candidates(tmp_path, "r")
    own = sorted(compiled.candidate_programs, key=lambda each: each["seed"])
    assert [found[f"r/{number}"].post_kpis["score"] for number in range(len(own))] == [
        each["score"] for each in own
    ]
    assert len(found) == len(own) == 7
    texts = [json.loads(found[f"r/{number}"].candidate or "") for number in range(len(own))]
    assert texts == [json.loads(json.dumps(each["program"].dump_state())) for each in own]
    assert sum(event.tokens_in or 0 for event in found.values()) == 10 * engine.calls, "bootstrapping, too"
    assert len(all_completions(tmp_path)) == 8, "the compiles inside are no runs"
    ended = run_of(tmp_path, "r")
    assert ended.post_kpis == {"score": max(each["score"] for each in own)}
    assert ended.strategy_used == "BootstrapFewShotWithRandomSearch"
    assert ended.evaluations == 7 * len(search.EXAMPLES)


def test_copro_has_a_candidate_for_each_evaluation(tmp_path: Path) -> None:
    with recording(tmp_path):
        optimizer = dspy.COPRO(metric=search.exact, breadth=3, depth=2)
        compiled = optimizer.compile(
            search.program(), trainset=search.EXAMPLES, eval_kwargs={"num_threads": 2}
        )
    found = candidates(tmp_path, "r")
    assert len(found) == compiled.total_calls == 6
    assert set(scores(found)) == {each["score"] for each in compiled.candidate_programs}
    assert {event.metadata["score_unit"] for event in found.values()} == {"per cent"}


def test_mipro_has_minibatches_apart(tmp_path: Path) -> None:
    with recording(tmp_path):
        optimizer = dspy.MIPROv2(
            metric=search.exact,
            auto=None,
            num_candidates=4,
            max_bootstrapped_demos=1,
            max_labeled_demos=1,
            num_threads=2,
        )
        compiled = optimizer.compile(
            search.program(),
            trainset=search.EXAMPLES,
            valset=search.EXAMPLES,
            num_trials=6,
            minibatch_size=3,
            minibatch_full_eval_steps=3,
        )
    found = candidates(tmp_path, "r")
    assert scores(found) == [each["score"] for each in compiled.candidate_programs]
    batches = [float(each.extras["minibatch_score"]) for each in progress_of(tmp_path, "r") if each.extras]
    assert sorted(batches, reverse=True) == [each["score"] for each in compiled.mb_candidate_programs]
    rejected = [event for event in found.values() if event.status == "rejected"]
    assert rejected
    assert all(event.post_kpis.keys() == {"minibatch_score"} for event in rejected)
    assert len({event.candidate_hash for event in found.values()}) >= len(rejected) + 1


def test_simba_which_sends_no_evaluations_has_its_candidates(tmp_path: Path) -> None:
    with recording(tmp_path) as engine:
        optimizer = dspy.SIMBA(
            metric=search.exact, bsize=4, num_candidates=3, max_steps=3, max_demos=1, num_threads=2
        )
        compiled = optimizer.compile(search.program(), trainset=search.EXAMPLES)
    found = candidates(tmp_path, "r")
    assert scores(found) == [each["score"] for each in compiled.candidate_programs]
    assert all(event.metadata["score_unit"] == "share" for event in found.values())
    assert sum(event.tokens_out or 0 for event in found.values()) == 5 * engine.calls


def optimized_by_gepa(**options: Any) -> Any:
    with_stats = {"track_stats": True, "max_metric_calls": 120, "seed": 1, "num_threads": 2, **options}
    optimizer = dspy.GEPA(metric=search.exact_for_gepa, reflection_lm=dspy.settings.lm, **with_stats)
    compiled = optimizer.compile(search.program(), trainset=search.EXAMPLES, valset=search.EXAMPLES)
    assert "callbacks" not in optimizer.gepa_kwargs or options, "left as it was"
    return compiled


def test_gepa_has_a_run_of_its_own_kind(tmp_path: Path) -> None:
    with recording(tmp_path):
        result = optimized_by_gepa().detailed_results
    found = candidates(tmp_path, "r")
    assert {event.evolution_type for event in found.values()} == {"gepa"}
    own = {agent: event for agent, event in found.items() if "score" in event.post_kpis}
    assert [own[f"r/{i}"].post_kpis["score"] for i in range(len(own))] == result.val_aggregate_scores
    assert len(own) >= 2
    for index, parents in enumerate(result.parents):
        assert own[f"r/{index}"].parent_agent_ids == [f"r/{each}" for each in parents if each is not None]
    assert run_of(tmp_path, "r").evolution_type == "gepa_run"
    assert sum(event.tokens_in or 0 for event in found.values()) > 0, "of the reflection model"


def test_a_callback_of_gepas_own_is_not_joined_by_another(tmp_path: Path) -> None:
    with recording(tmp_path), Recorder(config(tmp_path)) as other:
        callbacks = [gepa.EvometricsCallback(recorder=other, run_id="own")]
        optimized_by_gepa(gepa_kwargs={"callbacks": callbacks}, max_metric_calls=30)
    assert candidates(tmp_path, "own")
    assert not candidates(tmp_path, "r")


def test_examples_that_raise_and_a_compile_that_does(tmp_path: Path) -> None:
    calls = Counter[str]()

    def fails_at_times(example: Any, prediction: Any, trace: Any = None) -> float:
        calls[example.question] += 1
        if example.question == "question 3":
            raise ValueError("no such metric")
        return search.exact(example, prediction)

    with recording(tmp_path), pytest.raises(Exception, match="cancelled"):
        random_search(fails_at_times, max_errors=1)
    (only,) = candidates(tmp_path, "r").values()
    assert only.status == "failed"
    assert "score" not in only.post_kpis
    ended = run_of(tmp_path, "r")
    assert ended.status == "failed"
    (tmp_path / "more").mkdir()
    with recording(tmp_path / "more"):
        compiled = random_search(fails_at_times, max_errors=100)
    found = candidates(tmp_path / "more", "r")
    assert len(found) == len(compiled.candidate_programs)
    assert {event.metadata["failed_examples"] for event in found.values()} == {"1"}


def test_an_evaluation_without_a_compile_is_no_run(tmp_path: Path) -> None:
    with recording(tmp_path):
        dspy.Evaluate(devset=search.EXAMPLES, metric=search.exact)(search.program())
    assert all_completions(tmp_path) == []


def test_two_compiles_at_once_are_two_runs(tmp_path: Path) -> None:
    results: list[Any] = []
    with recording(tmp_path):
        callbacks, lm = dspy.settings.callbacks, dspy.settings.lm

        def compile_here() -> None:
            with dspy.context(callbacks=callbacks, lm=lm):
                results.append(random_search(num_threads=1))

        threads = [threading.Thread(target=compile_here) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    runs = {each.run_id for each in all_completions(tmp_path)}
    assert len(runs) == len(results) == 2
    for run_id in runs:
        assert scores(candidates(tmp_path, run_id)) == [
            each["score"] for each in results[0].candidate_programs
        ]
