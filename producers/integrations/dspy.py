"""DSPy: `dspy.configure(callbacks=[EvometricsCallback()])`: each optimizer's `compile` is a run.

Seen with dspy 3.4.1 (`dspy/utils/callback.py`, `dspy/teleprompt`): BootstrapFewShotWithRandomSearch, COPRO,
MIPROv2, SIMBA and GEPA. Compile and evaluate call in the thread that compiles; what a callback raises is
caught and logged by DSPy.

- Compile events nest, for optimizers use each other: a run is what was called with no call of DSPy around
  it.
- A candidate is an evaluation on the whole set (as many examples as the largest so far), named by the
  evaluation's number in the run. Those on fewer examples (MIPROv2) are progress (`minibatch_score`), and a
  program that never got further is recorded as rejected when the compile ends.
- Scores are DSPy's own: an evaluation gives per cent, rounded to two digits; SIMBA gives shares. The
  metadata `score_unit` says which.
- SIMBA sends no evaluate events: its candidate programs are recorded from the compiled program, as are
  those of any optimizer that evaluates by itself.
- An example that raised counts as the evaluation's `failure_score`: the metadata `failed_examples` counts
  those without any output. An evaluation that raised has failed.
- GEPA's evaluations mix minibatches and whole sets: its compile gets `gepa.EvometricsCallback` instead,
  unless it has one.
- DSPy tells no parents.
- Cost and tokens are those of all model calls in DSPy's history since the last candidate, proposals of
  instructions included; a call of a model without a known price has none. Two compiles at once share the
  history.
"""

from __future__ import annotations

import json
import math
import time
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from dspy.clients import base_lm
from dspy.primitives.prediction import Prediction
from dspy.utils.callback import ACTIVE_CALL_ID, BaseCallback

from evometrics.producers.integrations import gepa
from evometrics.producers.integrations.spending import Spending
from evometrics.producers.recording import Recorder, Run


@dataclass(eq=False)
class Compile:
    """A compile under way. `waiting`: scores on minibatches of programs without any other, by text."""

    run: Run
    strategy: str
    history: Any
    evaluations: int = 0
    examples: int = 0
    largest: int = 0
    best: float | None = None
    waiting: dict[str, list[float]] = field(default_factory=dict)


