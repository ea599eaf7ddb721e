#!/usr/bin/env bash
# gepa 0.1.4: `use_merge=True` draws the common ancestor of two candidates with its mean score as its weight
# (`gepa/proposer/merge.py`, random.choices). Where all common ancestors score 0.0, as a seed does that solves nothing yet,
# the draw raises, and `optimize` ends with that: everything found so far is lost without a `run_dir`. With negative scores,
# too; and with `raise_on_exception=False` the attempt is made again in each iteration, at no cost of the budget.
# Seen: "candidates 3, then ValueError: Total of weights must be greater than zero". Without merges it goes on: "candidates 4".
# The way round: scores above zero (add a constant).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q gepa==0.1.4
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import gepa
from gepa.core.adapter import EvaluationBatch


class Adapter:
    """An example names a part, and is solved where that part says so."""

    propose_new_texts = None

    def evaluate(self, batch, candidate, capture_traces=False):
        scores = [float(candidate[part] == "solved") for part in batch]
        return EvaluationBatch(scores, scores, scores if capture_traces else None)

    def make_reflective_dataset(self, candidate, batch, components):
        return {part: [{"score": score} for score in batch.trajectories] for part in components}


class FromTheSeed:
    def select_candidate_idx(self, state):
        return 0


class Count:
    candidates = 1

    def on_candidate_accepted(self, event):
        self.candidates += 1


def search(**options):
    count = Count()
    try:
        gepa.optimize(
            seed_candidate={"a": "?", "b": "?"},
            trainset=["a", "b"],
            valset=["a", "b"],
            adapter=Adapter(),
            reflection_lm=lambda prompt: "```\nsolved\n```",
            reflection_minibatch_size=2,
            candidate_selection_strategy=FromTheSeed(),
            max_metric_calls=15,
            callbacks=[count],
            logger=type("Silent", (), {"log": lambda self, text: None})(),
            **options,
        )
    except ValueError as error:
        return f"candidates {count.candidates}, then ValueError: {error}"
    return f"candidates {count.candidates}"


merging, alone = search(use_merge=True, merge_val_overlap_floor=1), search()
print(f"{merging} | {alone}")
same = merging.startswith("candidates 3, then ValueError") and alone == "candidates 4"
sys.exit(0 if same else "it is otherwise now")
PYTHON
