"""Optuna: `study.optimize(objective, callbacks=[EvometricsCallback()])` records each trial.

Seen with Optuna 5.0.0. The hook is a callback after each trial, in the thread that ran it (with `n_jobs` 4,
four at once), with a copy of the trial. What Optuna does not tell, and what is done about it:

- A trial whose exception `catch` does not name, one ended by Ctrl-C, and one that its heartbeat found stale
  is FAIL in the study and reaches no callback (`optuna/study/_optimize.py`). The numbers of trials show the
  gap: these are recorded at a later callback, or at the end (`close`, which the end of the process calls).
- `ask`/`tell`, `add_trial` and `copy_study` call no callback: `sync(study)` records what is not recorded yet.
- A resumed study, several processes on one storage, and `sync` may bring a trial again. Its event's id is
  derived from study, number and start, so that it counts once.
- Why a trial failed is not kept. A pruned trial's `value` is its last report: it is no score, but
  `last_report` in the metadata. inf is COMPLETE in Optuna and failed here: it is no KPI.
- Times are local, without a zone: they are read in the process that calls.
- Genetic samplers keep the parents of a generation, not of a trial, as ids in the study's system attributes
  (`optuna/samplers/_ga/_base.py`): a trial has all of them. Others keep none.
- The best so far, which a trial is compared with, is that of this process and of what was there before it.

User attributes named cost_usd, tokens_in, tokens_out, evaluations, model and candidate are the fields of
those names, others metadata; without the last, the candidate is the parameters as JSON.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from evometrics.producers.integrations.optuna_trials import (
    Lineage,
    candidate_of,
    identity_of,
    objectives_of,
    run_id_of,
    scores_before,
    take_scores,
)
from evometrics.producers.recording import Recorder, Run
from evometrics.schemas.ids import new_event_id

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

#: After a search for trials that reached no callback, the next waits this many times as long as it took.
SEARCH_PAUSE = 200
#: Most studies that are kept for what is to be recorded at their end: a further one ends the first.
MOST_STUDIES = 8
#: What is known of a study that an exception has ended.
UNCAUGHT = "trial {} failed and reached no callback: an exception or Ctrl-C ended the study"
#: Seconds after its end from which on a trial of this process would have reached its callback.
CALLBACK_SECONDS = 1.0


class EvometricsCallback:
    """Records the trials of the studies that call it; each study is a run. Never raises.

    May be shared by studies and threads, forked, and pickled to other processes. `agent_id`: by default the
    study's name; `run_id`: by default its name and when its first trial began, the same in each process.
    """

    def __init__(
        self, recorder: Recorder | None = None, *, agent_id: object = None, run_id: object = None
    ) -> None:
        self.recorder = Recorder.default() if recorder is None else recorder
        self.agent_id = agent_id
        self.run_id = run_id
        self.own()

    def own(self) -> None:
        """Begin anew, in this process."""
        self.process = os.getpid()
        self.made_at = datetime.now()
        self.lock = threading.RLock()
        self.studies: dict[int, StudyRun] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"recorder": self.recorder, "agent_id": self.agent_id, "run_id": self.run_id}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.own()

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Record a trial that has ended."""
        try:
            self.run_of(study, trial).ended(trial)
        except Exception as error:
            self.recorder.miss(error)

    def sync(self, study: Study) -> None:
        """Record all ended trials of a study that were not recorded here."""
        try:
            self.run_of(study, None).sync()
        except Exception as error:
            self.recorder.miss(error)

    def close(self) -> None:
        """Record trials that reached no callback, and the ends of the runs; also done as the process ends."""
        try:
            while self.studies and self.process == os.getpid():
                self.end_first()
        except Exception as error:
            self.recorder.miss(error)

    def run_of(self, study: Study, trial: FrozenTrial | None) -> StudyRun:
        """Return the run that a study is in this process; `trial`: the one that is recorded first."""
        if self.process != os.getpid():  # a forked child
            self.own()
        if (run := self.studies.get(id(study))) is None:
            with self.lock:
                if (run := self.studies.get(id(study))) is None:
                    run = self.studies[id(study)] = StudyRun(study, trial, self)
                    self.recorder.before_close(self.close)
            if len(self.studies) > MOST_STUDIES:
                self.end_first()
        return run

    def end_first(self) -> None:
        """Record the end of the study that was begun first."""
        with self.lock:
            run = self.studies.pop(next(iter(self.studies)))
        run.end()


