"""Nevergrad's optimizers with the adapter: what is recorded is what they were told."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy
import pytest

from evometrics.producers.integrations.nevergrad import EvometricsRecorder
from tests.support.later import Later
from tests.support.recorded_runs import RecordedRuns, recorder_in

nevergrad: Any = Later("nevergrad")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def bowl(x: Any) -> float:
    return float(((x - 0.3) ** 2).sum())


def both(x: Any) -> list[float]:
    return [float((x**2).sum()), float(((x - 1) ** 2).sum())]


def holed(x: Any) -> float:
    return math.nan if x[0] > 0 else bowl(x)


def optimizer_of(name: str = "TwoPointsDE", budget: int = 60, **more: Any) -> Any:
    parametrization = nevergrad.p.Array(shape=(3,), lower=-2.0, upper=2.0)
    parametrization.random_state.seed(4)
    return nevergrad.optimizers.registry[name](parametrization, budget=budget, **more)


class Told:
    """Nevergrad's own candidates and losses, in the order in which they are told."""

    def __init__(self, optimizer: Any) -> None:
        self.candidates: list[Any] = []
        optimizer.register_callback("tell", self)

    def __call__(self, optimizer: Any, candidate: Any, loss: float) -> None:
        self.candidates.append(candidate)


@pytest.mark.parametrize("name", ["OnePlusOne", "TwoPointsDE", "PSO", "CMA", "NelderMead", "RandomSearch"])
def test_every_candidate_that_is_told_is_recorded(name: str, tmp_path: Path) -> None:
    recorder, optimizer = recorder_in(tmp_path), optimizer_of(name)
    told = Told(optimizer)
    optimizer.register_callback("tell", EvometricsRecorder(recorder=recorder))
    optimizer.minimize(bowl)
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.by_name) == optimizer.num_tell == 60
    assert found.scores == {each.uid: {"loss": each.loss} for each in told.candidates}
    uids = {each.uid for each in told.candidates}
    known = {each.uid: tuple(p for p in each.parents_uids if p in uids) for each in told.candidates}
    assert found.parents == known
    assert [each.generation for each in found.candidates] == [each.generation for each in told.candidates]
    assert [each.iteration for each in found.progress] == [10, 20, 30, 40, 50, 60]
    assert [each.evaluations for each in found.progress] == [10, 20, 30, 40, 50, 60]
    best = min(each.loss for each in told.candidates)
    assert found.progress[-1].fitness == best
    [session] = found.sessions
    assert (session.status, session.direction, session.post_kpis) == ("succeeded", "minimize", {"loss": best})
    assert session.evaluations == 60


def test_a_stand_in_for_nan_is_no_score(tmp_path: Path) -> None:
    recorder, optimizer = recorder_in(tmp_path), optimizer_of()
    told = Told(optimizer)
    with EvometricsRecorder(optimizer, recorder=recorder):
        optimizer.minimize(holed)
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.by_name) == 60
    assert {name for name, kpis in found.scores.items() if not kpis} == {
        each.uid for each in told.candidates if each.loss == 5e20
    }
    failed = [each for each in found.candidates if each.status == "failed"]
    assert 0 < len(failed) < 60
    assert all(each.metadata["score"].startswith("5e20") and not each.post_kpis for each in failed)
    assert all(each.mean is None or each.mean < 100 for each in found.progress)


def test_several_objectives_are_kpis(tmp_path: Path) -> None:
    recorder, optimizer = recorder_in(tmp_path), optimizer_of("CMA")
    told = Told(optimizer)
    with EvometricsRecorder(optimizer, recorder=recorder):
        optimizer.minimize(both)
    found = RecordedRuns.of(recorder, tmp_path)
    losses = {each.uid: dict(zip(("loss_0", "loss_1"), each.losses, strict=True)) for each in told.candidates}
    assert found.scores == losses
    points = numpy.array([each.losses for each in told.candidates])
    front = [each for each in points if not ((points <= each).all(1) & (points < each).any(1)).any()]
    assert found.progress[-1].front_size == len(front) >= len(optimizer.pareto_front())
    assert (found.started[0].objective, found.started[0].direction) == (None, "pareto")


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_an_executor_s_candidates_are_recorded(kind: str, tmp_path: Path) -> None:
    recorder, optimizer = recorder_in(tmp_path), optimizer_of(num_workers=4)
    optimizer.register_callback("tell", EvometricsRecorder(recorder=recorder))
    context = get_context("fork")
    with ThreadPoolExecutor(4) if kind == "threads" else ProcessPoolExecutor(2, context) as executor:
        optimizer.minimize(bowl, executor=executor)
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.by_name) == optimizer.num_tell == 60


def test_an_objective_that_raises_is_recorded_and_ends_the_run(tmp_path: Path) -> None:
    recorder, optimizer = recorder_in(tmp_path), optimizer_of()

    def unwilling(x: Any) -> float:
        if optimizer.num_tell == 17:
            raise ValueError("refused")
        return bowl(x)

    with pytest.raises(ValueError, match="refused"), EvometricsRecorder(optimizer, recorder=recorder):
        optimizer.minimize(unwilling)
    found = RecordedRuns.of(recorder, tmp_path)
    assert [each.status == "failed" for each in found.candidates] == [False] * 17 + [True]
    assert found.candidates[-1].insights == ["ValueError('refused')"]
    assert found.sessions[0].status == "failed"


def test_what_is_told_without_being_asked_for_and_told_twice_is_recorded(tmp_path: Path) -> None:
    recorder, optimizer = recorder_in(tmp_path), optimizer_of()
    with EvometricsRecorder(optimizer, recorder=recorder):
        own = optimizer.parametrization.spawn_child(new_value=[0.0, 0.0, 0.0])
        optimizer.tell(own, 7.0)
        optimizer.tell(own, 6.0)
        asked = optimizer.ask()
        optimizer.tell(asked, 5.0)
    found = RecordedRuns.of(recorder, tmp_path)
    assert list(found.by_name) == [own.uid, f"{own.uid}-2", asked.uid]
    assert len(found.by_name) == optimizer.num_tell
    assert optimizer.num_tell_not_asked == 2


def test_a_dumped_optimizer_continues_its_run(tmp_path: Path) -> None:
    recorder, optimizer = recorder_in(tmp_path), optimizer_of("PSO")
    optimizer.register_callback("tell", EvometricsRecorder(recorder=recorder))
    for _ in range(25):
        asked = optimizer.ask()
        optimizer.tell(asked, bowl(asked.value))
    optimizer.dump(tmp_path / "dumped")
    recorder.close()
    loaded = type(optimizer).load(tmp_path / "dumped")
    loaded.minimize(bowl)
    found = RecordedRuns.of(recorder, tmp_path)
    assert len(found.by_name) == loaded.num_tell == 60
    assert len({each.run_id for each in found.candidates}) == 1
    assert [each.evaluations for each in found.sessions] == [60]
    assert {parent for parents in found.parents.values() for parent in parents} <= found.by_name.keys()
