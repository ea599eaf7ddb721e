"""A small search for GEPA, the same each time: words for two components, without a language model."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import gepa
from gepa.core.adapter import EvaluationBatch

from tests.frameworks.expected import Candidate

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
#: An example names a component and the words that it should have.
EXAMPLES = [(part, WORDS[i : i + 2]) for part in ("first", "second") for i in range(0, len(WORDS), 2)]
SEED = {"first": "none", "second": "none"}


class Silent:
    """GEPA's logger, which prints otherwise."""

    def log(self, message: str) -> None:
        pass


class Words:
    """Scores texts by the words in them; `candidates` are those that it was given, in order."""

    propose_new_texts = None

    def __init__(self, raises_at: int = 0, error: BaseException | None = None) -> None:
        self.raises_at, self.error = raises_at, error
        self.candidates: list[Mapping[str, str]] = []

    def evaluate(
        self, batch: Sequence[Any], candidate: Mapping[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[Any, Any]:
        self.candidates.append(candidate)
        if self.error is not None and len(self.candidates) == self.raises_at:
            raise self.error
        has = {part: set(text.split()) for part, text in candidate.items()}
        extra = 0.5 - sum(map(len, has.values())) / 32
        scores = [sum(word in has[part] for word in words) / len(words) + extra for part, words in batch]
        return EvaluationBatch(scores, scores, scores if capture_traces else None)

    def make_reflective_dataset(
        self, candidate: Mapping[str, str], batch: EvaluationBatch[Any, Any], components: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        scores = [{"score": score} for score in batch.trajectories or ()]
        return {part: [{"text": candidate[part], **each} for each in scores] for part in components}


class Model:
    """A reflection model: gives one to three words; two of seven calls fail: GEPA asks twice."""

    model = "local/words"

    def __init__(self, seed: int) -> None:
        self.words, self.calls = random.Random(seed), 0
        self.total_cost, self.total_tokens_in, self.total_tokens_out = 0.0, 0, 0

    def __call__(self, prompt: str | list[dict[str, Any]]) -> str:
        self.calls += 1
        if self.calls % 7 in (5, 6):
            raise ConnectionError("the model is unreachable")
        self.total_cost += 0.25
        self.total_tokens_in += 100
        self.total_tokens_out += 7
        words = self.words.sample(WORDS, self.words.randint(1, 3))
        return f"```\n{' '.join(sorted(words))}\n```"


class Witness:
    """Notes what GEPA does not keep: refused candidates and reflections without a text, as expected names."""

    def __init__(self, words: Words, run_id: str) -> None:
        self.words, self.run_id = words, run_id
        self.refused: list[Candidate] = []
        self.failed: list[Candidate] = []

    def on_iteration_start(self, event: Any) -> None:
        self.asked, self.answered = False, False

    def on_candidate_selected(self, event: Any) -> None:
        self.parents = [event["candidate_idx"]]

    def on_proposal_start(self, event: Any) -> None:
        self.asked = True

    def on_proposal_end(self, event: Any) -> None:
        self.answered = True

    def on_candidate_rejected(self, event: Any) -> None:
        text = json.dumps(self.words.candidates[-1], ensure_ascii=False, indent=1)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        self.refused.append(self.candidate(f"{event['iteration']}-0-{digest}"))

    def on_merge_rejected(self, event: Any) -> None:
        self.parents = list(event["parent_ids"])
        self.on_candidate_rejected(event)

    def on_iteration_end(self, event: Any) -> None:
        if self.asked and not self.answered:
            self.failed.append(self.candidate(f"{event['iteration']}-0"))

    def candidate(self, name: str) -> Candidate:
        parents = tuple(f"{self.run_id}/{index}" for index in self.parents)
        return Candidate(f"{self.run_id}/{name}", {}, parents)


def search(words: Words, model: Model, callbacks: list[Any], calls: int = 300, **options: Any) -> Any:
    """Run GEPA; return its result."""
    return gepa.optimize(
        seed_candidate=SEED,
        trainset=EXAMPLES,
        valset=EXAMPLES,
        adapter=words,
        reflection_lm=model,
        max_metric_calls=calls,
        callbacks=callbacks,
        logger=Silent(),
        **{"use_merge": True, "raise_on_exception": False, "skip_perfect_score": False, **options},
    )


def accepted(result: Any, run_id: str) -> list[Candidate]:
    """Return the candidates of a result."""
    return [
        Candidate(
            f"{run_id}/{index}",
            {"score": score},
            tuple(f"{run_id}/{each}" for each in parents if each is not None),
        )
        for index, (score, parents) in enumerate(
            zip(result.val_aggregate_scores, result.parents, strict=True)
        )
    ]
