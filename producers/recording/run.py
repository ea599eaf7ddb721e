"""One run of a framework: a study, a search, an optimisation; what all adapters share."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from evometrics.producers.collector import forks
from evometrics.producers.collector.evolution_run import message
from evometrics.producers.events.values import text_of
from evometrics.producers.recording.candidates import candidate_event_id, lasted, texts
from evometrics.producers.recording.recorder import Recorder
from evometrics.producers.recording.scores import PARETO, Scores, finite

F = TypeVar("F", bound=Callable[..., None])
DIRECTION_OF = "direction."
#: Outcomes of candidates whose score, if any, is no full evaluation's: others are not compared with it.
NOT_FULL = frozenset({"failed", "pruned", "rejected"})


def safely(method: F) -> F:
    """Have a method raise nothing into the framework that calls it: what fails is logged and counted."""

    @functools.wraps(method)
    def call(self: Run, *args: Any, **kwargs: Any) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.recorder.miss(error)

    return call  # type: ignore[return-value]


class Run:
    """Records one run and its candidates: each candidate is an evolution, and so is the run. Never raises.

    A candidate's agent and evolution are `<run_id>/<name>`, so that names need be unique within their run
    only. The same name counts once. May be called from several threads; a copy in a forked child continues
    the same run.

    Attributes:
        run_id: what all its events carry.
        agent_id: the agent of the run itself.
        evolution_id: the evolution that the run itself is.
    """

    def __init__(
        self,
        framework: str,
        *,
        recorder: Recorder | None = None,
        agent_id: object = None,
        run_id: object = None,
        evolution_id: object = None,
        objective: str = "fitness",
        direction: str = "maximize",
        strategy: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Without a recorder, the process's own (`Recorder.default()`).

        `agent_id`: by default the framework's name; `run_id`: the recorder's for its first run, then a new
        one; `evolution_id`: by default the run's id. `objective`: the KPI that scores are; `direction`:
        maximize, minimize, or pareto where there are several objectives: `metadata` then says each one's
        under `direction.<name>`.
        """
        self.framework = framework
        self.recorder = Recorder.default() if recorder is None else recorder
        self.agent_id = text_of(agent_id) or framework
        self.run_id = text_of(run_id) or self.recorder.new_run_id()
        self.evolution_id = text_of(evolution_id) or self.run_id
        self.objective = None if direction == PARETO else objective
        self.direction = direction
        self.strategy = strategy
        self.metadata = dict(metadata or {})
        self.directions = {k: v for k, v in self.metadata.items() if k.startswith(DIRECTION_OF)}
        self.scores = Scores(direction, {k[len(DIRECTION_OF) :]: v for k, v in self.directions.items()})
        self.evaluations = 0
        self.begun = self.ended = False
        self.began_at: float | datetime = 0.0
        self.lock = threading.RLock()
        forks.register(self)

    def renew_in_child(self) -> object:
        """In a forked child: a lock that no thread of the parent holds."""
        old, self.lock = self.lock, threading.RLock()
        return old

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.lock = threading.RLock()
        forks.register(self)

    @property
    def shared(self) -> dict[str, Any]:
        """The fields of every event of the run."""
        return {"run_id": self.run_id, "objective": self.objective, "direction": self.direction}

    @safely
    def begin(self, **fields: Any) -> None:
        """Record that the run begins, unless that is recorded; the first candidate does so too."""
        with self.lock:
            if self.begun:
                return
            self.begun = True
            self.began_at = fields.get("timestamp", time.time())
        own = {
            "evolution_type": f"{self.framework}_run",
            "strategy": self.strategy,
            "metadata": self.metadata,
        }
        self.recorder.start(self.agent_id, evolution_id=self.evolution_id, **{**own, **self.shared, **fields})

    @safely
    def candidate(
        self,
        name: object,
        *,
        score: object = None,
        scores: Mapping[str, object] | None = None,
        parents: Iterable[object] = (),
        before: object = None,
        status: str | None = None,
        strategy: str | None = None,
        generation: object = None,
        started_at: float | datetime | None = None,
        ended_at: float | datetime | None = None,
        duration_seconds: object = None,
        evaluations: object = None,
        cost_usd: object = None,
        tokens_in: object = None,
        tokens_out: object = None,
        model: object = None,
        candidate: object = None,
        insights: object = (),
        metadata: Mapping[str, Any] | None = None,
        kpis: Mapping[str, object] | None = None,
        fitness_trajectory: object = None,
        identity: object = None,
    ) -> None:
        """Record a candidate that was evaluated, refused or given up.

        `score`: its value of the objective; `scores`: by name, of several. What is no finite number is no
        KPI: the metadata says under `score` what it was. `before`: what the candidate is compared with, by
        default its first parent's score, without a known parent the best so far. Without `status`, it
        succeeded where it is better than every known parent, or else than the best so far (several
        objectives: where no earlier one dominates it); otherwise it is rolled back, and failed without a
        score. `kpis`: others than the objectives.

        `identity`: where the framework may give the candidate again, in this process or another, what is the
        same then and differs in any other run, such as its start: it is recorded once.
        """
        self.begin()
        own = text_of(name)
        of_parents = [text_of(parent) for parent in parents]
        value = finite(score)
        given: dict[str, object] = {} if score is None or value is not None else {"score": score}
        several: dict[str, float] = {}
        for objective, one in (scores or {}).items():
            if (plain := finite(one)) is None:
                given[f"score.{objective}"] = one
            else:
                several[objective] = plain
        with self.lock:
            if own in self.scores:
                return
            reference = self.reference(before, of_parents)
            better = status not in NOT_FULL and self.is_better(value, several, scores, of_parents)
            self.scores.add(own, None if status in NOT_FULL else value)
            self.evaluations += evaluations if type(evaluations) is int else 1
        if status is None:
            has_score = value is not None or bool(several)
            status = "succeeded" if better else "rolled_back" if has_score else "failed"
        post = {**several, **(kpis or {})}
        if value is not None and self.objective is not None:
            post[self.objective] = value
        fields: dict[str, Any] = {
            **self.shared,
            "evolution_type": self.framework,
            "status": status,
            "pre_kpis": None if reference is None or self.objective is None else {self.objective: reference},
            "post_kpis": post,
            "parent_agent_id": f"{self.run_id}/{of_parents[0]}" if of_parents else None,
            "parent_agent_ids": [f"{self.run_id}/{parent}" for parent in of_parents],
            "strategy": self.strategy if strategy is None else strategy,
            "generation": generation,
            "duration_seconds": lasted(started_at, ended_at, duration_seconds),
            "evaluations": evaluations,
            "cost_usd": cost_usd,
            "tokens_in": tokens_in,
            "tokens_out": tokens_out,
            "model": model,
            "candidate": candidate,
            "insights": insights,
            "metadata": {**self.directions, **texts(given), **(metadata or {})},
            "fitness_trajectory": fitness_trajectory,
        }
        if ended_at is not None:
            fields["timestamp"] = ended_at
        if identity is not None:
            fields["event_id"] = candidate_event_id(self.framework, identity)
        agent = f"{self.run_id}/{own}"
        self.recorder.complete(
            agent, evolution_id=agent, **{k: v for k, v in fields.items() if v is not None}
        )

    def reference(self, before: object, parents: list[str]) -> float | None:
        """Return the score that a candidate is compared with."""
        if (given := finite(before)) is not None:
            return given
        return next(iter(self.scores.of(parents)), self.scores.best)

    def is_better(
        self,
        value: float | None,
        several: Mapping[str, float],
        given: Mapping[str, object] | None,
        parents: list[str],
    ) -> bool:
        """Return whether a candidate is better than its parents, or else than all before it."""
        if given:
            return len(several) == len(given) and self.scores.add_to_front(several)
        if value is None:
            return False
        others = self.scores.of(parents) or ([] if self.scores.best is None else [self.scores.best])
        return all(self.scores.better(value, other) for other in others)

    @safely
    def progress(
        self,
        generation: object,
        *,
        best: object = None,
        mean: object = None,
        evaluations: object = None,
        front_size: object = None,
        extras: Mapping[str, object] | None = None,
    ) -> None:
        """Record how far the run is: a generation, or any other step of the framework, counted from 0."""
        self.begin()
        fields = {
            "mean": finite(mean),
            "evaluations": evaluations,
            "front_size": front_size,
            "extras": extras,
        }
        known = {name: value for name, value in fields.items() if value is not None}
        self.recorder.progress(
            self.agent_id, generation, finite(best), evolution_id=self.evolution_id, **known
        )

    @safely
    def end(
        self,
        error: object = None,
        *,
        best: object = None,
        evaluations: object = None,
        metadata: Mapping[str, Any] | None = None,
        ended_at: float | datetime | None = None,
    ) -> None:
        """Record that the run has ended, once; failed where `error` says why (an exception or a text).

        `best`, `evaluations`: by default the best score and the number of candidates recorded here;
        `ended_at`: by default now.
        """
        self.begin()
        with self.lock:
            if self.ended:
                return
            self.ended = True
            found = self.scores.best if best is None else finite(best)
        post = {} if found is None or self.objective is None else {self.objective: found}
        insights = []
        if error is not None:
            kind = f"{type(error).__name__}: " if isinstance(error, BaseException) else ""
            text = message(error) if isinstance(error, BaseException) else text_of(error)
            insights = [f"error: {kind}{text}"]
        timed: dict[str, object] = {}
        if ended_at is not None:
            timed = {"timestamp": ended_at, "duration_seconds": lasted(self.began_at, ended_at, None)}
        self.recorder.complete(
            self.agent_id,
            evolution_id=self.evolution_id,
            status="succeeded" if error is None else "failed",
            post_kpis=post,
            insights=insights,
            evaluations=self.evaluations if evaluations is None else evaluations,
            metadata=dict(metadata or {}),
            **timed,
            **self.shared,
        )