class StudyRun:
    """One study in one process.

    Attributes:
        awaited: numbers of trials whose callback has not come.
        expected: the number that the next trial has.
        ended_at: when the last trial that was recorded here ended.
        reached: the highest number of a trial whose callback has come; -1 as long as none has.
    """

    def __init__(self, study: Study, trial: FrozenTrial | None, callback: EvometricsCallback) -> None:
        self.study = study
        self.name = study.study_name
        self.objectives = objectives_of(study)
        self.in_memory = type(study._storage).__name__ == "InMemoryStorage"
        self.lineage = Lineage()
        self.lock = threading.RLock()
        trials = study.get_trials(deepcopy=False)
        number = -1 if trial is None else trial.number
        self.awaited = {t.number for t in trials if not t.state.is_finished() or t.state.name == "FAIL"}
        self.expected = len(trials)
        self.search_at = 0.0
        self.reached = -1
        self.ended_at: datetime | None = None
        ways = [direction.name.lower() for direction in study.directions]
        several = dict(zip(self.objectives, ways, strict=True)) if len(ways) > 1 else {}
        run_id = str(callback.run_id or run_id_of(self.name, trials))
        self.run = Run(
            "optuna",
            recorder=callback.recorder,
            agent_id=callback.agent_id or self.name,
            run_id=run_id,
            evolution_id=run_id if self.begins(trials, number, callback) else f"{run_id}/{new_event_id()}",
            objective=self.objectives[0],
            direction="pareto" if several else ways[0],
            strategy=type(study.sampler).__name__,
            metadata={f"direction.{name}": way for name, way in several.items()},
        )
        first = trial if trial is not None else next(iter(trials), None)
        begun = None if first is None else first.datetime_start
        self.run.begin(**({} if begun is None else {"timestamp": begun}))
        scores_before(study, trials, number, self.objectives, self.run.scores)

    def begins(self, trials: list[FrozenTrial], number: int, callback: EvometricsCallback) -> bool:
        """Return whether the study begins in this process: else its run here is a session of its own."""
        if not self.in_memory:
            return number == 0 or not trials
        begun = trials[0].datetime_start if trials else None
        return begun is None or begun >= callback.made_at

    def ended(self, trial: FrozenTrial) -> None:
        """Record a trial, and those before it that reached no callback."""
        with self.lock:
            self.reached = max(trial.number, self.reached)
            self.awaited.update(range(self.expected, trial.number))
            self.expected = max(self.expected, trial.number + 1)
            self.awaited.discard(trial.number)
            search = bool(self.awaited) and time.monotonic() >= self.search_at
            if search:
                self.search_at = float("inf")  # for other threads, until this one knows how long it took
        if search:
            begun = time.monotonic()
            self.find_missed()
            now = time.monotonic()
            self.search_at = now + SEARCH_PAUSE * (now - begun)
        self.record(trial)

    def find_missed(self, *, at_end: bool = False) -> None:
        """Record the awaited trials that have ended and reach no callback.

        Of another process's trials the failed ones only, which nobody may have recorded.
        """
        trials = self.study.get_trials(deepcopy=False)
        if at_end:  # an uncaught error ends the study: behind it comes no callback that shows the gap
            self.awaited.update(range(self.expected, len(trials)))
        latest = datetime.now().timestamp() - (0.0 if at_end else CALLBACK_SECONDS)
        for number in sorted(self.awaited):
            trial = trials[number] if number < len(trials) else None
            if trial is None or not trial.state.is_finished():
                continue
            failed = trial.state.name == "FAIL"
            ended = trial.datetime_complete
            if failed or self.in_memory:
                if not failed and ended is not None and ended.timestamp() > latest:
                    continue
                self.record(trial)
            self.awaited.discard(number)

    def record(self, trial: FrozenTrial) -> None:
        """Record one trial, in the recorder's thread: with others, beside the sampler's work."""
        ended = trial.datetime_complete
        if ended is not None and (self.ended_at is None or ended > self.ended_at):
            self.ended_at = ended
        generation, parents = self.lineage.of(self.study, trial)
        self.run.recorder.later(self.candidate, trial, generation, parents)

    def candidate(self, trial: FrozenTrial, generation: int | None, parents: list[int]) -> None:
        """Record a trial as a candidate of the run, at once; one that is recorded is only compared with."""
        if str(trial.number) in self.run.scores:
            take_scores(trial, self.objectives, self.run.scores)
            return
        self.run.candidate(
            trial.number,
            parents=parents,
            generation=generation,
            identity=identity_of(self.name, trial),
            **candidate_of(trial, self.objectives),
        )

    def compare_anew(self) -> None:
        """Have what follows compared with nothing that came before."""
        self.run.scores = self.run.scores.anew()

    def sync(self) -> None:
        """Record all ended trials, in the order in which they ended, each compared with those before."""
        trials = self.study.get_trials(deepcopy=False)
        ended = [(trial.datetime_complete, trial) for trial in trials if trial.datetime_complete is not None]
        with self.lock:
            self.run.recorder.later(self.compare_anew)
            for _, trial in sorted(ended, key=lambda each: each[0]):
                self.record(trial)
            self.awaited = {trial.number for trial in trials if trial.datetime_complete is None}
            self.expected = len(trials)

    def end(self) -> None:
        """Record what is left, and the end of the run."""
        self.find_missed(at_end=True)
        self.run.recorder.later(partial(self.run.end, ended_at=self.ended_at), self.why_ended())

    def why_ended(self) -> str | None:
        """Return that an uncaught exception ended the study; None where none did, or that can't be known.

        In a storage of several processes the last trial may be another one's.
        """
        last = next(reversed(self.study.get_trials(deepcopy=False)), None)
        if not self.in_memory or last is None or last.state.name != "FAIL" or last.number <= self.reached:
            return None
        return UNCAUGHT.format(last.number)
