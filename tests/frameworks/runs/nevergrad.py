"""Nevergrad: five optimizers, threads, several objectives, losses that are none, a failure, and a dump."""

from __future__ import annotations

import math
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from evometrics.producers.recording import Recorder
from tests.frameworks.expected import Candidate, Expected

PACKAGES = ("nevergrad",)
STAND_IN = 5e20


class Witness:
    """What an optimizer is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def __call__(self, optimizer: Any, candidate: Any, loss: float) -> None:
        self.told.append(candidate)

    def candidates(self, run_id: str) -> list[Candidate]:
        known, found = {each.uid for each in self.told}, list[Candidate]()
        for each in self.told:
            losses = each.losses.tolist()
            kpis = dict(zip(("loss_0", "loss_1"), losses, strict=True)) if len(losses) > 1 else {}
            if len(losses) == 1 and each.loss < STAND_IN:
                kpis = {"loss": each.loss}
            parents = tuple(f"{run_id}/{parent}" for parent in each.parents_uids if parent in known)
            found.append(Candidate(f"{run_id}/{each.uid}", kpis, parents))
        return found


def bowl(x: Any) -> float:
    """Of one objective."""
    return float(((x - 0.3) ** 2).sum())


def holed(x: Any) -> float:
    """NaN for a half."""
    return math.nan if x[0] > 0.5 else bowl(x)


def both(x: Any) -> list[float]:
    """Of two objectives."""
    return [float((x**2).sum()), float(((x - 1) ** 2).sum())]


def run(recorder: Recorder, folder: Path) -> Expected:
    import nevergrad

    from evometrics.producers.integrations.nevergrad import EvometricsRecorder

    warnings.simplefilter("ignore")
    runs, candidates = list[str](), list[Candidate]()

    def begin(run_id: str, name: str, **more: Any) -> tuple[Any, Witness]:
        parametrization = nevergrad.p.Array(shape=(3,), lower=-2.0, upper=2.0)
        optimizer = nevergrad.optimizers.registry[name](parametrization, budget=100, **more)
        witness = Witness()
        optimizer.register_callback("tell", witness)
        optimizer.register_callback("tell", EvometricsRecorder(recorder=recorder, run_id=run_id))
        runs.append(run_id)
        return optimizer, witness

    for name in ("OnePlusOne", "TwoPointsDE", "PSO", "CMA", "NelderMead"):
        optimizer, witness = begin(f"ng-{name}", name)
        optimizer.minimize(bowl)
        candidates += witness.candidates(f"ng-{name}")
    optimizer, witness = begin("ng-holed", "TwoPointsDE")
    optimizer.minimize(holed)
    candidates += witness.candidates("ng-holed")
    optimizer, witness = begin("ng-both", "TwoPointsDE")
    optimizer.minimize(both)
    candidates += witness.candidates("ng-both")
    optimizer, witness = begin("ng-threads", "TwoPointsDE", num_workers=4)
    with ThreadPoolExecutor(4) as executor:
        optimizer.minimize(bowl, executor=executor)
    assert optimizer.num_tell == len(witness.told) == 100
    candidates += witness.candidates("ng-threads")
    optimizer, witness = begin("ng-dumped", "PSO")
    for _ in range(40):
        asked = optimizer.ask()
        optimizer.tell(asked, bowl(asked.value))
    optimizer.dump(folder / "dumped")
    optimizer = type(optimizer).load(folder / "dumped")
    optimizer.minimize(bowl)
    candidates += optimizer._callbacks["tell"][0].candidates("ng-dumped")
    assert optimizer.num_tell == 100
    return Expected(tuple(runs), ("loss", "loss_0", "loss_1"), tuple(candidates))
