"""Optuna's `RDBStorage` in SQLite."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterator
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

from evometrics.deploy.history.readers.file_run import MALFORMED
from evometrics.deploy.history.readers.optuna import (
    STUDIES,
    TRIALS,
    About,
    Study,
    Trial,
    TrialState,
    external,
)
from evometrics.deploy.history.sources import AboutFile, SourceRow
from evometrics.deploy.history.sqlite_file import SQLITE_ERRORS, open_database
from evometrics.schemas.service.settings import SettingsError

TABLES = frozenset({"studies", "study_directions", "trials", "trial_values", "trial_params"})
#: The first version whose times are UTC.
UTC_SINCE = 5
#: What stands in the column of a number's type for what is no number.
TYPES = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


class OptunaStorage:
    """All studies of a storage, one after the other, in one read transaction."""

    tables: tuple[str, ...] = (TRIALS, STUDIES)

    def __init__(self, path: Path, given: AboutFile) -> None:
        self.path, self.given = path, given
        with contextlib.closing(open_database(path)) as db:
            try:
                (self.total,) = db.execute("SELECT count(*) FROM trials").fetchone()
                self.studies = db.execute(
                    "SELECT study_id, study_name FROM studies ORDER BY study_id"
                ).fetchall()
                self.zone = self.zone_of(db)
            except SQLITE_ERRORS as error:
                raise SettingsError(f"{path}: can't be read as Optuna's storage: {error}") from None
        given.check_one_run(path, [str(name) for _, name in self.studies])

    def zone_of(self, db: sqlite3.Connection) -> tzinfo:
        """Return the zone of the storage's times, by the version that made it."""
        try:
            (version,) = db.execute("SELECT library_version FROM version_info").fetchone() or ("",)
        except sqlite3.OperationalError:
            version = ""
        major = str(version).partition(".")[0]
        if major.isdecimal() and int(major) >= UTC_SINCE:
            return UTC
        return self.given.local(self.path, f"Optuna {version or 'of unknown version'}")

    def rows(self) -> Iterator[SourceRow]:
        """Yield each study's trials in the order in which they ended, and the study itself."""
        with contextlib.closing(open_database(self.path)) as db:
            db.execute("BEGIN")
            for number, name in self.studies:
                yield from self.study_rows(db, number, str(name))

    def study_rows(self, db: sqlite3.Connection, number: int, name: str) -> Iterator[SourceRow]:
        place: dict[str, int | str] = {"rowid": 0}
        try:
            study = Study(about(db, number, name), self.zone, self.given)
            for trial_id, of_study, state, started, ended in db.execute(
                "SELECT trial_id, number, state, datetime_start, datetime_complete FROM trials "
                "WHERE study_id = ? ORDER BY datetime_complete IS NULL, datetime_complete, number",
                (number,),
            ):
                place = {"rowid": trial_id}
                yield row_of(db, study, trial_id, (of_study, state, started, ended))
        except SQLITE_ERRORS as error:
            after = f"study {name!r} can't be read after trial_id {place['rowid']}: {error}"
            yield SourceRow("evolution", TRIALS, place, {}, after)
        else:
            if (cells := study.ended()) is not None:
                yield SourceRow("evolution", STUDIES, {"rowid": number}, cells)


def about(db: sqlite3.Connection, number: int, name: str) -> About:
    """Return a study without its trials."""
    directions = db.execute(
        "SELECT direction FROM study_directions WHERE study_id = ? ORDER BY objective", (number,)
    )
    (begun,) = db.execute("SELECT min(datetime_start) FROM trials WHERE study_id = ?", (number,)).fetchone()
    return About(
        name,
        [str(way) for (way,) in directions] or ["MINIMIZE"],
        attributes(db, "study_user_attributes", "study_id", number),
        attributes(db, "study_system_attributes", "study_id", number),
        begun,
        dict(db.execute("SELECT trial_id, number FROM trials WHERE study_id = ?", (number,))),
    )


def row_of(db: sqlite3.Connection, study: Study, trial_id: int, told: tuple[Any, ...]) -> SourceRow:
    """Return a trial's row; `told` is its row in the table of trials."""
    place: dict[str, int | str] = {"rowid": trial_id}
    number, state, started, ended = told
    try:
        trial = Trial(number, TrialState[str(state)], started, ended)
        fill(db, trial_id, trial)
    except MALFORMED as error:
        return SourceRow(
            "evolution", TRIALS, place, {"number": number, "state": state}, f"can't be read: {error!r}"
        )
    return study.row(trial, place)


def fill(db: sqlite3.Connection, trial_id: int, trial: Trial) -> None:
    """Fill a trial with what other tables have of it."""
    values = db.execute(
        "SELECT value, value_type FROM trial_values WHERE trial_id = ? ORDER BY objective", (trial_id,)
    )
    trial.values = [TYPES.get(kind, value) for value, kind in values] or None
    trial.intermediate_values = {
        step: TYPES.get(kind, value)
        for step, value, kind in db.execute(
            "SELECT step, intermediate_value, intermediate_value_type FROM trial_intermediate_values "
            "WHERE trial_id = ?",
            (trial_id,),
        )
    }
    trial.params = {
        key: external(value, distribution)
        for key, value, distribution in db.execute(
            "SELECT param_name, param_value, distribution_json FROM trial_params WHERE trial_id = ?",
            (trial_id,),
        )
    }
    trial.user_attrs = attributes(db, "trial_user_attributes", "trial_id", trial_id)
    trial.system_attrs = attributes(db, "trial_system_attributes", "trial_id", trial_id)


def attributes(db: sqlite3.Connection, table: str, of: str, number: int) -> dict[str, Any]:
    """Return the attributes of a study or a trial; one that is no JSON as the text that it is."""
    found: dict[str, Any] = {}
    for key, value in db.execute(f"SELECT key, value_json FROM {table} WHERE {of} = ?", (number,)):
        try:
            found[key] = json.loads(value)
        except (ValueError, TypeError, RecursionError):
            found[key] = value
    return found
