"""GEPA betters a prompt; every prompt that it tried is recorded, the refused ones too.

    python examples/gepa_prompt.py

Two plain functions stand for language models, so it needs no network: one answers as well as its prompt says
what is asked of it, the other reads what was wrong and writes a new prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gepa
from gepa.core.adapter import EvaluationBatch

from evometrics.producers.integrations.gepa import EvometricsCallback

#: What an answer must have, by the word in a prompt that brings it about; each example asks for some.
WISHES = {"units": "kg", "steps": "1.", "short": ".", "sources": "[1]"}
EXAMPLES = [{"wishes": wishes} for wishes in (["units", "steps"], ["short"], ["sources", "units"], ["steps"])]


def answer(prompt: str, example: Mapping[str, Any]) -> str:
    """Answer as a model would that does what its prompt says, and nothing else."""
    return " ".join(WISHES[word] for word in prompt.lower().split() if word in WISHES)


class Task:
    """Scores prompts on examples, and says what the answers lacked."""

    propose_new_texts = None

    def evaluate(
        self, batch: Sequence[Mapping[str, Any]], candidate: Mapping[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[Any, Any]:
        answers = [answer(candidate["prompt"], example) for example in batch]
        lacking = [
            [wish for wish in example["wishes"] if WISHES[wish] not in text]
            for example, text in zip(batch, answers, strict=True)
        ]
        length = len(candidate["prompt"].split())
        scores = [
            1 - len(missing) / len(example["wishes"]) - length / 100
            for example, missing in zip(batch, lacking, strict=True)
        ]
        return EvaluationBatch(answers, scores, lacking if capture_traces else None)

    def make_reflective_dataset(
        self, candidate: Mapping[str, str], batch: EvaluationBatch[Any, Any], components: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        lacking = batch.trajectories or ()
        return {"prompt": [{"Feedback": f"lacks: {' '.join(missing)}"} for missing in lacking]}


def reflect(question: str | list[dict[str, Any]]) -> str:
    """Write a new prompt: the old one, and what the feedback names first, or a word of no use."""
    _, old, feedback = str(question).split("```", 2)
    named = feedback.partition("lacks: ")[2].split()
    word = next((word for word in named if word in WISHES), "please")
    return f"```\n{old.strip()} {word}\n```"


def main() -> None:
    callback = EvometricsCallback(agent_id="support-prompt")
    result = gepa.optimize(
        seed_candidate={"prompt": "Answer the question"},
        trainset=EXAMPLES,
        valset=EXAMPLES,
        adapter=Task(),
        reflection_lm=reflect,
        reflection_minibatch_size=2,
        max_metric_calls=80,
        callbacks=[callback],
        skip_perfect_score=False,
    )
    best = result.val_aggregate_scores[result.best_idx]
    print(f"{result.val_aggregate_scores[0]:.3f} -> {best:.3f}: {result.candidates[result.best_idx]}")
    if callback.run is not None:
        print(f"recorded: {callback.run.scores.count} candidates, as run {callback.run.run_id}")


if __name__ == "__main__":
    main()
