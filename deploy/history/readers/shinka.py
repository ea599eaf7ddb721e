"""ShinkaEvolve's `programs.sqlite`.

Seen with shinka-evolve 0.0.7 (`shinka/database/dbase.py`, `shinka/core/async_runner.py`). `programs` has the
candidates, in the order in which they were stored; a proposal that gave no program, or one that was not to be
evaluated, is in `attempt_log` only. `combined_score` is 0.0 of a program whose evaluation failed: `correct`
tells it from a score. The copies of a program on other islands cost nothing. Parents are `parent_id`;
inspirations are no parents and go into the metadata. A run has no name: it is called after its first program.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evometrics.deploy.history.readers.file_run import FileRun, json_object, row_of
from evometrics.deploy.history.sources import AboutFile, SourceRow
from evometrics.deploy.history.sqlite_file import SQLITE_ERRORS, open_database
from evometrics.producers.events.cells import Cells, Unreadable
from evometrics.schemas.service.settings import SettingsError

PROGRAMS, ATTEMPTS, RUN = "programs", "attempt_log", "run"
TABLES = frozenset({"programs", "archive", "metadata_store"})
SCORE = "combined_score"
COSTS = ("api_costs", "embed_cost", "novelty_cost")
#: The stage in which proposals are refused for being too much like another.
NOVELTY = "novelty"
#: What the metadata of a candidate holds of its row and of its row's `metadata`.
KEPT = ("island_idx", "complexity", "archive_inspiration_ids", "top_k_inspiration_ids", "system_prompt_id")
KEPT_OF_METADATA = ("patch_name", "patch_description", "novelty_attempt", "resample_attempt", "patch_attempt")


class ShinkaDatabase:
    """One run's programs and failed proposals, in one read transaction."""

    def __init__(self, path: Path, given: AboutFile) -> None:
        self.path, self.given = path, given
        with contextlib.closing(open_database(path)) as db:
            try:
                names = {
                    name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                }
                there = [table for table in (PROGRAMS, ATTEMPTS) if table in names]
                self.tables: tuple[str, ...] = (*there, RUN)
                self.total: int | None = sum(
                    int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in there
                )
                first = db.execute("SELECT id FROM programs ORDER BY rowid LIMIT 1").fetchone()
            except SQLITE_ERRORS as error:
                raise SettingsError(f"{path}: can't be read as ShinkaEvolve's database: {error}") from None
        if first is None:
            raise SettingsError(f"{path}: is ShinkaEvolve's database, and has no program")
        self.run_id = given.run_id or f"shinka-{first[0]}"

    def rows(self) -> Iterator[SourceRow]:
        """Yield the programs, the failed proposals, and the run."""
        run = FileRun("shinka", self.run_id, objective=SCORE)
        with contextlib.closing(open_database(self.path)) as db:
            db.execute("BEGIN")
            for table, convert in ((PROGRAMS, program), (ATTEMPTS, attempt)):
                if table in self.tables:
                    yield from rows_of(db, table, run, convert)
        if not self.given.run_id and (cells := run.ended()) is not None:
            yield SourceRow("evolution", RUN, {"rowid": 0}, cells)


def rows_of(db: sqlite3.Connection, table: str, run: FileRun, convert: Any) -> Iterator[SourceRow]:
    """Yield the rows of a table, converted."""
    place: dict[str, int | str] = {"rowid": 0}
    try:
        cursor = db.execute(f"SELECT rowid, * FROM {table} ORDER BY rowid")
        columns = [column[0] for column in cursor.description][1:]
        for rowid, *values in cursor:
            place = {"rowid": rowid}
            row = dict(zip(columns, values, strict=True))
            yield row_of(table, place, partial(convert, run, row), row)
    except SQLITE_ERRORS as error:
        reason = f"{table} can't be read after rowid {place['rowid']}: {error}"
        yield SourceRow("evolution", table, place, {}, reason)


def program(run: FileRun, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a program. Raises `Unreadable`."""
    cells = Cells(row)
    told = Cells(json_object("metadata", row.get("metadata")))
    ended = needed(told.number("evaluation_finished_at") or cells.number("timestamp"), "timestamp")
    copy = told.flag("_is_island_copy") or False
    correct, score = cells.flag("correct"), row.get(SCORE)
    metrics = {**figures(row, "public_metrics"), **figures(row, "private_metrics", "private.")}
    parent = cells.text("parent_id")
    usage = {} if copy else usage_of(told)
    name = cells.text("id")
    if name is None:
        raise Unreadable("id: is missing")
    failed = [] if correct else said(told)
    return run.candidate(
        name,
        identity=f"{run.run_id}/{name}",
        ended_at=ended,
        started_at=told.number("pipeline_started_at"),
        score=score if correct else None,
        status=None if correct else "failed",
        kpis=metrics,
        parents=[parent] if parent else [],
        strategy="island_copy" if copy else told.text("patch_type"),
        generation=cells.whole("generation"),
        evaluations=0 if copy else 1,
        candidate=cells.text("code"),
        insights=failed,
        metadata={
            **{name: row.get(name) for name in KEPT if row.get(name) not in (None, "[]")},
            **{name: told.text(name) for name in KEPT_OF_METADATA},
            "copy_of": told.text("_original_program_id"),
            "text_feedback": cells.text("text_feedback"),
            SCORE: None if correct else score,
        },
        **usage,
    )


def attempt(run: FileRun, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a proposal that was not evaluated. Raises `Unreadable`."""
    cells = Cells(row)
    told = Cells(json_object("details", row.get("details")))
    stage, parent = cells.text("stage"), told.text("parent_id")
    name = f"attempt-{cells.whole('id')}"
    return run.candidate(
        name,
        identity=f"{run.run_id}/{name}",
        ended_at=needed(cells.number("created_at"), "created_at"),
        started_at=told.number("pipeline_started_at"),
        status="rejected" if stage == NOVELTY else "failed",
        parents=[parent] if parent else [],
        strategy=told.text("patch_type"),
        generation=cells.whole("generation"),
        evaluations=0,
        insights=[text for text in (told.text("failure_reason"),) if text],
        metadata={
            "stage": stage,
            "failure_class": told.text("failure_class"),
            **{name: told.text(name) for name in KEPT_OF_METADATA},
        },
        **usage_of(told),
    )


def usage_of(told: Cells) -> dict[str, Any]:
    """Return what a candidate cost, its tokens and its model, as far as its metadata says."""
    costs = [cost for name in COSTS if (cost := told.number(name)) is not None]
    result = told.find("llm_result")[1]
    answer = Cells(result if isinstance(result, Mapping) else {})
    return {
        "cost_usd": sum(costs) if costs else None,
        "tokens_in": answer.whole("input_tokens"),
        "tokens_out": answer.whole("output_tokens"),
        "model": told.text("model_name"),
    }


def figures(row: Mapping[str, Any], column: str, prefix: str = "") -> dict[str, object]:
    """Return the metrics in a column that are numbers, by name."""
    return {
        f"{prefix}{name}": number
        for name, number in json_object(column, row.get(column)).items()
        if isinstance(number, int | float) and not isinstance(number, bool)
    }


def said(told: Cells) -> list[str]:
    """Return what is said of a program whose evaluation failed."""
    return [text for name in ("error", "stderr_log") if (text := told.text(name))]


def needed(value: float | None, name: str) -> float:
    if value is None:
        raise Unreadable(f"{name}: is missing")
    return value
