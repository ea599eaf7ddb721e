"""MLflow's tracking store in SQLite (`sqlite:///mlflow.db`).

Seen with mlflow 3.17.2 (`mlflow/store/tracking/dbmodels/models.py`). Each run is an evolution, and its
experiment is the run that it belongs to; `mlflow.parentRunId` names its parent. A run's KPIs are its latest
metrics: MLflow does not say which of them is the objective, or which way is better. It stores NaN as 0.0 with
a mark, and infinities as the largest float: neither is a KPI. Deleted runs are left out, as in MLflow's own
lists. Times are UTC, in milliseconds.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evometrics.deploy.history.readers.file_run import FileRun, row_of
from evometrics.deploy.history.sources import AboutFile, SourceRow
from evometrics.deploy.history.sqlite_file import SQLITE_ERRORS, open_database
from evometrics.producers.events.cells import Unreadable
from evometrics.schemas.service.settings import SettingsError

RUNS = "runs"
TABLES = frozenset({"experiments", "runs", "latest_metrics", "params", "tags"})
STATUSES = {"FINISHED": "succeeded", "FAILED": "failed", "KILLED": "failed"}
#: Tags of MLflow's own, of which the metadata has those that say what a run is.
OWN, PARENT, KEPT = (
    "mlflow.",
    "mlflow.parentRunId",
    frozenset({"mlflow.source.git.commit", "mlflow.note.content"}),
)
#: The columns in the order of `Found`.
SELECT = """
SELECT runs.run_uuid, runs.name, status, start_time, end_time, experiments.experiment_id, experiments.name
FROM runs JOIN experiments USING (experiment_id)
WHERE runs.lifecycle_stage = 'active' ORDER BY end_time IS NULL, end_time, runs.rowid
"""


class MlflowStore:
    """All runs of a store in the order in which they ended, in one read transaction."""

    tables: tuple[str, ...] = (RUNS,)

    def __init__(self, path: Path, given: AboutFile) -> None:
        self.path = path
        if given.run_id:
            raise SettingsError(
                f"{path}: is MLflow's store, whose runs have ids of their own: leave out --run-id"
            )
        with contextlib.closing(open_database(path)) as db:
            try:
                (count,) = db.execute("SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'").fetchone()
            except SQLITE_ERRORS as error:
                raise SettingsError(f"{path}: can't be read as MLflow's store: {error}") from None
        self.total: int | None = count

    def rows(self) -> Iterator[SourceRow]:
        """Yield the runs."""
        experiments: dict[str, FileRun] = {}
        place: dict[str, int | str] = {"run": "none"}
        with contextlib.closing(open_database(self.path)) as db:
            db.execute("BEGIN")
            try:
                for uuid, name, status, started, ended, number, experiment in db.execute(SELECT):
                    place = {"run": str(uuid)}
                    run = experiments.setdefault(str(number), FileRun("mlflow", str(experiment)))
                    about = {"name": name, "status": status, "start_time": started, "end_time": ended}
                    yield row_of(RUNS, place, partial(cells_of, db, run, str(uuid), about), about)
            except SQLITE_ERRORS as error:
                reason = f"runs can't be read after {place['run']}: {error}"
                yield SourceRow("evolution", RUNS, place, {}, reason)


def cells_of(db: sqlite3.Connection, run: FileRun, uuid: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's cells. Raises `Unreadable`."""
    status = STATUSES.get(about["status"])
    if status is None:
        raise Unreadable(f"status: the run is {about['status']}; import the store again when it has ended")
    if about["end_time"] is None:
        raise Unreadable("end_time: is missing")
    tags = dict(db.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (uuid,)))
    params = dict(db.execute("SELECT key, value FROM params WHERE run_uuid = ?", (uuid,)))
    parent = tags.get(PARENT)
    metrics = {
        key: number(value, is_nan)
        for key, value, is_nan in db.execute(
            "SELECT key, value, is_nan FROM latest_metrics WHERE run_uuid = ?", (uuid,)
        )
    }
    return run.candidate(
        uuid,
        identity=uuid,
        started_at=None if about["start_time"] is None else about["start_time"] / 1000,
        ended_at=about["end_time"] / 1000,
        status=status,
        kpis=metrics,
        parents=[parent] if parent else [],
        metadata={
            "name": about["name"],
            **{f"param.{key}": value for key, value in params.items()},
            **{f"tag.{key}": value for key, value in tags.items() if not key.startswith(OWN) or key in KEPT},
        },
    )


def number(value: float, is_nan: object) -> float:
    """Return a metric as it was logged (`mlflow/store/tracking/sqlalchemy_store.py`)."""
    if is_nan:
        return math.nan
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value
