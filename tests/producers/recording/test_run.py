"""What a run makes of candidates, whatever framework gives them."""

from __future__ import annotations

import math
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evometrics.producers import Recorder, Run
from evometrics.schemas.events import EvolutionCompleted, EvolutionProgressed
from tests.support.history_of import completed, recorded, started


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recorded.db"


@pytest.fixture
def recorder(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    monkeypatch.delenv("EVOMETRICS_KAFKA_BROKERS", raising=False)
    with Recorder({"db_path": str(file)}, run_id="night") as recorder:
        yield recorder
        assert recorder.lost == 0


def by_name(file: Path) -> dict[str, EvolutionCompleted]:
    """Return what was recorded of each candidate, and of the run under the run's own id."""
    return {event.evolution_id.removeprefix("night/"): event for event in completed(file)}


def test_a_run_is_an_evolution_and_so_is_each_candidate(recorder: Recorder, file: Path) -> None:
    run = Run("toy", recorder=recorder, objective="loss", direction="minimize", strategy="random")
    run.candidate("a", score=0.5, evaluations=3, cost_usd=0.1, tokens_in=5, model="small", candidate="text")
    run.candidate("b", score=np.float64(0.1) + 0.2, parents=["a"], generation=1, kpis={"speed": 2.0})
    run.end()
    run.end()
    recorder.close()
    found = by_name(file)
    first, second, whole = found["a"], found["b"], found["night"]
    assert [event.run_id for event in found.values()] == ["night"] * 3
    assert (first.evolution_type, first.agent_id, first.strategy_used) == ("toy", "night/a", "random")
    assert (first.evaluations, first.cost_usd, first.tokens_in, first.model) == (3, 0.1, 5, "small")
    assert (first.candidate, len(first.candidate_hash or "")) == ("text", 64)
    assert second.parent_agent_ids == ["night/a"]
    assert second.post_kpis == {"loss": 0.1 + 0.2, "speed": 2.0}
    assert (second.pre_kpis, second.generation) == ({"loss": 0.5}, 1)
    assert (whole.evolution_type, whole.agent_id, whole.post_kpis) == ("toy_run", "toy", {"loss": 0.1 + 0.2})
    assert (whole.evaluations, whole.status) == (4, "succeeded")
    assert [start.evolution_id for start in started(file)] == ["night"]


@pytest.mark.parametrize(("direction", "expected"), [("maximize", "a b"), ("minimize", "a c d")])
def test_a_candidate_succeeds_where_it_is_better_than_all_parents_or_else_the_best(
    recorder: Recorder, file: Path, direction: str, expected: str
) -> None:
    run = Run("toy", recorder=recorder, direction=direction)
    run.candidate("a", score=1.0)
    run.candidate("b", score=2.0)
    run.candidate("c", score=0.5, parents=["b", "a"])
    run.candidate("d", score=0.4)
    run.candidate("e", score=0.4, parents=["d", "unknown"])
    recorder.close()
    assert " ".join(name for name, event in by_name(file).items() if event.success) == expected


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, None, "no number"])
def test_what_is_no_number_is_no_score(recorder: Recorder, file: Path, score: Any) -> None:
    run = Run("toy", recorder=recorder)
    run.candidate("a", score=score)
    run.candidate("b", score=-5.0)
    recorder.close()
    bad, good = by_name(file)["a"], by_name(file)["b"]
    assert (bad.status, bad.post_kpis) == ("failed", {})
    assert bad.metadata.get("score") == (None if score is None else str(score))
    assert good.success and good.pre_kpis == {}


def test_what_was_pruned_or_refused_is_no_reference(recorder: Recorder, file: Path) -> None:
    run = Run("toy", recorder=recorder)
    run.candidate("refused", score=9.0, status="rejected")
    run.candidate("pruned", score=9.0, status="pruned")
    run.candidate("a", score=1.0, parents=["refused"])
    recorder.close()
    found = by_name(file)
    assert [found[name].status for name in ("refused", "pruned", "a")] == ["rejected", "pruned", "succeeded"]
    assert found["a"].pre_kpis == {}


def test_with_several_objectives_the_front_succeeds(recorder: Recorder, file: Path) -> None:
    ways = {"direction.mass": "minimize", "direction.speed": "maximize"}
    run = Run("toy", recorder=recorder, direction="pareto", metadata=ways)
    run.candidate("a", scores={"mass": 1.0, "speed": 1.0})
    run.candidate("dominated", scores={"mass": 2.0, "speed": 1.0})
    run.candidate("b", scores={"mass": 2.0, "speed": 2.0})
    run.candidate("half", scores={"mass": 0.1, "speed": math.nan})
    run.end()
    recorder.close()
    found = by_name(file)
    assert [name for name, event in found.items() if event.success] == ["a", "b", "night"]
    assert found["half"].post_kpis == {"mass": 0.1} and found["half"].metadata["score.speed"] == "nan"
    assert (found["a"].objective, found["a"].direction) == (None, "pareto")
    assert found["a"].metadata["direction.mass"] == "minimize"
    assert len(run.scores.front) == 2


def test_a_name_counts_once_and_an_identity_in_every_process(recorder: Recorder, file: Path) -> None:
    for _ in range(2):  # as by two processes that share a run
        run = Run("toy", recorder=recorder, run_id="night")
        for _ in range(2):
            run.candidate("a", score=1.0, identity="toy/a/2026", ended_at=1.7e9)
        recorder.close()
    assert [event.evolution_id for event in completed(file) if event.evolution_type == "toy"] == ["night/a"]


def test_progress_and_an_error_are_the_runs(recorder: Recorder, file: Path) -> None:
    run = Run("toy", recorder=recorder)
    run.progress(0, best=1.0, mean=0.5, evaluations=10, front_size=3, extras={"spread": 0.2})
    run.progress(1, best=math.nan)
    run.end(ValueError("gone"))
    recorder.close()
    first, second = [event for event in recorded(file) if isinstance(event, EvolutionProgressed)]
    assert (first.fitness, first.mean, first.evaluations, first.front_size) == (1.0, 0.5, 10, 3)
    assert first.extras == {"spread": 0.2}
    assert (second.iteration, second.unmeasured) == (1, ["fitness"])
    (whole,) = completed(file)
    assert (whole.status, whole.insights) == ("failed", ["error: ValueError: gone"])
    assert whole.fitness_trajectory == [1.0]


def test_it_is_thread_safe_and_may_be_pickled(recorder: Recorder, file: Path) -> None:
    run = Run("toy", recorder=recorder)

    def work(name: str) -> None:
        for number in range(100):
            run.candidate(f"{name}{number}", score=number)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    copy = pickle.loads(pickle.dumps(run))
    copy.candidate("a0")
    copy.candidate("late", score=1000)
    run.end()
    recorder.close()
    names = list(by_name(file))
    assert len(names) == len(completed(file)) == 402
    assert sum(event.success for event in completed(file) if event.evolution_type == "toy") >= 100


def test_nothing_that_a_framework_hands_in_raises(recorder: Recorder) -> None:
    class Odd:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("no")

    odd: Any = Odd()
    run = Run("toy", recorder=recorder)
    run.begin(odd=odd)
    run.candidate(odd, score=odd, parents=[odd], metadata={"odd": odd}, candidate=odd)
    run.candidate("b", scores=odd, parents=odd)
    run.progress(odd, best=odd, extras=odd)
    run.end(odd, metadata=odd)
    recorder.failed = 0
