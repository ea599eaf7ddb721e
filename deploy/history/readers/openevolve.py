"""OpenEvolve's `evolution_trace.jsonl` and the `evolution_trace_failures.jsonl` beside it; gzipped, too.

Seen with openevolve 0.4.1 (`openevolve/evolution_trace.py`). The trace has the programs that were evaluated,
in the order in which their evaluations ended, not that of their iterations; the other file has the iterations
that gave no program. Both are read, whichever is named. What neither has: initial programs (the first one's
metrics are its children's `parent_metrics`), copies on other islands, cost. A run has no name: it is called
after the first parent of its trace.

An evaluation that failed has the metrics `{"error": 0.0}`, or a `timeout`: no score, whatever OpenEvolve
makes of it. Without `combined_score` the score is OpenEvolve's own: the mean of the metrics, except its
default feature dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evometrics.deploy.history.json_lines import SHOWN, objects_of
from evometrics.deploy.history.readers.file_run import FileRun, row_of
from evometrics.deploy.history.sources import AboutFile, SourceRow
from evometrics.producers.events.cells import Cells, Unreadable, mapping
from evometrics.producers.recording.scores import finite
from evometrics.schemas.service.settings import SettingsError

TRACE, FAILURES, RUN = "evolution_trace", "evolution_trace_failures", "run"
SCORE = "combined_score"
FEATURES = ("complexity", "diversity")
SUFFIX = "_failures"


def is_trace(first: Mapping[str, Any]) -> bool:
    """Return whether an object is a line of a trace or of its failures."""
    return "iteration" in first and (
        {"child_id", "child_metrics"} <= first.keys()
        or {"error", "parent_id", "evolution_mode"} <= first.keys()
    )


class OpenEvolveTrace:
    """One run's programs and failed iterations."""

    total: int | None = None

    def __init__(self, path: Path, given: AboutFile) -> None:
        self.given = given
        stem, dot, rest = path.name.partition(".")
        trace, failures = path, path.with_name(f"{stem}{SUFFIX}{dot}{rest}")
        if stem.endswith(SUFFIX):
            trace, failures = path.with_name(f"{stem.removesuffix(SUFFIX)}{dot}{rest}"), path
        self.files = [(TRACE, trace), (FAILURES, failures)]
        self.files = [(table, file) for table, file in self.files if file.is_file()]
        self.tables: tuple[str, ...] = (*(table for table, _ in self.files), RUN)
        self.run_id = given.run_id or f"openevolve-{self.first_parent(path)}"

    def first_parent(self, path: Path) -> str:
        """Return the first parent that a line names. Raises `SettingsError` if none does."""
        for _, file in self.files:
            for _, found in objects_of(file):
                if isinstance(found, dict) and isinstance(parent := found.get("parent_id"), str) and parent:
                    return parent
        raise SettingsError(f"{path}: no line of it is one of OpenEvolve's trace")

    def rows(self) -> Iterator[SourceRow]:
        """Yield the programs, the failed iterations, and the run."""
        run = FileRun("openevolve", self.run_id, objective=SCORE)
        for table, path in self.files:
            convert = program if table == TRACE else failure
            for number, (line, found) in enumerate(objects_of(path), start=1):
                place: dict[str, int | str] = {"line": number}
                if isinstance(found, Exception):
                    yield SourceRow("evolution", table, place, {"text": line[:SHOWN]}, str(found))
                elif found:
                    yield row_of(table, place, partial(convert, run, found), found)
        if not self.given.run_id and (cells := run.ended()) is not None:
            yield SourceRow("evolution", RUN, {"line": 0}, cells)


def program(run: FileRun, line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a program that was evaluated. Raises `Unreadable`."""
    cells, told = Cells(line), Cells(inside(line, "metadata"))
    name, parent = cells.text("child_id"), cells.text("parent_id")
    if name is None:
        raise Unreadable("child_id: is missing")
    metrics, artifacts = inside(line, "child_metrics"), Cells(inside(line, "artifacts"))
    ended, seconds = cells.number("timestamp"), told.number("iteration_time")
    if ended is None:
        raise Unreadable("timestamp: is missing")
    score, before = score_of(metrics), score_of(inside(line, "parent_metrics"))
    said = artifacts.text("stderr")
    return run.candidate(
        name,
        identity=f"{run.run_id}/{name}",
        ended_at=ended,
        duration_seconds=seconds,
        score=score,
        before=before,
        status=status_of(score, before),
        kpis={
            key: value for key, value in metrics.items() if key not in (SCORE, "error") and is_number(value)
        },
        parents=[parent] if parent else [],
        strategy=told.text("evolution_mode"),
        generation=cells.whole("generation"),
        evaluations=1,
        model=told.text("llm_model"),
        candidate=cells.text("child_code"),
        insights=[said] if said else [],
        metadata={
            "iteration": cells.whole("iteration"),
            "island": cells.whole("island_id"),
            "changes": told.text("changes"),
        },
        **tokens(inside(told.row, "token_usage")),
    )


def failure(run: FileRun, line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of an iteration that gave no program: rejected where the model had answered."""
    cells = Cells(line)
    iteration, parent = cells.whole("iteration"), cells.text("parent_id")
    ended, answer = cells.number("timestamp"), cells.text("llm_response")
    usage = inside(line, "token_usage")
    if iteration is None or ended is None:
        raise Unreadable(f"{'iteration' if iteration is None else 'timestamp'}: is missing")
    name = f"iteration-{iteration}-{round(ended * 1e6)}"
    return run.candidate(
        name,
        identity=f"{run.run_id}/{name}",
        ended_at=ended,
        status="rejected" if answer or usage else "failed",
        parents=[parent] if parent else [],
        strategy=cells.text("evolution_mode"),
        evaluations=0,
        candidate=answer,
        insights=[text for text in (cells.text("error"),) if text],
        metadata={"iteration": iteration, "island": cells.whole("island_id")},
        **tokens(usage),
    )


def status_of(score: object, before: object) -> str | None:
    """Return whether a program is better than its parent, whom the run may not know; None if not known."""
    one, other = finite(score), finite(before)
    if one is None or other is None:
        return None
    return "succeeded" if one > other else "rolled_back"


def score_of(metrics: Mapping[str, Any]) -> object:
    """Return a program's score, None if its evaluation failed."""
    if metrics.get("timeout") is True or isinstance(metrics.get("error"), str) or set(metrics) <= {"error"}:
        return None
    if SCORE in metrics:
        return metrics[SCORE]
    numbers = [
        float(value)
        for key, value in metrics.items()
        if key not in FEATURES and is_number(value) and value == value
    ]
    return sum(numbers) / len(numbers) if numbers else None


def tokens(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return an iteration's usage as fields."""
    cells = Cells(usage)
    return {"tokens_in": cells.whole("prompt_tokens"), "tokens_out": cells.whole("completion_tokens")}


def inside(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object in a field; empty if there is none. Raises `Unreadable`."""
    value = row.get(name)
    return {} if value is None else mapping(name, value)


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
