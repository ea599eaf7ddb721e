"""Optuna's storages: `RDBStorage` in SQLite, and `JournalStorage` in a file.

Seen with optuna 5.0.0 (`optuna/storages/_rdb/models.py`, `optuna/storages/journal/_storage.py`) and 4.9.0. A
study is a run and a trial a candidate, with the ids and values that the live callback gives them
(`producers/integrations/optuna.py`): one that was recorded while it ran counts once. Trials of all states are
there, also those that failed by an uncaught error, which no callback sees. A trial that is running or waiting
has no end: its row is rejected until it has one.

Optuna 5 writes UTC. Before, it wrote the local time of its machine without a zone: `AboutFile.zone` names it.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, cast

from evometrics.deploy.history.readers.file_run import MALFORMED, FileRun, row_of
from evometrics.deploy.history.sources import AboutFile, SourceRow
from evometrics.producers.events.cells import Unreadable, refuse
from evometrics.producers.integrations.optuna_trials import (
    candidate_of,
    identity_of,
    objectives_of,
    run_id_of,
)

TRIALS, STUDIES = "trials", "studies"
DIRECTIONS = ("NOT_SET", "MINIMIZE", "MAXIMIZE")
METRIC_NAMES = "study:metric_names"
#: What a trial's system attributes begin with that name its generation, and a study's that name its parents.
GENERATION, PARENTS = ":generation", ":parent:"


class TrialState(enum.Enum):
    """States of a trial, in Optuna's numbers."""

    RUNNING = 0
    COMPLETE = 1
    PRUNED = 2
    FAIL = 3
    WAITING = 4

    @property
    def has_ended(self) -> bool:
        """Whether nothing about such a trial changes any more."""
        return self not in (TrialState.RUNNING, TrialState.WAITING)


@dataclass(slots=True)
class Trial:
    """A trial under the names of Optuna's `FrozenTrial`; times as the storage has them until `Study.row`."""

    number: int
    state: TrialState
    datetime_start: Any = None
    datetime_complete: Any = None
    values: list[float] | None = None
    params: dict[str, object] = field(default_factory=dict)
    user_attrs: dict[str, object] = field(default_factory=dict)
    system_attrs: dict[str, object] = field(default_factory=dict)
    intermediate_values: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class About:
    """A study without its trials.

    Attributes:
        begun: when its first trial began, as the storage has it.
        numbers: its trials' numbers by their ids in the storage.
    """

    name: str
    directions: list[str]
    user_attrs: dict[str, object] = field(default_factory=dict)
    system_attrs: dict[str, object] = field(default_factory=dict)
    begun: object = None
    numbers: dict[int, int] = field(default_factory=dict)

    @property
    def metric_names(self) -> list[str] | None:
        """The names that its objectives were given."""
        names = self.system_attrs.get(METRIC_NAMES)
        return names if isinstance(names, list) and len(names) == len(self.directions) else None


class Study:
    """Makes rows of a study's trials, given in the order in which they ended."""

    def __init__(self, about: About, zone: tzinfo, given: AboutFile) -> None:
        """`zone`: of its times. Raises `SettingsError` if there is no telling when it began."""
        self.about, self.zone, self.given = about, zone, given
        self.names = objectives_of(cast(Any, about))
        ways = {name: way.lower() for name, way in zip(self.names, about.directions, strict=True)}
        single = len(ways) == 1
        try:
            first = Trial(0, TrialState.RUNNING, self.moment("datetime_start", about.begun))
        except Unreadable:
            first = Trial(0, TrialState.RUNNING)
        self.run = FileRun(
            "optuna",
            given.run_id or run_id_of(about.name, cast(Any, [first])),
            agent_id=about.name,
            objective=self.names[0],
            direction=ways[self.names[0]],
            directions=None if single else ways,
        )

    def row(self, trial: Trial, place: Mapping[str, int | str]) -> SourceRow:
        """Return a trial's row."""
        told = {"study": self.about.name, "trial": trial.number, "state": trial.state.name}
        return row_of(TRIALS, place, lambda: self.cells(trial), told)

    def cells(self, trial: Trial) -> dict[str, Any]:
        """Return a trial's cells. Raises `Unreadable`."""
        if not trial.state.has_ended:
            has = "is running" if trial.state is TrialState.RUNNING else "has not begun"
            raise Unreadable(f"state: trial {trial.number} {has}; import the study again when it has ended")
        trial.datetime_start = self.moment("datetime_start", trial.datetime_start)
        trial.datetime_complete = self.moment("datetime_complete", trial.datetime_complete)
        if trial.datetime_complete is None:
            raise Unreadable("datetime_complete: is missing")
        frozen = cast(Any, trial)
        generation, parents = self.lineage(trial)
        return self.run.candidate(
            str(trial.number),
            identity=identity_of(self.about.name, frozen),
            generation=generation,
            parents=parents,
            **candidate_of(frozen, self.names),
        )

    def lineage(self, trial: Trial) -> tuple[object, list[int]]:
        """Return a trial's generation and the numbers of its parents, of which only genetic samplers tell."""
        key = next((name for name in trial.system_attrs if name.endswith(GENERATION)), None)
        if key is None:
            return None, []
        generation = trial.system_attrs[key]
        ids = self.about.system_attrs.get(f"{key.removesuffix(GENERATION)}{PARENTS}{generation}")
        numbers = self.about.numbers
        return generation, [numbers[one] for one in ids if one in numbers] if isinstance(ids, list) else []

    def ended(self) -> dict[str, Any] | None:
        """Return the cells of the study itself; None if no trial has ended, or it was recorded live."""
        return None if self.given.run_id else self.run.ended(metadata=self.about.user_attrs)

    def moment(self, name: str, value: object) -> datetime | None:
        """Return a time of the storage. Raises `Unreadable`."""
        if value is None:
            return None
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            refuse(name, value, "is not a time")
        return at.replace(tzinfo=self.zone) if at.tzinfo is None else at


def external(value: Any, distribution: str) -> object:
    """Return a parameter as the objective saw it, from its number in the storage and its distribution."""
    try:
        known = json.loads(distribution)
        if "choices" in known["attributes"]:
            return known["attributes"]["choices"][int(value)]
        return int(value) if known["name"].startswith("Int") else value
    except MALFORMED:
        return value
