"""Optuna's `JournalStorage` in a file: an operation a line (`optuna/storages/journal/_storage.py`).

Studies and trials are numbered by the order of the operations that make them, and nothing names them: behind
a line that can't be read, and may be one of those, no trial is known any more, and reading ends.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

from evometrics.deploy.history.contents import DAMAGE, MOST_CHARACTERS, open_text
from evometrics.deploy.history.readers.file_run import MALFORMED
from evometrics.deploy.history.readers.optuna import (
    DIRECTIONS,
    STUDIES,
    TRIALS,
    About,
    Study,
    Trial,
    TrialState,
    external,
)
from evometrics.deploy.history.sources import AboutFile, SourceRow
from evometrics.producers.events.cells import bounded_int

Operation = dict[str, Any]
CREATE_STUDY, DELETE_STUDY, STUDY_USER, STUDY_SYSTEM, CREATE_TRIAL = range(5)
PARAM, STATE, REPORT, USER, SYSTEM = range(5, 10)
#: Of a line that can't be read: which operation it was.
CODE = re.compile(r'\s*\{\s*"op_code":\s*(\d+)\s*,')
#: Characters of such a line that the report shows.
SHOWN = 2000


class Studies:
    """The studies as of an operation, by their numbers; those that were deleted are not among them."""

    def __init__(self) -> None:
        self.there: dict[int, About] = {}
        self.made = self.trials = 0

    def apply(self, code: int, operation: Operation) -> tuple[int, int] | None:
        """Apply an operation; return the numbers of study and trial if it makes a trial."""
        if code == CREATE_STUDY:
            name = str(operation["study_name"])
            if all(about.name != name for about in self.there.values()):
                self.there[self.made] = About(
                    name, [DIRECTIONS[way] for way in operation["directions"]] or ["MINIMIZE"]
                )
                self.made += 1
        elif code == DELETE_STUDY:
            self.there.pop(operation["study_id"], None)
        elif code in (STUDY_USER, STUDY_SYSTEM, CREATE_TRIAL):
            about = self.there.get(operation["study_id"])
            if about is not None and code == STUDY_USER:
                about.user_attrs.update(operation["user_attr"])
            elif about is not None and code == STUDY_SYSTEM:
                about.system_attrs.update(operation["system_attr"])
            elif about is not None:
                return operation["study_id"], self.new_trial(about, operation.get("datetime_start"))
        return None

    def new_trial(self, about: About, begun: object) -> int:
        """Number a new trial of a study."""
        about.numbers[self.trials] = len(about.numbers)
        if begun is not None and (about.begun is None or str(begun) < str(about.begun)):
            about.begun = begun
        self.trials += 1
        return self.trials - 1


class OptunaJournal:
    """All studies of a journal: a trial's row comes where it ended, a study's at the end of the file.

    Studies that were deleted are left out, as Optuna leaves them out.
    """

    tables: tuple[str, ...] = (TRIALS, STUDIES)
    total: int | None = None

    def __init__(self, path: Path, given: AboutFile) -> None:
        self.path = path
        studies = Studies()
        for _, _, code, operation in self.operations():
            with contextlib.suppress(*MALFORMED):  # the rows say so
                if operation is not None:
                    studies.apply(code, operation)
        there = studies.there
        given.check_one_run(path, [about.name for about in there.values()])
        naive = any(about.begun is not None and "+" not in str(about.begun) for about in there.values())
        zone = given.local(path, "Optuna before 5") if naive else UTC
        self.studies = {number: Study(about, zone, given) for number, about in there.items()}

    def operations(self) -> Iterator[tuple[int, str, int, Operation | None]]:
        """Yield each line with its number, its text, and its operation; -1 and None if it can't be read."""
        with open_text(self.path) as file:
            number = 0
            while True:
                number += 1
                try:
                    line = file.readline(MOST_CHARACTERS)
                except DAMAGE as error:
                    yield number, f"the file can't be read from here on: {error}", -1, None
                    return
                if not line:
                    return
                try:
                    found = json.loads(line, parse_int=bounded_int)
                    yield number, line, int(found["op_code"]), found
                except MALFORMED:
                    if line.strip():
                        code = CODE.match(line)
                        yield number, line, int(code[1]) if code else -1, None

    def rows(self) -> Iterator[SourceRow]:
        """Yield the trials in the order in which they ended, then those that have not, and the studies."""
        replay = JournalReplay(self.studies)
        for number, line, code, operation in self.operations():
            place: dict[str, int | str] = {"line": number}
            if operation is None:
                lost = code in (-1, CREATE_STUDY, CREATE_TRIAL)
                problem = "is not one of Optuna's operations, or not all of it"
                problem += ": the trials behind it can't be told apart, and are not read" if lost else ""
                yield SourceRow("evolution", TRIALS, place, {"text": line[:SHOWN]}, problem)
                if lost:
                    break
                continue
            try:
                ended = replay.apply(code, operation, place)
            except MALFORMED as error:
                yield SourceRow("evolution", TRIALS, place, operation, f"can't be applied: {error!r}")
                continue
            if ended is not None:
                yield ended
        yield from replay.rest()


