"""What Optuna's trials are as candidates: names, ids, scores, parents."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

from evometrics.producers.recording.scores import Scores

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

#: User attributes that are fields of an event.
FIELDS = ("cost_usd", "tokens_in", "tokens_out", "evaluations", "model", "candidate")
#: A failed trial's insight: Optuna keeps no more.
as_json = json.JSONEncoder(default=str).encode  # `json.dumps(default=)` makes an encoder each time
FAILED = "error: the objective raised or returned no number; Optuna does not keep why"


def run_id_of(study_name: str, trials: Iterable[FrozenTrial]) -> str:
    """Return the id of the run that a study is: its name and when its first trial began (UTC).

    A study may be run again under the same name, in another storage or in memory.
    """
    begun = min((trial.datetime_start for trial in trials if trial.datetime_start is not None), default=None)
    return study_name if begun is None else f"{study_name}@{begun.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def identity_of(study_name: str, trial: FrozenTrial) -> str:
    """Return what a trial is told from every other by, in each process and at each time the same."""
    begun = "" if trial.datetime_start is None else trial.datetime_start.astimezone(UTC).isoformat()
    return f"{study_name}/{trial.number}/{begun}"


def objectives_of(study: Study) -> list[str]:
    """Return the names of a study's objectives: those it was given, else Optuna's own."""
    if study.metric_names:
        return list(study.metric_names)
    count = len(study.directions)
    return ["value"] if count == 1 else [f"values_{number}" for number in range(count)]


def candidate_of(trial: FrozenTrial, objectives: Sequence[str]) -> dict[str, Any]:
    """Return an ended trial as the keywords of `Run.candidate`."""
    state = trial.state.name
    attributes = dict(trial.user_attrs)
    found: dict[str, Any] = {name: attributes.pop(name) for name in FIELDS if name in attributes}
    metadata = {"state": state, **attributes}
    if "candidate" not in found:
        found["candidate"] = as_json(trial.params)
    if trial.intermediate_values:
        steps = sorted(trial.intermediate_values.items())
        found["fitness_trajectory"] = [value for _, value in steps if math.isfinite(value)]
    values = trial.values
    if state == "COMPLETE" and values is not None:
        if len(objectives) == 1:
            found["score"] = values[0]
        else:
            found["scores"] = dict(zip(objectives, values, strict=True))
    elif state == "PRUNED":
        found["status"] = "pruned"
        if values:
            metadata["last_report"] = values[0]
    else:
        found["status"], found["insights"] = "failed", [FAILED]
    ended = trial.datetime_complete
    if ended is not None:
        found["ended_at"] = ended.timestamp()
        if trial.datetime_start is not None:
            found["duration_seconds"] = max(0.0, (ended - trial.datetime_start).total_seconds())
    found["metadata"] = metadata
    return found


def take_scores(trial: FrozenTrial, objectives: Sequence[str], scores: Scores) -> None:
    """Note what a trial has reached that is recorded already."""
    if trial.state.name == "COMPLETE" and all(map(math.isfinite, trial.values)):
        if len(objectives) == 1:
            scores.take(trial.values[0])
        else:
            scores.add_to_front(dict(zip(objectives, trial.values, strict=True)))


def scores_before(
    study: Study, trials: Iterable[FrozenTrial], own: int, objectives: Sequence[str], scores: Scores
) -> None:
    """Note in `scores` what a study's trials, except `own`, had reached before this process saw the study."""
    known = trials if len(objectives) == 1 else study.best_trials
    for trial in known:
        if trial.number != own:
            take_scores(trial, objectives, scores)


class Lineage:
    """The parents of trials, as far as a sampler keeps them: genetic ones, for each generation."""

    def __init__(self) -> None:
        self.parents: dict[str, list[int]] = {}

    def of(self, study: Study, trial: FrozenTrial) -> tuple[int | None, list[int]]:
        """Return a trial's generation, None where it has none, and the numbers of its parents."""
        key = next((name for name in trial.system_attrs if name.endswith(":generation")), None)
        if key is None:
            return None, []
        generation = trial.system_attrs[key]
        cached = f"{key.removesuffix('generation')}parent:{generation}"
        if generation and not self.parents.get(cached):
            ids = study._storage.get_study_system_attrs(study._study_id).get(cached, [])
            numbers = {each._trial_id: each.number for each in study.get_trials(deepcopy=False)}
            self.parents[cached] = [numbers[each] for each in ids if each in numbers]
        return generation, self.parents.get(cached, [])
