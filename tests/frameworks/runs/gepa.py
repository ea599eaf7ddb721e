"""GEPA: three searches with merges, refused candidates and failed reflections, one of them in two parts."""

from __future__ import annotations

from pathlib import Path

from evometrics.producers.recording import Recorder
from tests.frameworks.expected import Candidate, Expected

PACKAGES = ("gepa",)
#: By run: the number of evaluations at which each of its parts ends.
RUNS = {"gepa-a": (300,), "gepa-b": (300,), "gepa-resumed": (90, 250)}


def run(recorder: Recorder, folder: Path) -> Expected:
    from evometrics.producers.integrations.gepa import EvometricsCallback
    from tests.support.gepa_search import Model, Witness, Words, accepted, search

    candidates: list[Candidate] = []
    for seed, (run_id, parts) in enumerate(RUNS.items()):
        result = None
        for calls in parts:
            words, model = Words(), Model(seed)
            witness = Witness(words, run_id)
            callback = EvometricsCallback(lm=model, recorder=recorder, run_id=run_id)
            result = search(words, model, [callback, witness], calls, seed=seed, run_dir=str(folder / run_id))
            candidates += witness.refused + witness.failed
        candidates += accepted(result, run_id)
    return Expected(tuple(RUNS), ("score",), tuple(candidates))