class JournalReplay:
    """The journal's operations applied one after the other.

    Attributes:
        wanted: the studies whose trials are wanted.
        open: by their ids, the trials that have not ended: study, trial, and the line that made it.
    """

    def __init__(self, wanted: dict[int, Study]) -> None:
        self.wanted = wanted
        self.studies = Studies()
        self.open: dict[int, tuple[int, Trial, dict[str, int | str]]] = {}

    def apply(self, code: int, operation: Operation, place: dict[str, int | str]) -> SourceRow | None:
        """Apply an operation; return the row of the trial that it ends."""
        if code <= CREATE_TRIAL:
            if (made := self.studies.apply(code, operation)) is None:
                return None
            study, trial_id = made
            number = self.studies.there[study].numbers[trial_id]
            self.open[trial_id] = (study, created(operation, number), place)
            return self.ended(trial_id, place)
        if (found := self.open.get(operation.get("trial_id", -1))) is None:
            return None
        change(found[1], code, operation)
        return self.ended(operation["trial_id"], place)

    def ended(self, trial_id: int, place: dict[str, int | str]) -> SourceRow | None:
        """Return the row of a trial that has ended, if it has and its study is still there."""
        number, trial, _ = self.open[trial_id]
        if not trial.state.has_ended:
            return None
        del self.open[trial_id]
        return self.wanted[number].row(trial, place) if number in self.wanted else None

    def rest(self) -> Iterator[SourceRow]:
        """Yield the trials that have no end, and the studies."""
        for number, trial, place in self.open.values():
            if number in self.wanted:
                yield self.wanted[number].row(trial, place)
        for number, study in self.wanted.items():
            if (cells := study.ended()) is not None:
                yield SourceRow("evolution", STUDIES, {"study": number}, cells)


def created(operation: Operation, number: int) -> Trial:
    """Return the trial that an operation makes."""
    kinds, params = operation.get("distributions", {}), operation.get("params", {})
    value, steps = operation.get("value"), operation.get("intermediate_values", {})
    return Trial(
        number,
        TrialState(operation.get("state", TrialState.RUNNING.value)),
        operation.get("datetime_start"),
        operation.get("datetime_complete"),
        values=operation.get("values") or (None if value is None else [value]),
        params={name: external(one, kinds.get(name, "")) for name, one in params.items()},
        user_attrs=dict(operation.get("user_attrs", {})),
        system_attrs=dict(operation.get("system_attrs", {})),
        intermediate_values={int(step): report for step, report in steps.items()},
    )


def change(trial: Trial, code: int, operation: Operation) -> None:
    """Apply an operation on a trial to it."""
    if code == PARAM:
        value = external(operation["param_value_internal"], operation["distribution"])
        trial.params[operation["param_name"]] = value
    elif code == REPORT:
        trial.intermediate_values[int(operation["step"])] = operation["intermediate_value"]
    elif code == USER:
        trial.user_attrs.update(operation["user_attr"])
    elif code == SYSTEM:
        trial.system_attrs.update(operation["system_attr"])
    elif code == STATE:
        trial.state = TrialState(operation["state"])
        if trial.state is TrialState.RUNNING:
            trial.datetime_start = operation["datetime_start"]
        if trial.state.has_ended:
            trial.datetime_complete = operation["datetime_complete"]
        trial.values = operation["values"] or trial.values
