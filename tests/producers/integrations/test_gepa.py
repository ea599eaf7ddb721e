"""GEPA's runs, recorded by its callback: every candidate once, as GEPA has it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from gepa.strategies.proposal_sampling import SameParentSampling

from evometrics.producers.integrations.gepa import EvometricsCallback
from evometrics.producers.recording import Recorder
from tests.support.gepa_search import SEED, Model, Witness, Words, accepted, search
from tests.support.outboxes import config
from tests.support.recorded import all_completions, as_expected, candidates, progress_of, run_of, wanted


def recorded(folder: Path, seed: int = 0, words: Words | None = None, **options: Any) -> tuple[Any, Witness]:
    """Run GEPA with a recorder of its own; return its result and what a witness saw."""
    words, model = words or Words(), Model(seed)
    witness = Witness(words, "r")
    with Recorder(config(folder)) as recorder:
        callback = EvometricsCallback(lm=model, recorder=recorder, run_id="r")
        result = search(words, model, [callback, witness], seed=seed, **options)
    assert recorder.lost == 0
    return result, witness


def test_each_candidate_is_there_with_its_score_and_parents(tmp_path: Path) -> None:
    result, witness = recorded(tmp_path)
    found = candidates(tmp_path, "r")
    every = [*accepted(result, "r"), *witness.refused, *witness.failed]
    assert as_expected(found.values(), "score") == wanted(every, "score")
    kinds = Counter((each.strategy_used, len(each.parent_agent_ids)) for each in found.values())
    assert kinds[("seed", 0)] == 1
    assert kinds[("merge", 2)] >= 4, "merges, refused ones too"
    statuses = Counter(each.status for each in found.values())
    assert statuses["rejected"] == len(witness.refused) >= 10
    assert statuses["failed"] == len(witness.failed) >= 3
    assert statuses["succeeded"] + statuses["rolled_back"] == len(result.candidates) >= 10
    for index, texts in enumerate(result.candidates):
        text = found[f"r/{index}"].candidate
        assert all(each in text for each in texts.values())


def test_a_score_on_a_minibatch_is_a_mean_and_stands_apart(tmp_path: Path) -> None:
    result, _ = recorded(tmp_path)
    for event in candidates(tmp_path, "r").values():
        mean = event.post_kpis.get("minibatch_score")
        assert (mean is None) == (event.status == "failed" or event.agent_id == "r/0")
        assert mean is None or 0.0 <= mean <= 1.5, "no sum of three examples"
        assert ("score" in event.post_kpis) == (event.agent_id.split("/")[1].isdigit())
    ended = run_of(tmp_path, "r")
    assert ended.status == "succeeded"
    assert ended.post_kpis["score"] == max(result.val_aggregate_scores)
    assert ended.evaluations == result.total_metric_calls
    assert [each.iteration for each in progress_of(tmp_path, "r")][:3] == [1, 2, 3]


def test_what_the_model_used_is_shared_out_and_nothing_is_left(tmp_path: Path) -> None:
    words, model = Words(), Model(3)
    with Recorder(config(tmp_path)) as recorder:
        callback = EvometricsCallback(lm=model, recorder=recorder, run_id="r")
        several = {"sampling_strategy": SameParentSampling(3), "use_merge": False}
        result = search(words, model, [callback], seed=3, **several)
    found = candidates(tmp_path, "r").values()
    assert len(result.candidates) < len(found)
    assert sum(each.tokens_in or 0 for each in found) == model.total_tokens_in
    assert sum(each.tokens_out or 0 for each in found) == model.total_tokens_out
    assert sum(each.cost_usd or 0.0 for each in found) == pytest.approx(model.total_cost)
    assert {each.model for each in found if each.agent_id != "r/0"} == {"local/words"}
    # three proposals in an iteration, in its order: each refused one has its own text and parent
    refused = [each for each in found if each.status == "rejected"]
    assert len({each.agent_id for each in refused}) == len(refused) >= 5
    assert as_expected([e for e in found if "score" in e.post_kpis], "score") == wanted(
        accepted(result, "r"), "score"
    )


def test_a_run_that_is_resumed_goes_on_and_doubles_nothing(tmp_path: Path) -> None:
    folder, run_dir = tmp_path / "node", str(tmp_path / "gepa")
    folder.mkdir()
    first, before = recorded(folder, run_dir=run_dir, calls=80)
    with Recorder(config(folder)) as recorder:  # another process, which is not told the run's id
        words = Words()
        witness = Witness(words, "r")
        callbacks = [EvometricsCallback(recorder=recorder), witness]
        second = search(words, Model(5), callbacks, calls=200, run_dir=run_dir)
    assert len(second.candidates) > len(first.candidates) > 2
    every = [*accepted(second, "r"), *before.refused, *before.failed, *witness.refused, *witness.failed]
    found = candidates(folder, "r")
    assert as_expected(found.values(), "score") == wanted(every, "score")
    assert len(all_completions(folder)) == len(found) + 2, "each once, and the run's two parts"
    new = [each for each in found.values() if each.post_kpis.keys() == {"score", "minibatch_score"}]
    for each in new:
        above = max(found[parent].post_kpis["score"] for parent in each.parent_agent_ids)
        assert each.success == (each.post_kpis["score"] > above), "parents of the first part are known"


def test_a_resumed_run_that_was_not_recorded_has_the_candidates_that_it_began_with(tmp_path: Path) -> None:
    run_dir = str(tmp_path / "gepa")
    search(Words(), Model(0), [], calls=80, run_dir=run_dir)
    (tmp_path / "node").mkdir()
    result, _ = recorded(tmp_path / "node", run_dir=run_dir, calls=120)
    found = candidates(tmp_path / "node", "r")
    with_score = [each for each in found.values() if "score" in each.post_kpis]
    assert as_expected(with_score, "score") == wanted(accepted(result, "r"), "score")


def test_a_run_that_had_ended_and_is_called_again_is_no_other_run(tmp_path: Path) -> None:
    run_dir = str(tmp_path / "gepa")
    result, _ = recorded(tmp_path, calls=80, run_dir=run_dir)
    before = len(all_completions(tmp_path))
    with Recorder(config(tmp_path)) as recorder:
        again = search(Words(), Model(0), [EvometricsCallback(recorder=recorder)], calls=80, run_dir=run_dir)
    assert again.candidates == result.candidates
    assert len(all_completions(tmp_path)) == before


def test_a_run_of_the_seed_alone_is_recorded(tmp_path: Path) -> None:
    result, _ = recorded(tmp_path, calls=1)
    assert as_expected(candidates(tmp_path, "r").values(), "score") == wanted(accepted(result, "r"), "score")
    assert run_of(tmp_path, "r").status == "succeeded"


@pytest.mark.parametrize("error", [RuntimeError("no disk"), KeyboardInterrupt()], ids=repr)
def test_what_ends_a_run_is_said_and_what_was_under_way_has_failed(
    error: BaseException, tmp_path: Path
) -> None:
    words = Words(raises_at=9, error=error)  # a proposal's minibatch
    with pytest.raises(type(error)):
        recorded(tmp_path, words=words, raise_on_exception=True, seed=1)
    ended = run_of(tmp_path, "r")
    assert ended.status == "failed"
    assert type(error).__name__ in ended.insights[0]
    failed = [each for each in candidates(tmp_path, "r").values() if each.status == "failed"]
    assert len(failed) == 1
    assert type(error).__name__ in failed[0].insights[0]


def test_an_error_that_gepa_goes_on_after_ends_no_run(tmp_path: Path) -> None:
    words = Words(raises_at=9, error=RuntimeError("a moment's"))
    result, _ = recorded(tmp_path, words=words, seed=1, calls=120)
    assert run_of(tmp_path, "r").status == "succeeded"
    insights = [each.insights for each in candidates(tmp_path, "r").values() if each.status == "failed"]
    assert ['RuntimeError("a moment\'s")'] in insights
    assert len(result.candidates) > 2


def test_gepa_gives_the_same_result_without_it(tmp_path: Path) -> None:
    result, _ = recorded(tmp_path, calls=120)
    alone = search(Words(), Model(0), [], calls=120, seed=0)
    assert alone.to_dict() == result.to_dict()
    assert result.candidates[0] == SEED


def test_a_run_that_someone_begins_while_handling_an_error_has_not_failed_for_it(tmp_path: Path) -> None:
    try:
        raise ValueError("of before")
    except ValueError:
        recorded(tmp_path, calls=60)
    assert run_of(tmp_path, "r").status == "succeeded"