class EvometricsCallback(BaseCallback):  # type: ignore[misc]
    """Records each compile as a run, with all the programs that it evaluates."""

    def __init__(self, *, recorder: Recorder | None = None, agent_id: str | None = None) -> None:
        self.recorder, self.agent_id = recorder, agent_id
        self.compiles: dict[str, Compile] = {}
        self.gepas: dict[str, tuple[Any, dict[str, Any]]] = {}
        self.evaluations: dict[str, tuple[Compile, str, int, float]] = {}
        self.current: ContextVar[Compile | None] = ContextVar("compile", default=None)
        self.tokens: dict[str, Token[Compile | None]] = {}

    def on_compile_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Begin a run, or hand over to GEPA's own callback."""
        if hasattr(instance, "gepa_kwargs"):
            others = instance.gepa_kwargs.get("callbacks") or []
            self.gepas[call_id] = instance, instance.gepa_kwargs
            if not any(isinstance(each, gepa.EvometricsCallback) for each in others):
                lm = History(instance.reflection_lm) if instance.reflection_lm is not None else None
                ours = gepa.EvometricsCallback(lm=lm, recorder=self.recorder, agent_id=self.agent_id)
                instance.gepa_kwargs = {**instance.gepa_kwargs, "callbacks": [*others, ours]}
            self.tokens[call_id] = self.current.set(None)
        elif ACTIVE_CALL_ID.get() is None:
            run = Run("dspy", recorder=self.recorder, agent_id=self.agent_id, objective="score")
            strategy = type(instance).__name__
            sizes = {name: len(inputs.get(name) or ()) for name in ("trainset", "valset")}
            run.begin(strategy=strategy, metadata={"optimizer": strategy, **sizes})
            self.compiles[call_id] = found = Compile(run, strategy, last_call())
            self.tokens[call_id] = self.current.set(found)

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Note an evaluation of a compile."""
        if (found := self.current.get()) is not None:
            examples = inputs.get("devset") or instance.devset
            self.evaluations[call_id] = found, text_of(inputs["program"]), len(examples), time.time()

    def on_evaluate_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Record the program that was evaluated, or the progress where it was on some examples only."""
        if (begun := self.evaluations.pop(call_id, None)) is None:
            return
        found, text, examples, started_at = begun
        number, found.evaluations = found.evaluations, found.evaluations + 1
        found.examples += examples
        found.largest = max(found.largest, examples)
        score = None if outputs is None else outputs.score
        progress: dict[str, Any] = {"evaluations": found.examples}
        if score is not None and examples < found.largest:
            found.waiting.setdefault(text, []).append(score)
            progress["extras"] = {"minibatch_score": score, "minibatch_size": examples}
        else:
            failed = 0 if outputs is None else sum(map(empty, outputs.results))
            minibatches = found.waiting.pop(text, [])
            self.keep(
                found,
                number,
                score,
                text,
                kpis=mean_of(minibatches),
                started_at=started_at,
                ended_at=time.time(),
                evaluations=examples,
                insights=[repr(exception)] if exception is not None else [],
                metadata={"score_unit": "per cent", **({"failed_examples": failed} if failed else {})},
                **self.spent(found).fields,
            )
        found.run.progress(number, best=found.best, **progress)

    def on_compile_end(self, call_id: str, outputs: Any, exception: Exception | None = None) -> None:
        """Record the programs that have no evaluation of their own, and the run's end."""
        if call_id in self.gepas:
            instance, given = self.gepas.pop(call_id)
            instance.gepa_kwargs = given
        if call_id in self.tokens:
            self.current.reset(self.tokens.pop(call_id))
        if (found := self.compiles.pop(call_id, None)) is None:
            return
        for text, scores in found.waiting.items():
            only = {"status": "rejected", "insights": ["evaluated on minibatches only"]}
            self.keep(found, found.evaluations, None, text, kpis=mean_of(scores), **only)
            found.evaluations += 1
        if not found.evaluations:
            programs = getattr(outputs, "candidate_programs", None) or []
            shares = self.spent(found).shares(len(programs))
            for number, (each, share) in enumerate(zip(programs, shares, strict=True)):
                text, unit = text_of(each["program"]), {"score_unit": "share"}
                self.keep(found, number, each["score"], text, metadata=unit, **share.fields)
        found.run.end(error=exception, evaluations=found.examples or None)

    def keep(self, found: Compile, number: int, score: object, program: str, **more: Any) -> None:
        """Record a program."""
        if isinstance(score, int | float) and (found.best is None or score > found.best):
            found.best = float(score)
        found.run.candidate(number, score=score, strategy=found.strategy, candidate=program, **more)

    def spent(self, found: Compile) -> Spending:
        """Return what all models used since the last candidate."""
        calls = list(takewhile(lambda call: call is not found.history, reversed(base_lm.GLOBAL_HISTORY)))
        found.history = last_call()
        return Spending.of_calls(calls)


class History:
    """A DSPy model with the totals that GEPA's models have."""

    def __init__(self, lm: Any) -> None:
        self.lm, self.model = lm, getattr(lm, "model", None)

    @property
    def total_cost(self) -> float:
        """US dollars of the calls in its history."""
        return Spending.of_calls(self.lm.history).cost_usd

    @property
    def total_tokens_in(self) -> int:
        """Tokens of their prompts."""
        return Spending.of_calls(self.lm.history).tokens_in

    @property
    def total_tokens_out(self) -> int:
        """Tokens of their answers."""
        return Spending.of_calls(self.lm.history).tokens_out


def last_call() -> object:
    """Return the newest call of a model in this process."""
    return base_lm.GLOBAL_HISTORY[-1] if base_lm.GLOBAL_HISTORY else None


def text_of(program: Any) -> str:
    """Return a program as text: the state that DSPy saves, instructions and examples."""
    try:
        return json.dumps(program.dump_state(), ensure_ascii=False, indent=1, default=str)
    except Exception:
        return repr(program)


def empty(result: tuple[Any, Any, Any]) -> bool:
    """Return whether an example has no output: the program raised, and DSPy put its failure score."""
    return isinstance(result[1], Prediction) and not result[1].keys()


def mean_of(scores: list[float]) -> dict[str, float] | None:
    """Return the KPI of a program's evaluations on minibatches."""
    return {"minibatch_score": math.fsum(scores) / len(scores)} if scores else None
