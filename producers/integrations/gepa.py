"""GEPA: `gepa.optimize(..., callbacks=[EvometricsCallback()])`; `optimize_anything` and `dspy.GEPA`, too.

Seen with gepa 0.1.4 (`gepa/core/callbacks.py`, `gepa/core/engine.py`). All calls come in the thread that
runs `optimize`; what a callback raises is caught and logged by GEPA. Candidates are recorded as their
iteration ends.

- `new_score` of an accepted candidate is the sum over a minibatch. The score here is the mean over the
  validation set, from `on_valset_evaluated`; the minibatch's mean is the KPI `minibatch_score`.
- A rejected candidate has no index, and its event neither parent nor text: they come from the iteration's
  other events, and its name is `ITERATION-NUMBER-HASH`, of its text.
- A reflection that gave no text has no event at all: its `on_proposal_start` alone tells of it. It is
  recorded as failed, and so is what was under way when an iteration ended by an error.
- A resumed run (`run_dir`) announces the seed again and none of the others: the folder keeps the run's id
  and the number of candidates recorded (`evometrics_run.json`), what is more in GEPA's state is recorded.
- Cost and tokens are in no event: give the reflection model as `lm` (a `gepa.lm.LM`, or what has its
  totals). What an iteration used is divided among its proposals. GEPA counts 0.0 for a model without a
  known price: no cost is recorded then.
- A run that an exception ends has no `on_optimization_end`: its last iteration's end is taken.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evometrics.producers.integrations.continued import Continued
from evometrics.producers.integrations.spending import Spending
from evometrics.producers.recording import Recorder, Run

Event = Mapping[str, Any]


@dataclass(eq=False)
class Proposal:
    """A candidate under way; `index` is its number once it is accepted."""

    parents: list[int]
    texts: Mapping[str, str] | None = None
    scores: list[float] = field(default_factory=list)
    evaluations: int = 0
    index: int | None = None
    displaced: list[int] = field(default_factory=list)


class EvometricsCallback:
    """Records each `optimize` as a run, with all of its candidates.

    `lm`: the reflection model, for tokens and cost. `run_id`: by default that of the run that is resumed, or
    else the recorder's.
    """

    def __init__(
        self,
        *,
        lm: object = None,
        recorder: Recorder | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> None:
        self.lm, self.recorder, self.agent_id, self.run_id = lm, recorder, agent_id, run_id

    def on_optimization_start(self, event: Event) -> None:
        self.sizes = {name: event[name] for name in ("trainset_size", "valset_size")}
        self.run: Run | None = None
        self.folder: str | None = None
        self.texts: dict[int, Mapping[str, str]] = {}
        self.scores: dict[int, float] = {}
        self.calls, self.front, self.displaced = 0, 1, list[int]()
        self.used, self.outer = Spending.of_totals(self.lm), sys.exc_info()[1]
        self.clear()

    def clear(self) -> None:
        """Forget the last iteration."""
        self.begun, self.error = time.time(), None
        self.proposals, self.evaluated, self.selected = list[Proposal](), list[Proposal](), list[int]()
        self.written, self.refusals = list[Mapping[str, str]](), list[Event]()

    def opened(self, state: Any) -> Run:
        """Return the run; begun where it is not, with the seed and what a folder brings."""
        if self.run is not None:
            return self.run
        before = Continued.of(self.folder)
        run_id = self.run_id or (before.run_id if before else None)
        self.run = Run(
            "gepa", recorder=self.recorder, agent_id=self.agent_id, run_id=run_id, objective="score"
        )
        self.run.begin(metadata=self.sizes)
        recorded = before.candidates if before and before.run_id == self.run.run_id else 0
        for index, texts in enumerate(state.program_candidates):
            self.texts[index], self.scores[index] = texts, state.program_full_scores_val_set[index]
            if index < recorded:
                self.run.scores.add(str(index), self.scores[index])
                continue
            parents = [each for each in state.parent_program_for_candidate[index] if each is not None]
            evaluations = len(state.prog_candidate_val_subscores[index])
            self.record(self.run, Proposal(parents, texts, evaluations=evaluations, index=index), 0)
        return self.run

    def on_state_saved(self, event: Event) -> None:
        self.folder = event["run_dir"]

    def on_iteration_start(self, event: Event) -> None:
        self.clear()
        self.opened(event["state"])

    def on_candidate_selected(self, event: Event) -> None:
        self.selected.append(event["candidate_idx"])

    def on_proposal_start(self, event: Event) -> None:
        parents = (each for each in self.selected if self.texts[each] == event["parent_candidate"])
        self.proposals.append(Proposal([next(parents)]))

    def on_proposal_end(self, event: Event) -> None:
        self.written.append(event["new_instructions"])

    def on_evaluation_start(self, event: Event) -> None:
        if event["candidate_idx"] is not None:  # the parent, before the model is asked
            return
        parents = list(event["parent_ids"])
        if self.written:
            found = next(each for each in self.proposals if each.texts is None and each.parents == parents)
            found.texts = {**self.texts[parents[0]], **self.written.pop(0)}
        else:  # a merge
            self.proposals.append(found := Proposal(parents))
        self.evaluated.append(found)

    def on_evaluation_end(self, event: Event) -> None:
        if event["candidate_idx"] is None:
            found = self.evaluated.pop(0)
            found.scores, found.evaluations = list(event["scores"]), len(event["scores"])

    def on_merge_attempted(self, event: Event) -> None:
        self.proposals[-1].texts = event["merged_candidate"]

    def on_pareto_front_updated(self, event: Event) -> None:
        self.front, self.displaced = len(event["new_front"]), event["displaced_candidates"]

    def on_valset_evaluated(self, event: Event) -> None:
        if not event["iteration"]:  # the seed, which a resumed run announces, too
            return
        index, texts = event["candidate_idx"], event["candidate"]
        self.texts[index], self.scores[index] = texts, event["average_score"]
        found = next(each for each in self.proposals if each.index is None and each.texts == texts)
        found.index, found.displaced = index, self.displaced
        found.evaluations += event["num_examples_evaluated"]

    def on_candidate_rejected(self, event: Event) -> None:
        self.refusals.append(event)

    on_merge_rejected = on_candidate_rejected

    def on_budget_updated(self, event: Event) -> None:
        self.calls = event["metric_calls_used"]

    def on_error(self, event: Event) -> None:
        self.error = event["exception"]

    def on_iteration_end(self, event: Event) -> None:
        run, iteration = self.opened(event["state"]), event["iteration"]
        raised = sys.exc_info()[1]  # what is about to end the run
        error = self.error or (raised if raised is not self.outer else None)
        if error is not None and not self.proposals:
            self.proposals = [Proposal([each]) for each in self.selected[:1]]
        before, self.used = self.used, Spending.of_totals(self.lm)
        shares = self.used.since(before).shares(sum(len(each.parents) == 1 for each in self.proposals))
        for number, each in enumerate(self.proposals):
            more = next(shares).fields if len(each.parents) == 1 else {}
            if each.index is None:
                more |= self.unaccepted(each, error)
            times = {"started_at": self.begun, "ended_at": time.time()}
            self.record(run, each, iteration, number, **times, **more)
        best, mean = max(self.scores.values()), math.fsum(self.scores.values()) / len(self.scores)
        run.progress(iteration, best=best, mean=mean, evaluations=self.calls, front_size=self.front)
        Continued(run.run_id, len(self.texts)).keep(self.folder)
        if raised is not None and raised is not self.outer:
            run.end(error=raised, evaluations=self.calls)

    def on_optimization_end(self, event: Event) -> None:
        state, best = event["final_state"], {"best_candidate": event["best_candidate_idx"]}
        if self.run is None and state.i >= 0:  # a run that had ended, looked at again
            return
        run = self.opened(state)
        run.end(evaluations=event["total_metric_calls"], metadata=best)

    def unaccepted(self, each: Proposal, error: BaseException | None) -> dict[str, Any]:
        """Return why a proposal is no candidate of GEPA's: a rejection has the sum of its scores."""
        for refusal in self.refusals:
            if each.scores and refusal.get("new_score", sum(each.scores)) == sum(each.scores):
                self.refusals.remove(refusal)
                return {"status": "rejected", "insights": [refusal["reason"]]}
        why = repr(error) if error is not None else "the reflection gave no new text"
        return {"status": "failed", "insights": [why]}

    def record(self, run: Run, each: Proposal, iteration: int, number: int = 0, **more: Any) -> None:
        """Record a candidate."""
        text = None if each.texts is None else text_of(each.texts)
        name = f"{iteration}-{number}" if each.index is None else str(each.index)
        if each.index is None and text is not None:
            name += f"-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        metadata: dict[str, Any] = {}
        if each.scores:
            metadata["minibatch_size"] = len(each.scores)
        if each.displaced:
            metadata["displaced"] = each.displaced
        run.candidate(
            name,
            identity=f"{run.run_id}/{name}",
            score=None if each.index is None else self.scores[each.index],
            parents=[str(parent) for parent in each.parents],
            strategy=("seed", "reflective_mutation", "merge")[min(len(each.parents), 2)],
            generation=iteration,
            evaluations=each.evaluations,
            model=getattr(self.lm, "model", None) if len(each.parents) == 1 else None,
            candidate=text,
            kpis={"minibatch_score": math.fsum(each.scores) / len(each.scores)} if each.scores else None,
            metadata=metadata,
            **more,
        )


def text_of(texts: Mapping[str, str]) -> str:
    """Return a candidate as text: that of its only component, or all of them as JSON."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    return json.dumps(dict(texts), ensure_ascii=False, indent=1)
