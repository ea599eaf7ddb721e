"""DSPy: random search, COPRO, MIPROv2 and SIMBA by one callback, which hands GEPA to its own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from evometrics.producers.recording import Recorder
from tests.frameworks.expected import Candidate, Expected
from tests.support.gepa_search import accepted

PACKAGES = ("dspy[optuna]", "gepa")


def run(recorder: Recorder, folder: Path) -> Expected:
    import dspy
    from dspy.utils.callback import BaseCallback

    from evometrics.producers.integrations.dspy import EvometricsCallback
    from tests.support.dspy_search import EXAMPLES, Engine, exact, exact_for_gepa, model, program

    lm = model(Engine())
    dspy.configure(lm=lm)
    both = {"trainset": EXAMPLES, "valset": EXAMPLES}
    bootstrapped = {"max_bootstrapped_demos": 1, "max_labeled_demos": 2, "num_threads": 4}
    search = dspy.BootstrapFewShotWithRandomSearch(metric=exact, num_candidate_programs=8, **bootstrapped)
    mipro = dspy.MIPROv2(metric=exact, auto=None, num_candidates=4, **bootstrapped)
    simba = dspy.SIMBA(metric=exact, bsize=4, num_candidates=3, max_steps=3, max_demos=1, num_threads=2)
    refused = Refused("dspy-gepa")
    of_gepa = {"reflection_lm": lm, "track_stats": True, "max_metric_calls": 120, "num_threads": 2}
    gepa = dspy.GEPA(metric=exact_for_gepa, seed=1, gepa_kwargs={"callbacks": [refused]}, **of_gepa)
    compiles = {
        "dspy-search": (search, {"trainset": EXAMPLES}),
        "dspy-copro": (
            dspy.COPRO(metric=exact, breadth=3, depth=2),
            {"trainset": EXAMPLES, "eval_kwargs": {}},
        ),
        "dspy-mipro": (mipro, {**both, "num_trials": 6, "minibatch": False}),
        "dspy-simba": (simba, {"trainset": EXAMPLES}),
        "dspy-gepa": (gepa, both),
    }
    recorder.new_run_id = iter(compiles).__next__  # type: ignore[method-assign]
    evaluated: list[float] = []

    class Evaluated(BaseCallback):  # type: ignore[misc]
        def on_evaluate_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
            evaluated.append(outputs.score)

    dspy.configure(callbacks=[EvometricsCallback(recorder=recorder), Evaluated()])
    candidates: list[Candidate] = []
    for run_id, (optimizer, options) in compiles.items():
        evaluated.clear()
        compiled = optimizer.compile(program(), **options)
        candidates += refused.found if run_id == "dspy-gepa" else []
        candidates += account(run_id, compiled, evaluated)
    return Expected(tuple(compiles), ("score",), tuple(candidates))


def account(run_id: str, compiled: Any, evaluated: list[float]) -> list[Candidate]:
    """Return the candidates that a compiled program holds, in the order of their evaluations."""
    if hasattr(compiled, "detailed_results"):
        return accepted(compiled.detailed_results, run_id)
    programs = compiled.candidate_programs
    assert len(evaluated) in (0, len(programs), getattr(compiled, "total_calls", 0)), run_id
    assert {each["score"] for each in programs} == set(evaluated or (each["score"] for each in programs))
    scores = evaluated or [each["score"] for each in programs]
    return [Candidate(f"{run_id}/{number}", {"score": score}) for number, score in enumerate(scores)]


class Refused:
    """Notes the candidates that GEPA refused, by its own events; each iteration has one proposal."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.found: list[Candidate] = []

    def on_candidate_selected(self, event: Any) -> None:
        self.parent = event["candidate_idx"]

    def on_proposal_end(self, event: Any) -> None:
        (text,) = event["new_instructions"].values()
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:8]

    def on_candidate_rejected(self, event: Any) -> None:
        name = f"{self.run_id}/{event['iteration']}-0-{self.digest}"
        self.found.append(Candidate(name, {}, (f"{self.run_id}/{self.parent}",)))
